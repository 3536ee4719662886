'use strict';

const { UnknownFateError } = require('../config/retries');
const { oneLine } = require('../health/words');

/** An answer other than success, in words for the caller. */
class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** The status and the words with which an error is answered; the same on both databases. */
function answerTo(error) {
  if (error instanceof ApiError) return [error.status, error.message];
  if (error instanceof UnknownFateError) return [503, oneLine(error)];
  switch (error.name) {
    case 'SequelizeValidationError':
      return [400, error.errors.map((each) => `${each.path}: ${each.message}`).join('; ')];
    case 'SequelizeUniqueConstraintError':
      return [409, 'there is one like it already'];
    case 'SequelizeForeignKeyConstraintError':
      return [400, 'it refers to a row that is not there'];
    default:
      // express.json()'s own have a status; of what the database refuses, its words.
      return error.expose ? [error.status, oneLine(error)] : [503, oneLine(error)];
  }
}

module.exports = { ApiError, answerTo };
