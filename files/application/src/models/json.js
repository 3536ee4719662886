'use strict';

/** Read JSON that a database keeps as text: '' stands for nothing there; what is no JSON stays the text that it is. */
function parseJson(value) {
  if (value === '' || value === null || value === undefined) return null;
  if (typeof value !== 'string') return value;
  try {
    return JSON.parse(value);
  } catch {
    return value;
  }
}

module.exports = { parseJson };
