/** The lines that have an `event`: each is in the tables of src/audit.ts, and docs/events.md. */
import { expect, test } from '@jest/globals';
import { AUDIT_EVENTS, type AuditField, type AuditName } from '../src/audit.js';
import { describeWho } from '../src/ledger/history.js';
import { NEWS_KINDS, type NewsKind } from '../src/news.js';
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
    'rows-shown': { by: 'the console', alert: null },
    'remove-asked': { by: 'a command', alert: null },
    paused: { by: 'a command', alert: null },
    resumed: { by: 'a command', alert: null },
    'used-while-held': { by: 'a client', alert: 'yes: the application still uses a dropped table' },
    'signed-in': { by: 'the console', alert: null },
    'sign-in-refused': { by: 'the console', alert: 'for many' },
    hint: { by: 'a client', alert: null },
    native: { by: 'a client', alert: 'if no rule `native` is meant' },
    destroyed: { by: 'a client', alert: 'yes: it cannot be undone' },
    observed: { by: 'a client', alert: 'if `UNDROP_MODE=observe` is not meant' },
    refused: { by: 'a client', alert: 'at level error, and for many of one code' },
  };

/** What each field means, for people. */
const FIELDS: Readonly<Record<AuditField, string>> = {
  user: 'the user of the client’s session, without the host',
  client: 'the client’s address, as `host:port`',
  threadId: 'the session on the server, as in `SHOW PROCESSLIST`',
  osUser: 'the OS user that ran the command',
  host: 'the machine on which the command ran',
  account: 'the database account (`UNDROP_USER`) of the command',
  proxyId: 'the process of undrop; it has a new id after each start',
  id: 'the id of the held table, in its hold name and in the ledger',
  dropId: 'the id that all tables of one statement have in common (`group_id` in the ledger)',
  schema: 'the schema that the table was dropped from',
  table: 'the name of the table there; `t#p1` for the rows of a partition',
  holdSchema: 'the schema in which it is held',
  holdName: 'its hold name there',
  how: '`DROP TABLE`, `DROP DATABASE`, `TRUNCATE`, `PARTITION`, `REPLACE` or `SWAP`',
  bytes: 'its size by the server’s estimate at the drop; null: not known',
  tags: 'the key-value comment of the statement (sqlcommenter), such as its `traceparent`; null: none',
  until: 'the end of its state, or `pinned`; for a pause its end, or null for no end',
  because:
    'the rule or the hint that decided; for a transition, a pause or a refused sign-in its reason',
  from: 'the previous state',
  to: 'the new state',
  restoredAs: 'its new name, `schema.table`',
  hints: 'the hints of the statement and the session',
  code: 'the error that the client got (errors.md)',
  statement: 'the beginning of the statement, without literals',
  tables: 'the tables that it names, as far as it was read; `schema.*` for all tables of a schema',
  by: 'the rule or the hint for each of `tables`',
  count: 'the number of statements that have failed since the previous line',
};

/** Lines of the log alone. Their fields may change; their names don't. */
const LOG_EVENTS: Readonly<
  Record<string, { readonly levels: string; readonly alert: string | null; readonly what: string }>
> = {
  ready: { levels: 'info', alert: null, what: 'the proxy serves clients' },
  waiting: {
    levels: 'warn',
    alert: 'if `ready` does not follow',
    what: 'waits, because no server answers yet',
  },
  unprotected: {
    levels: 'warn',
    alert: 'if it is not meant',
    what: 'settings that let tables be destroyed',
  },
  ledger: { levels: 'info', alert: null, what: 'the ledger is ready, or was not touched' },
  service: {
    levels: 'warn',
    alert: null,
    what: 'the row of the service in `_undrop.proxies` could not be written',
  },
  'broken-rows': {
    levels: 'info, warn',
    alert: null,
    what: 'whether rows break the foreign keys of a restored table, if UNDROP had no time to check',
  },
  'ledger-server': {
    levels: 'info, warn',
    alert: null,
    what: 'the server that has the ledger, after a failover',
  },
  'upstream-plain': {
    levels: 'warn',
    alert: 'if TLS is meant',
    what: 'the service account connects without TLS',
  },
  workers: { levels: 'info', alert: null, what: 'the number of processes that serve clients' },
  admin: {
    levels: 'info, error',
    alert: 'at level error',
    what: 'the address of /healthz, /readyz and /metrics, or a failed request',
  },
  worker: {
    levels: 'info, error',
    alert: 'at level error',
    what: 'a process started to serve, or died',
  },
  'open-files': {
    levels: 'warn',
    alert: 'yes: fewer clients than are allowed',
    what: 'the limit of open files is too low',
  },
  reload: {
    levels: 'info, warn, error',
    alert: 'at level error',
    what: 'reloaded the settings, or could not',
  },
  process: {
    levels: 'error',
    alert: 'yes',
    what: 'killed a process of undrop, or could not reach it',
  },
  'control-socket': {
    levels: 'warn',
    alert: 'if `undrop reload` or `drain` is used',
    what: 'the socket for commands could not be opened',
  },
  drain: { levels: 'info', alert: null, what: '`undrop drain` or `undrop undrain`' },
  signal: { levels: 'info', alert: null, what: 'received a signal' },
  draining: { levels: 'info', alert: null, what: 'progress of a shutdown' },
  stopped: { levels: 'info', alert: null, what: 'the end of the proxy, with all counters' },
  collector: {
    levels: 'debug, info, warn, error',
    alert: 'at level error',
    what: 'which proxy is the collector, and why the collector waits',
  },
  grace: { levels: 'warn', alert: null, what: 'waiting for UNDROP_GRACE before the first removal' },
  purge: { levels: 'info, warn', alert: null, what: 'progress of the deletion of rows' },
  limits: {
    levels: 'warn',
    alert: 'yes: tables are removed early above the limits',
    what: 'held tables come near their limits, or are over them, and whether tables are removed early',
  },
  file: {
    levels: 'info, warn',
    alert: null,
    what: 'frees files of removed tables in steps, or cannot',
  },
  left: { levels: 'warn', alert: 'if it stays so', what: 'cannot move a table on' },
  torn: { levels: 'warn', alert: 'yes: what-if.md describes the repair', what: 'a torn table' },
  schema_drop_unchecked: {
    levels: 'error',
    alert: 'yes',
    what: 'a schema was dropped, but the last check of it failed',
  },
  'audit-file': {
    levels: 'error',
    alert: 'yes: the log still has the lines',
    what: 'cannot write UNDROP_AUDIT_FILE',
  },
  webhook: {
    levels: 'debug, warn, error',
    alert: 'if it stays so',
    what: 'news that a webhook does not get; `receiver` is its place in UNDROP_WEBHOOK',
  },
  history: {
    levels: 'warn',
    alert: null,
    what: 'lines that the history in the ledger lacks; the log has them',
  },
};

/** News for webhooks: the moment, and the sender. */
const NEWS: Readonly<Record<NewsKind, { readonly when: string; readonly by: string }>> = {
  drop: {
    when: 'a statement dropped tables of `UNDROP_WEBHOOK_DROP_SIZE` or more, by the server’s estimate',
    by: 'the proxy that ran it',
  },
  'drop-database': {
    when: 'a `DROP DATABASE` held tables; it is no `drop` then',
    by: 'the proxy that ran it',
  },
  'used-while-held': {
    when: 'statements fail because they use a held table; once a day for each table',
    by: 'the proxy that ran them',
  },
  expiring: {
    when: 'a held table that was used leaves HOLD within 24 hours',
    by: 'the collecting proxy',
  },
  disk: {
    when: 'the file system of `UNDROP_DATADIR` is full to 80 %: with the users that hold most, and the largest tables that may go',
    by: 'the collecting proxy',
  },
  limit: {
    when: 'held tables take 80 % of `UNDROP_MAX_BYTES` or `UNDROP_MAX_TABLES`',
    by: 'the collecting proxy',
  },
  ledger: { when: 'drops are refused for a minute, because the ledger is not ready', by: 'each' },
  collector: { when: 'no proxy has collected for a minute', by: 'each' },
  left: {
    when: 'the collector can’t move a table on, or remove it, and leaves it unchanged',
    by: 'the collecting proxy',
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
  const news = NEWS_KINDS.map(
    (kind) => `| \`${kind}\` | ${NEWS[kind].when} | ${NEWS[kind].by} |\n`,
  );
  const log = Object.entries(LOG_EVENTS).map(
    ([name, { levels, alert, what }]) =>
      `| \`${name}\` | ${levels} | ${what} | ${alert ?? 'no'} |\n`,
  );
  expectPage(
    'docs/events.md',
    `${OPENING}${audit.join('')}
A refusal has the level error if undrop is at fault. The actor is in \`user\`, \`client\` and \`threadId\` for a client;
in \`osUser\`, \`host\` and \`account\` for a command, which has no log; in \`proxyId\` for a proxy.

| field | meaning |
|---|---|
${fields.join('')}
${HISTORY}
${NEWS_OPENING}${news.join('')}
${NEWS_FORMATS}
## The log alone

These lines report the state of undrop. The names stay; the other fields may change from version to version.

| event | level | meaning | alert |
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

Lines of the log that have a field \`event\`. Generated from \`src/audit.ts\` and \`test/events.test.ts\` by \`UPDATE_GOLDEN=1 npm test -- events\`.

## The audit

The audit records who did what to which table. Each line is a JSON object in the log, and in the file of \`UNDROP_AUDIT_FILE\`
if it is set; lines about changes are also in the ledger's history. All have \`event\` and \`at\` (UTC, by the clock of undrop's machine);
the \`msg\` of the log is \`message\` in the file. The file gets every line, whatever \`UNDROP_LOG_LEVEL\` is.

Undrop opens the file once, with the mode 0640 if it is new, and again at SIGHUP, for \`logrotate\`. Several processes
append to it, each line in one write. If undrop can't write it, the log gets one \`audit-file\` line, no statement is refused,
and undrop tries again with the next line.

| event | level | meaning | actor | fields | where | alert |
|---|---|---|---|---|---|---|
`;

const HISTORY = `The history is the table \`_undrop.history\`: \`at\` (by the server's clock), \`event\`, \`id\`, \`drop_id\`, \`who\` in words, and
\`details\`, the fields as JSON. Undrop writes it after the client has its response, and creates it again if it was dropped; an event that
can't be written is left out, and the log gets a \`history\` line. Refusals and hints are not in it, because any client could
fill it with them. \`used-while-held\` has one row for each table, with the sum in \`uses\`. Rows older than \`UNDROP_LEDGER_KEEP\` are deleted once
the ledger has no row of their table. Rows about a drop under \`sql_log_bin=0\` are not in the binary log.
`;

const NEWS_OPENING = `## News

With \`UNDROP_WEBHOOK\` a team's channel, or a program, gets the news by HTTP POST. \`UNDROP_WEBHOOK_EVENTS\` chooses among them:

| event | when | sent by |
|---|---|---|
`;

const NEWS_FORMATS = `Where no proxy collects, each proxy sends what the collecting one would. A state (\`disk\`, \`limit\`, \`ledger\`, \`collector\`) is sent when
it begins, and again only after it has ended; disk and limits, after they were below 75 %. A start of undrop sends states that last once more; a reload doesn't.

For a channel of Slack or Mattermost, create an *incoming webhook* there, and give its URL to undrop:

\`\`\`sh
export UNDROP_WEBHOOK=https://hooks.slack.com/services/T…/B…/…
export UNDROP_WEBHOOK_EVENTS=drop-database,disk,ledger,collector
\`\`\`

The channel reads:

> undrop on \`db.example.org:3306\`: \`deploy\` dropped \`shop\` (\`DROP DATABASE\`, \`212 tables\`, \`48 GB\`). Held until \`2026-12-05T09:21:49.000Z\`.
> Event 01a1f839f32774e0b1cc7a30d2f15e88

| \`UNDROP_WEBHOOK_FORMAT\` | body |
|---|---|
| \`text\` | \`{"text": …}\`, for Slack and Mattermost |
| \`card\` | an Adaptive Card in a message, for Microsoft Teams |
| \`event\` | \`eventId\`, \`event\`, \`at\`, \`server\`, \`proxyId\`, \`message\` (the sentence) and the event's own fields |

No body has the text of a statement, because it may have literals. Names of tables, schemas and users are there as they are, also those that a reader of
the channel may not see on the server.

Each request has the headers \`Undrop-Event\`, \`Undrop-Event-Id\` and \`Undrop-Timestamp\` (seconds since 1970 of this try). With
\`UNDROP_WEBHOOK_SECRET\`, \`Undrop-Signature\` is \`v1=\` and the HMAC-SHA256, in hexadecimal digits, of the timestamp, a dot and the body. A receiver
checks it before it reads the body, and refuses old timestamps:

\`\`\`js
const expected = createHmac('sha256', secret).update(\`\${headers['undrop-timestamp']}.\${rawBody}\`).digest('hex');
const isGenuine = timingSafeEqual(Buffer.from(\`v1=\${expected}\`), Buffer.from(headers['undrop-signature']));
const isFresh = Math.abs(Date.now() / 1000 - Number(headers['undrop-timestamp'])) < 300;
\`\`\`

Undrop waits 10 seconds for a response, of which it reads the status alone. A request that fails (no connection, no response, a status of 500 and above, 408, 425 or 429) is
tried again after pauses from 1 second to 5 minutes, for six hours; any other status below 200 or from 300 on ends the tries at once, and redirections are not followed. Of each URL at most 1,000 events
wait, in their order; above that the oldest go. What is given up is one line of the log (\`webhook\`) and counted in \`undrop_webhook_events_total\`. An event may
come twice, above all at a reload: then it has the same id. A statement never waits for any of this, and a shutdown two seconds at most. The log and the
errors never have a URL: \`receiver\` is its place in \`UNDROP_WEBHOOK\`. The system's proxies (\`HTTPS_PROXY\`) are not used; \`NODE_EXTRA_CA_CERTS\` names further certificate authorities.
`;
