'use strict';

/** An error's words in one line. */
function oneLine(error) {
  return error.message.split(/\s+/).join(' ').trim() || error.name;
}

module.exports = { oneLine };
