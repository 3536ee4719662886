'use strict';

// Plays recorded calls against a running application and writes what it answers, in one form only: keys sorted, what
// differs each time masked. Two applications with the same data give the same text.

const { randomBytes } = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');

/** Calls that ask for all there is to ask for; and calls that write, with questions about what they wrote. */
const READS = path.join(__dirname, 'reads.jsonl');
const WRITES = path.join(__dirname, 'writes.jsonl');
const MASK = '<masked>';
const NAME = /\{([a-z]+)\}/gi;

/**
 * Read recorded calls, one JSON object a line: `method` (GET), `path`, `body`; `keep` gives a name to a value of the
 * answer, such as {"user": "items.0.id"}, for the `{user}` of later paths and bodies (`{run}` is a word of each replay);
 * `mask` names what differs each time.
 */
function readCalls(file = READS) {
  const lines = fs
    .readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line.trim() !== '');
  return lines.map((line) => JSON.parse(line));
}

/**
 * Play the calls.
 * @param {string} url Of the application, without a slash at its end.
 * @param {object[]} calls From `readCalls`.
 * @param {{writes?: boolean}} options `writes`: also those that are no GET; they change the data.
 * @returns {Promise<string>} One JSON object a line: the call, the status, and the body. A value that a call which writes
 *   has given a name to stands there by its name: a key that was made is another one each time.
 * @throws {Error} The application does not answer, or an answer lacks what `keep` asks for.
 */
async function replay(url, calls, { writes = false } = {}) {
  const made = { run: randomBytes(5).toString('hex') };
  const kept = { ...made };
  const lines = [];
  for (const { method = 'GET', path: target, body, keep = {}, mask = [] } of calls) {
    if (method !== 'GET' && !writes) continue;
    const sent = body === undefined ? undefined : fillIn(JSON.stringify(body), kept, (value) => value);
    const response = await fetch(url + fillIn(target, kept, encodeURIComponent), { method, body: sent });
    const text = await response.text();
    const answer = text === '' ? null : JSON.parse(text);
    for (const [name, where] of Object.entries(keep)) {
      kept[name] = valueAt(answer, where, target);
      if (method !== 'GET') made[name] = kept[name];
    }
    lines.push(oneLine(canonical({ call: `${method} ${target}`, status: response.status, answer }, mask, made)));
  }
  return lines.map((line) => `${line}\n`).join('');
}

/** JSON in what everybody takes for one line: some take U+0085 and U+2028 for a line's end. */
function oneLine(value) {
  const escaped = (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  return JSON.stringify(value).replace(/[\u007f-\u009f\u2028\u2029]/g, escaped);
}

function fillIn(text, kept, encode) {
  return text.replace(NAME, (all, name) => (Object.hasOwn(kept, name) ? encode(String(kept[name])) : all));
}

/** The value at a place such as items.0.id; it may be NULL. */
function valueAt(answer, where, target) {
  const value = where.split('.').reduce((inner, name) => inner?.[name], answer);
  if (value === undefined) throw new Error(`the answer to ${target} has no ${where}`);
  return value;
}

function canonical(value, mask, made) {
  if (typeof value === 'string') return withNames(value, made);
  if (Array.isArray(value)) return value.map((each) => canonical(each, mask, made));
  if (value === null || typeof value !== 'object') return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(
    entries.map(([name, each]) => [name, mask.includes(name) ? MASK : canonical(each, mask, made)]),
  );
}

function withNames(text, made) {
  return Object.entries(made).reduce((left, [name, value]) => left.replaceAll(value, `{${name}}`), text);
}

module.exports = { READS, WRITES, readCalls, replay };
