/** The lines that have an `event`: each is in the tables of src/audit.ts, and docs/events.md. */
import { expect, test } from '@jest/globals';
import { AUDIT_EVENTS, type AuditField, type AuditName } from '../src/audit.js';
import { describeWho } from '../src/ledger/history.js';
import { expectPage } from './support/page.js';
import { listFiles, readSource } from './support/source-file.js';

/** Whose each event is, and when to alert somebody; null: never. */
const PEOPLE: Readonly<Record<AuditName, { readonly by: string; readonly alert: string | null }>> =
  {
    held: { by: 'a client', alert: null },
    recovered: { by: 'a client', alert: null },
    transition: { by: 'a proxy', alert: null },
    removal: { by: 'a proxy', alert: null },
    restored: { by: 'a client or a command', alert: null },
    'hold-changed': { by: 'a command', alert: null },
    'remove-asked': { by: 'a command', alert: null },
    paused: { by: 'a command', alert: null },
    resumed: { by: 'a command', alert: null },
    'used-while-held': { by: 'a client', alert: 'yes: the application still uses a dropped table' },
    hint: { by: 'a client', alert: null },
    native: { by: 'a client', alert: 'if no rule `native` is meant' },
    destroyed: { by: 'a client', alert: 'yes: it can not be taken back' },
    observed: { by: 'a client', alert: 'if `UNDROP_MODE=observe` is not meant' },
    refused: { by: 'a client', alert: 'at level error, and for many of one code' },
  };

/** What each field means, for people. */
const FIELDS: Readonly<Record<AuditField, string>> = {
  user: 'the user of the client’s session, without the host',
  client: 'the client’s address, as `host:port`',
  threadId: 'the session on the server, as in `SHOW PROCESSLIST`',
  osUser: 'who ran the command, by the system’s name',
  host: 'the machine on which the command ran',
  account: 'the database account (`UNDROP_USER`) of the command',
  proxyId: 'the process of undrop, which has another id after each start',
  id: 'the id of the held table, in its hold name and in the ledger',
  dropId: 'the id that all tables of one statement have in common (`group_id` in the ledger)',
  schema: 'the schema that the table was dropped from',
  table: 'its name there; `t#p1` are the rows of a partition',
  holdSchema: 'where it is held',
  holdName: 'its hold name there',
  how: '`DROP TABLE`, `DROP DATABASE`, `TRUNCATE`, `PARTITION`, `REPLACE` or `SWAP`',
  until: 'when its state ends, or `pinned`; of a pause: its end, null if it has none',
  because: 'the rule or the hint that decided; of a step: why now',
  from: 'the state before',
  to: 'the state now',
  restoredAs: 'the name that it has now, `schema.table`',
  hints: 'what the statement and the session hinted at',
  code: 'the error that the client got (errors.md)',
  statement: 'the beginning of the statement, without literals',
  tables: 'what it names, as far as it was read; `schema.*`: all of a schema',
  by: 'the rule or the hint for each of `tables`',
  count: 'how many statements have failed, since the line before',
};

/** Lines of the log alone. Their fields may change; their names don't. */
const LOG_EVENTS: Readonly<
  Record<string, { readonly levels: string; readonly alert: string | null; readonly what: string }>
> = {
  ready: { levels: 'info', alert: null, what: 'clients are served' },
  waiting: { levels: 'warn', alert: 'if `ready` does not follow', what: 'no server answers yet' },
  unprotected: { levels: 'warn', alert: 'if it is not meant', what: 'settings let tables go' },
  ledger: { levels: 'info', alert: null, what: 'the ledger is ready, or left alone' },
  'broken-rows': {
    levels: 'info, warn',
    alert: null,
    what: 'whether rows break the foreign keys of a restored table, if UNDROP had no time to look',
  },
  'ledger-server': {
    levels: 'info, warn',
    alert: null,
    what: 'which server has the ledger, after a failover',
  },
  'upstream-plain': {
    levels: 'warn',
    alert: 'if TLS is meant',
    what: 'the service connects without TLS',
  },
  workers: { levels: 'info', alert: null, what: 'how many processes serve' },
  admin: {
    levels: 'info, error',
    alert: 'at level error',
    what: 'where /healthz, /readyz and /metrics are, or a request failed',
  },
  worker: { levels: 'info, error', alert: 'at level error', what: 'a process serves, or died' },
  'open-files': {
    levels: 'warn',
    alert: 'yes: fewer clients than are allowed',
    what: 'the limit of open files is too low',
  },
  reload: {
    levels: 'info, warn, error',
    alert: 'at level error',
    what: 'the settings were read anew, or not',
  },
  signal: { levels: 'info', alert: null, what: 'a signal came' },
  draining: { levels: 'info', alert: null, what: 'how far the end of a proxy is' },
  stopped: { levels: 'info', alert: null, what: 'the end, with all counters' },
  collector: {
    levels: 'debug, info, warn, error',
    alert: 'at level error',
    what: 'who collects, and why nothing is collected',
  },
  grace: { levels: 'warn', alert: null, what: 'nothing is collected until then' },
  purge: { levels: 'info, warn', alert: null, what: 'how far the deleting of rows is' },
  limits: {
    levels: 'warn',
    alert: 'yes: tables go before their time above the limits',
    what: 'what is held comes near its limits, or is over them, and whether tables go before their time for it',
  },
  file: {
    levels: 'info, warn',
    alert: null,
    what: 'files of removed tables are given back in steps, or can not be',
  },
  left: { levels: 'warn', alert: 'if it stays so', what: 'a table can not go on' },
  torn: { levels: 'warn', alert: 'yes: what-if.md says how to mend it', what: 'a table in pieces' },
  schema_drop_unchecked: {
    levels: 'error',
    alert: 'yes',
    what: 'a schema was dropped, and its last look has failed',
  },
  'audit-file': {
    levels: 'error',
    alert: 'yes: the log still has the lines',
    what: 'UNDROP_AUDIT_FILE can not be written',
  },
  history: {
    levels: 'warn',
    alert: null,
    what: 'lines that the ledger’s history lacks; the log has them',
  },
};

const names = Object.keys(AUDIT_EVENTS) as AuditName[];

test('docs/events.md is made of the tables', () => {
  const audit = names.map((name) => {
    const { level, isKept, message, fields } = AUDIT_EVENTS[name];
    const { by, alert } = PEOPLE[name];
    const where = isKept ? 'log, file, history' : 'log, file';
    const listed = (fields as readonly string[]).map((field) => `\`${field}\``).join(', ') || '–';
    return `| \`${name}\` | ${level} | ${message} | ${by} | ${listed} | ${where} | ${alert ?? 'no'} |\n`;
  });
  const fields = Object.entries(FIELDS).map(([name, what]) => `| \`${name}\` | ${what} |\n`);
  const log = Object.entries(LOG_EVENTS).map(
    ([name, { levels, alert, what }]) =>
      `| \`${name}\` | ${levels} | ${what} | ${alert ?? 'no'} |\n`,
  );
  expectPage(
    'docs/events.md',
    `${OPENING}${audit.join('')}
A refusal is of level error if undrop is at fault. Who it was: \`user\`, \`client\` and \`threadId\` of a client;
\`osUser\`, \`host\` and \`account\` of a command, which has no log; \`proxyId\` of a proxy.

| field | what it is |
|---|---|
${fields.join('')}
${HISTORY}
## The log alone

How undrop is. The names stay; the other fields may change from version to version.

| event | level | what it says | alert |
|---|---|---|---|
${log.join('')}`,
  );
});

test('every event that the code has a name for is in one table', () => {
  const written = listFiles('src', ['.ts'])
    .filter((path) => path !== 'src/audit.ts')
    .flatMap((path) => [
      ...readSource(path).text.matchAll(/\bevent: '([a-z_-]+)'(?! \||, listener)/g),
    ])
    .map(([, name]) => name);
  const known = [...names, ...Object.keys(LOG_EVENTS)];
  expect([...new Set(written)].filter((name) => !known.includes(name ?? ''))).toEqual([]);
});

test.each([
  [{ user: 'app', client: '10.0.0.1:5', threadId: 7 }, 'app from 10.0.0.1:5'],
  [{ osUser: 'ann', host: 'db1', account: 'undrop' }, 'ann@db1 as undrop'],
  [{ proxyId: '0193' }, 'undrop 0193'],
])('who it was, in words: %j', (who, words) => {
  expect(describeWho(who)).toBe(words);
});

const OPENING = `# Events

Lines of the log that have a field \`event\`. Made of \`src/audit.ts\` and \`test/events.test.ts\` by \`UPDATE_GOLDEN=1 npm test -- events\`.

## The audit

Who did what to which table. One JSON object a line, in the log, in the file of \`UNDROP_AUDIT_FILE\` if it is set, and,
of what changed something, in the ledger's history. \`event\` and \`at\` (UTC, by the clock of undrop's machine) are in each;
the file has \`message\`, what the log calls \`msg\`. The file gets every line, whatever \`UNDROP_LOG_LEVEL\` is.

The file is opened once, with the mode 0640 if it is new, and again at SIGHUP, as \`logrotate\` wants it. Several processes
append to it, each line in one write. If it can't be written, an \`audit-file\` line in the log says so once, nothing is refused,
and the next line tries again.

| event | level | what it says | who | fields | where | alert |
|---|---|---|---|---|---|---|
`;

const HISTORY = `The history is the table \`_undrop.history\`: \`at\` (by the server's clock), \`event\`, \`id\`, \`drop_id\`, \`who\` in words, and
\`details\`, the fields as JSON. It is written after the client has its answer, and made anew if somebody drops it; what can't be
written to it is left out, and a \`history\` line in the log says so. Refusals and hints are not in it, because any client could
fill it with them. \`used-while-held\` has one row for a table, with the sum in \`uses\`. Rows older than \`UNDROP_LEDGER_KEEP\` are deleted once
the ledger has no row of their table any more. Rows about a drop under \`sql_log_bin=0\` are not in the binary log.
`;
