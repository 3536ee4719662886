'use strict';

// Plays recorded calls against a running application and writes what it answers, in one form only: keys sorted, what
// differs each time masked. Two applications with the same data give the same text.

const fs = require('node:fs');
const path = require('node:path');

const CALLS = path.join(__dirname, 'calls.jsonl');
const MASK = '<masked>';

/**
 * Read recorded calls, one JSON object a line: `method` (GET), `path`, `body`; `keep` gives a name to a value of the
 * answer, such as {"user": "items.0.id"}, for the `{user}` of later paths and bodies; `mask` names what differs each
 * time.
 */
function readCalls(file = CALLS) {
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
 * @returns {Promise<string>} One JSON object a line: the call, the status, and the body.
 * @throws {Error} The application does not answer, or an answer lacks what `keep` asks for.
 */
async function replay(url, calls, { writes = false } = {}) {
  const kept = {};
  const lines = [];
  for (const { method = 'GET', path: target, body, keep = {}, mask = [] } of calls) {
    if (method !== 'GET' && !writes) continue;
    const sent = body === undefined ? undefined : fillIn(JSON.stringify(body), kept);
    const response = await fetch(url + fillIn(target, kept), { method, body: sent });
    const text = await response.text();
    const answer = text === '' ? null : JSON.parse(text);
    for (const [name, where] of Object.entries(keep)) kept[name] = valueAt(answer, where, target);
    lines.push(oneLine(canonical({ call: `${method} ${target}`, status: response.status, answer }, mask)));
  }
  return lines.map((line) => `${line}\n`).join('');
}

/** JSON in what everybody takes for one line: some take U+0085 and U+2028 for a line's end. */
function oneLine(value) {
  const escaped = (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  return JSON.stringify(value).replace(/[\u007f-\u009f\u2028\u2029]/g, escaped);
}

function fillIn(text, kept) {
  return text.replace(/\{([a-z]+)\}/g, (all, name) => kept[name] ?? all);
}

function valueAt(answer, where, target) {
  const value = where.split('.').reduce((inner, name) => inner?.[name], answer);
  if (value === undefined || value === null) throw new Error(`the answer to ${target} has no ${where}`);
  return value;
}

function canonical(value, mask) {
  if (Array.isArray(value)) return value.map((each) => canonical(each, mask));
  if (value === null || typeof value !== 'object') return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([name, each]) => [name, mask.includes(name) ? MASK : canonical(each, mask)]));
}

module.exports = { readCalls, replay };
