'use strict';

const http = require('node:http');
const { setTimeout: sleep } = require('node:timers/promises');
const { makeApp } = require('./api/app');
const { Door } = require('./api/closed');
const { ApplicationDatabase } = require('./config/applicationDatabase');
const { SettingsError, readSettings } = require('./config/settings');
const { oneLine } = require('./health/words');

const PATIENCE_MS = 1000;
const END_MS = 10000;

/**
 * Serve until the process is asked to end.
 * @returns {Promise<{port: number, stop: () => Promise<void>}>}
 */
async function serve(settings) {
  const database = await ApplicationDatabase.open(settings);
  const door = new Door(settings.closedFile);
  const { app, operations } = makeApp(database, door);
  const server = http.createServer(app);
  await new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(settings.port, settings.host, resolve);
  });
  const ending = new AbortController();
  const written = writeNowAndThen(operations, door, settings.writeEveryMs, ending.signal);
  const stop = async () => {
    ending.abort();
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeIdleConnections();
    // A client that keeps its connection does not keep the application.
    const patience = setTimeout(() => server.closeAllConnections(), PATIENCE_MS);
    await Promise.all([closed, written]);
    clearTimeout(patience);
    await database.close();
  };
  return { port: server.address().port, stop };
}

/** Insert rows until told to stop; an application does not end because one of its writes failed. */
async function writeNowAndThen(operations, door, everyMs, signal) {
  if (!everyMs) return;
  while (!signal.aborted) {
    await sleep(everyMs, undefined, { signal }).catch(() => {});
    if (signal.aborted || door.isClosed) continue;
    await operations
      .notify('Written in the background')
      .catch((error) => console.error(`a write failed: ${oneLine(error)}`));
  }
}

async function main() {
  try {
    const settings = readSettings(process.cwd(), process.env);
    const { port, stop } = await serve(settings);
    for (const signal of ['SIGTERM', 'SIGINT']) {
      process.once(signal, () => {
        // A statement that does not end does not keep the process; what it wrote is decided by the database.
        setTimeout(() => process.exit(1), END_MS).unref();
        stop();
      });
    }
    console.error(`answers on port ${port} with ${settings.type}`);
  } catch (error) {
    console.error(`cannot start: ${oneLine(error)}`);
    process.exitCode = error instanceof SettingsError ? 2 : 1;
  }
}

if (require.main === module) main();

module.exports = { serve };
