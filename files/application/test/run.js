'use strict';

// Runs the tests with a private PostgreSQL server beside them: TLS, scram, the application's role without a right to
// make anything, and a database of each profile to copy. Usage: run.js [FILE ...]; TEST_SOURCES names a directory with
// deployed.sqlite and plan.sqlite. Not as root, because PostgreSQL does not start as root.

const { execFileSync, spawn } = require('node:child_process');
const fs = require('node:fs');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const { Client } = require('pg');

// What needs quoting everywhere, and a word that is found in whatever form of it.
const PASSWORD = 'p#a\'s "s\\n$w=1recognisable';
const PROFILES = process.env.TEST_PROFILES ?? path.join(__dirname, '../../profiles');
const CURVE = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
const SETTINGS = ['ssl=on', 'fsync=off', 'max_connections=120', 'log_min_messages=fatal'];
const RULES = ['127.0.0.1/32', '::1/128'].map((from) => `host all contralock_user ${from} scram-sha-256\n`);

function run(program, ...parameters) {
  execFileSync(program, parameters, { stdio: ['ignore', 'ignore', 'pipe'] });
}

function certificate(folder, name, ...options) {
  const [key, file] = [path.join(folder, `${name}.key`), path.join(folder, `${name}.crt`)];
  run('openssl', 'req', '-x509', ...CURVE, '-subj', `/CN=${name}`, '-keyout', key, '-out', file, ...options);
  return { key, file };
}

function freePort() {
  return new Promise((resolve) => {
    const probe = net.createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

async function query(server, database, ...statements) {
  const client = new Client({ host: server.folder, port: server.port, user: 'postgres', database });
  await client.connect();
  try {
    for (const statement of statements) await client.query(statement);
  } finally {
    await client.end();
  }
}

async function startServer(folder) {
  const tools = path.join('/usr/lib/postgresql', fs.readdirSync('/usr/lib/postgresql').sort().at(-1), 'bin');
  const data = path.join(folder, 'data');
  run(path.join(tools, 'initdb'), '-D', data, '-U', 'postgres', '--locale=C.UTF-8', '-E', 'UTF8', '-A', 'trust', '-N');
  const authority = certificate(folder, 'ca');
  const signed = ['-CA', authority.file, '-CAkey', authority.key, '-addext', 'subjectAltName=DNS:localhost'];
  const own = certificate(folder, 'localhost', ...signed);
  fs.copyFileSync(own.file, path.join(data, 'server.crt'));
  fs.copyFileSync(own.key, path.join(data, 'server.key'));
  fs.chmodSync(path.join(data, 'server.key'), 0o600);
  fs.writeFileSync(path.join(data, 'pg_hba.conf'), ['local all postgres trust\n', ...RULES].join(''));
  const port = await freePort();
  const settings = [`port=${port}`, `unix_socket_directories=${folder}`, 'listen_addresses=localhost', ...SETTINGS];
  fs.appendFileSync(path.join(data, 'postgresql.conf'), `${settings.map(quoted).join('\n')}\n`);
  const control = (...parameters) => run(path.join(tools, 'pg_ctl'), '-D', data, '-w', '-s', ...parameters);
  control('-l', path.join(folder, 'log'), 'start');
  const stop = () => control('-m', 'immediate', 'stop');
  return { folder, port, authority: authority.file, other: certificate(folder, 'other').file, stop };
}

function quoted(setting) {
  const [name, value] = setting.split('=');
  return `${name} = '${value}'`;
}

async function makeDatabases(server) {
  const password = PASSWORD.replaceAll("'", "''");
  await query(
    server,
    'postgres',
    'CREATE ROLE contralock_owner',
    `CREATE ROLE contralock_user LOGIN PASSWORD '${password}'`,
  );
  for (const profile of ['contralock', 'contralock_deployed']) {
    await query(server, 'postgres', `CREATE DATABASE ${profile} OWNER contralock_owner`);
    const schema = path.join(PROFILES, profile, 'schema');
    const changes = fs
      .readdirSync(schema)
      .filter((name) => name.endsWith('.up.sql'))
      .sort();
    const texts = changes.map((name) => fs.readFileSync(path.join(schema, name), 'utf8'));
    const rights = 'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO contralock_user';
    await query(server, profile, 'SET ROLE contralock_owner', ...texts, rights);
  }
}

function runTests(server, files) {
  const environment = {
    ...process.env,
    TEST_PG_SOCKET: server.folder,
    TEST_PG_PORT: String(server.port),
    TEST_PG_CA: server.authority,
    TEST_PG_OTHER_CA: server.other,
    TEST_PG_PASSWORD: PASSWORD,
  };
  const all = ['unit', 'integration'].flatMap((kind) =>
    fs
      .readdirSync(path.join(__dirname, kind))
      .filter((name) => name.endsWith('.test.js'))
      .map((name) => path.join(__dirname, kind, name)),
  );
  const command = ['--test', ...(files.length > 0 ? files : all)];
  return new Promise((resolve) => {
    spawn(process.execPath, command, { env: environment, stdio: 'inherit' }).on('exit', (code) => resolve(code ?? 1));
  });
}

async function main() {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'contralock-'));
  let server;
  try {
    server = await startServer(folder);
    await makeDatabases(server);
    process.exitCode = await runTests(server, process.argv.slice(2));
  } catch (error) {
    console.error(error.stderr ? `${error.message}\n${error.stderr}` : error);
    process.exitCode = 1;
  } finally {
    server?.stop();
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

main();
