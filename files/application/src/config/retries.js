'use strict';

// What may be tried again. A busy or locked database and a connection that was not made have done nothing; a connection
// that was lost in the midst of a write may have, and then nobody tries again by himself.

const PAUSES_MS = [50, 200, 800];

/** The connection was lost while a write was decided: it may have happened or not. */
class UnknownFateError extends Error {
  constructor(cause) {
    super(`the connection was lost during a write, which may have happened or not: ${cause.message}`, { cause });
  }
}

// SQLite: BUSY, LOCKED. PostgreSQL: serialization_failure, deadlock_detected, lock_not_available, too_many_connections,
// cannot_connect_now.
const NOT_DONE = /^(SQLITE_BUSY|SQLITE_LOCKED|40001|40P01|55P03|53300|57P03)$/;
// connection_exception and its kind, admin_shutdown, crash_shutdown, database_dropped, idle_session_timeout,
// idle_in_transaction_session_timeout; and what a socket says, of a host that is gone as well.
const DROPPED =
  /^(08...|57P01|57P02|57P04|57P05|25P03|ECONNRESET|EPIPE|ETIMEDOUT|ECONNABORTED|EHOSTUNREACH|ENETUNREACH|ENETDOWN)$/;
const DROPPED_WORDS = /^(Connection terminated|Client has encountered a connection error)/;
// Of the connections that were not made, those that may be made later.
const NOT_CONNECTED =
  /^(ECONNREFUSED|ECONNRESET|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ENETDOWN|ENOTFOUND|EAI_AGAIN|ENOENT)$/;
// What PostgreSQL's driver says when nobody has answered in the time that it has to connect.
const NO_ANSWER = 'timeout expired';

/**
 * Tell what an error of Sequelize's means for another attempt.
 * @returns {'not_done'|'dropped'|'final'}
 */
function classify(error) {
  const cause = error.original ?? error.parent ?? error;
  const code = String(cause.code ?? '');
  if (NOT_DONE.test(code)) return 'not_done';
  if (/^SequelizeConnection/.test(error.name)) {
    const mayComeLater = NOT_CONNECTED.test(code) || DROPPED_WORDS.test(cause.message) || cause.message === NO_ANSWER;
    return mayComeLater ? 'not_done' : 'final';
  }
  return DROPPED.test(code) || DROPPED_WORDS.test(cause.message) ? 'dropped' : 'final';
}

/**
 * Do the work, and again after a growing pause while that is safe; three times at the most.
 * @param {() => Promise<T>} work
 * @param {{repeatable: boolean, pauses?: number[]}} options `repeatable`: what a lost connection leaves is nothing, as
 *   with a read, or a transaction before its COMMIT.
 * @returns {Promise<T>}
 * @throws {UnknownFateError} The connection was lost during work that is not repeatable.
 * @template T
 */
async function withRetries(work, { repeatable, pauses = PAUSES_MS }) {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await work();
    } catch (error) {
      const kind = classify(error);
      if (kind === 'dropped' && !repeatable) throw new UnknownFateError(error);
      if (kind === 'final' || attempt === pauses.length) throw error;
      await new Promise((resolve) => setTimeout(resolve, pauses[attempt]));
    }
  }
}

module.exports = { PAUSES_MS, UnknownFateError, classify, withRetries };
