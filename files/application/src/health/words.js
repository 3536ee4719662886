'use strict';

/** An error's words in one line. One that stands for several, as when a name has two addresses, has none of its own. */
function oneLine(error) {
  const several = (error.original ?? error).errors?.map((each) => each.message).join('; ');
  return (error.message || several || error.name).split(/\s+/).join(' ').trim();
}

module.exports = { oneLine };
