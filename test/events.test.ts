/** Lines with an `event`: each is in the tables of src/audit.ts, and docs/reference/events.md. */
import { expect, test } from '@jest/globals';
import { AUDIT_EVENTS, type AuditField, type AuditName } from '../src/audit.js';
import { describeWho } from '../src/ledger/history.js';
import type { NewsKind } from '../src/webhook/news.js';
import { expectPage, tableOf } from './support/page.js';
import { listFiles, readSource } from './support/source-file.js';

/** Whose each event is, and when to alert somebody; null: never. */
const PEOPLE: Readonly<Record<AuditName, { readonly by: string; readonly alert: string | null }>> =
  {
    held: { by: 'client', alert: null },
    recovered: { by: 'client', alert: null },
    transition: { by: 'proxy', alert: null },
    removal: { by: 'proxy', alert: null },
    restored: { by: 'client, command', alert: null },
    'hold-changed': { by: 'command', alert: null },
    'rows-shown': { by: 'console', alert: null },
    'remove-asked': { by: 'command', alert: null },
    paused: { by: 'command', alert: null },
    resumed: { by: 'command', alert: null },
    'used-while-held': { by: 'client', alert: 'yes: the application uses a dropped table' },
    'signed-in': { by: 'console', alert: null },
    'sign-in-refused': { by: 'console', alert: 'for many' },
    hint: { by: 'client', alert: null },
    native: { by: 'client', alert: 'if no rule `native` is meant' },
    destroyed: { by: 'client', alert: 'yes: it cannot be undone' },
    observed: { by: 'client', alert: 'if `UNDROP_MODE=observe` is not meant' },
    refused: { by: 'client', alert: 'at level error, and for many of one code' },
  };

/** What each field means, for people. */
const FIELDS: Readonly<Record<AuditField, string>> = {
  user: 'the user of the session, without the host',
  client: 'the client’s address, as `host:port`',
  threadId: 'the session on the server, as in `SHOW PROCESSLIST`',
  osUser: 'the OS user that ran the command',
  host: 'the machine on which the command ran',
  account: 'the database account (`UNDROP_USER`) of the command',
  proxyId: 'the process of undrop; it has a new id after each start',
  id: 'the id of the held table',
  dropId: 'the id of the statement, for all its tables (`group_id` in the ledger)',
  schema: 'the schema that the table was dropped from',
  table: 'the name of the table there',
  holdSchema: 'the schema in which it is held',
  holdName: 'its hold name there',
  how: '`DROP TABLE`, `DROP DATABASE`, `TRUNCATE`, `REPLACE` or `SWAP`',
  bytes: 'its estimated size at the drop; null: not known',
  tags: 'the sqlcommenter tags of the statement, such as `traceparent`; null: none',
  until: 'the end of its state, or `pinned`; for a pause its end, or null for no end',
  because:
    'the rule or hint that decided; for a transition, a pause or a refused sign-in its reason',
  from: 'the previous state',
  to: 'the new state',
  restoredAs: 'its new name, `schema.table`',
  hints: 'the hints of the statement and the session',
  code: 'the error that the client got ([errors](errors.md))',
  statement: 'the beginning of the statement, without literals',
  tables: 'the tables that it names; `schema.*` for all of a schema',
  by: 'the rule or hint for each of `tables`',
  count: 'failed statements since the previous line',
};

/** Lines of the log alone. Their fields may change; their names don't. */
const LOG_EVENTS: Readonly<
  Record<string, { readonly alert: string | null; readonly what: string }>
> = {
  ready: { alert: null, what: 'the proxy serves clients' },
  waiting: {
    alert: 'if `ready` does not follow',
    what: 'waits, because no server answers yet',
  },
  unprotected: {
    alert: 'if it is not meant',
    what: 'settings that let tables be destroyed, or hardly held',
  },
  ledger: { alert: null, what: 'the ledger is ready, or was not touched' },
  service: {
    alert: null,
    what: 'the row of the service in `_undrop.proxies` could not be written',
  },
  'broken-rows': {
    alert: null,
    what: 'whether rows break the foreign keys of a restored table, if UNDROP did not check it',
  },
  'ledger-server': {
    alert: null,
    what: 'the server that has the ledger, after a failover',
  },
  'upstream-plain': {
    alert: 'if TLS is meant',
    what: 'the service account connects without TLS',
  },
  workers: { alert: null, what: 'the number of processes that serve clients' },
  admin: {
    alert: 'at level error',
    what: 'the address of UNDROP_ADMIN_LISTEN, or a failed request',
  },
  worker: {
    alert: 'at level error',
    what: 'a process started to serve, or died',
  },
  'open-files': {
    alert: 'yes: fewer clients than are allowed',
    what: 'the limit of open files is too low',
  },
  reload: {
    alert: 'at level error',
    what: 'reloaded the settings, or could not',
  },
  process: {
    alert: 'yes',
    what: 'killed a process of undrop, or could not reach it',
  },
  'control-socket': {
    alert: 'if `undrop reload` is used',
    what: 'the socket for commands could not be opened',
  },
  signal: { alert: null, what: 'received a signal' },
  draining: { alert: null, what: 'progress of a shutdown' },
  stopped: { alert: null, what: 'the end of the proxy, with all counters' },
  collector: {
    alert: 'at level error',
    what: 'which proxy is the collector, and why the collector waits',
  },
  grace: { alert: null, what: 'waiting for UNDROP_GRACE before the first removal' },
  purge: { alert: null, what: 'progress of the deletion of rows' },
  limits: {
    alert: 'yes: tables are removed early above the limits',
    what: 'held tables are near or over their limits',
  },
  file: {
    alert: null,
    what: 'frees files of removed tables in steps, or cannot',
  },
  left: { alert: 'if it stays so', what: 'cannot move a table on' },
  torn: {
    alert: 'yes: the [runbook](../runbook.md) describes the repair',
    what: 'a torn table',
  },
  schema_drop_unchecked: {
    alert: 'yes',
    what: 'a schema was dropped, but the last check of it failed',
  },
  'audit-file': {
    alert: 'yes: the log still has the lines',
    what: 'cannot write UNDROP_AUDIT_FILE',
  },
  webhook: {
    alert: 'if it stays so',
    what: 'a webhook does not get news; `receiver` is its place in UNDROP_WEBHOOK',
  },
  history: {
    alert: null,
    what: 'lines that the history lacks; the log has them',
  },
};

/** News for webhooks: the moment. */
const NEWS: Readonly<Record<NewsKind, string>> = {
  drop: 'a statement dropped 1 GiB or more, by estimate',
  'drop-database': 'a `DROP DATABASE` held tables; it is no `drop` then',
  'used-while-held': 'statements fail because they use a held table; once a day for each table',
};

const names = Object.keys(AUDIT_EVENTS) as AuditName[];

test('docs/reference/events.md is made of the tables', () => {
  const audit = (isInHistory: boolean) => {
    const rows = names
      .filter((name) => AUDIT_EVENTS[name].isKept === isInHistory)
      .map((name) => {
        const { level, message, fields } = AUDIT_EVENTS[name];
        const { by, alert } = PEOPLE[name];
        return [`\`${name}\``, level, message, by, listed(fields), alert ?? ''];
      });
    return tableOf(['event', 'level', 'meaning', 'actor', 'fields', 'alert'], rows);
  };
  const fields = Object.entries(FIELDS).map(([name, meaning]) => [`\`${name}\``, meaning]);
  const news = Object.entries(NEWS).map(([kind, when]) => [`\`${kind}\``, when]);
  const log = Object.entries(LOG_EVENTS).map(([name, { alert, what }]) => [
    `\`${name}\``,
    what,
    alert ?? '',
  ]);
  expectPage(
    'docs/reference/events.md',
    `${OPENING}${audit(true)}

These events are in the log and the file alone, because any client could cause any number of them. A refusal has the level error if undrop is at fault.

${audit(false)}

${tableOf(['field', 'meaning'], fields)}

${HISTORY}
${NEWS_OPENING}${tableOf(['event', 'when'], news)}

${NEWS_FORMATS}
## The log alone

These lines report the state of undrop. Their names stay; their other fields may change.

${tableOf(['event', 'meaning', 'alert'], log)}
`,
  );
});

/** Fields that many events have are named together. */
function listed(fields: readonly string[]): string {
  return fields
    .map((field) => `\`${field}\``)
    .join(' ')
    .replace('`id` `dropId` `schema` `table`', '*table*')
    .replace('*table* `holdSchema` `holdName`', '*held table*');
}

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

<!-- generated: test/events.test.ts -->

Lines of the log with a field \`event\`.

## The audit

The audit records who did what to which table. Each line is a JSON object in the log and in \`UNDROP_AUDIT_FILE\`, with \`event\`, \`at\` (UTC, by the
clock of undrop's machine) and \`message\` (in the log \`msg\`). The file gets every line, whatever \`UNDROP_LOG_LEVEL\` is.

The actor is in \`user\`, \`client\` and \`threadId\` for a client; in \`osUser\`, \`host\` and \`account\` for a command, which has no log; in \`proxyId\` for a proxy.

Undrop creates the file with the mode 0640, and opens it again at SIGHUP. If it cannot be written, the log gets one \`audit-file\` line, no
statement is refused, and undrop tries again with the next line.

A *table* has the fields \`id\`, \`dropId\`, \`schema\` and \`table\`; a *held table* also \`holdSchema\` and \`holdName\`. These events are also in the history:

`;

const HISTORY = `The history is the table \`_undrop.history\`: \`at\` (by the server's clock), \`event\`, \`id\`, \`drop_id\`, \`who\` in words, and \`details\`, the fields as
JSON. Undrop writes it after the client has its response. An event that cannot be written is left out, and the log gets a \`history\` line.
\`used-while-held\` has one row for each table, with the sum in \`uses\`. Rows older than 90 days are deleted once the ledger has no row of
their table. Rows about a drop under \`sql_log_bin=0\` are not in the binary log.
`;

const NEWS_OPENING = `## News

With \`UNDROP_WEBHOOK\` a channel or a program gets news by HTTP POST:

`;

const NEWS_FORMATS = `For the state of a server there are [alerts](../runbook.md#alerts).

For Slack or Mattermost, create an *incoming webhook* there, and give its URL to undrop:

\`\`\`sh
export UNDROP_WEBHOOK=https://hooks.slack.com/services/T…/B…/…
\`\`\`

The body is JSON: \`text\`, the sentence that these show, and for programs \`eventId\`, \`event\`, \`at\`, \`server\`, \`proxyId\` and the event's own fields.

It never has the text of a statement. Names of tables, schemas and users are in it, also those that a reader of the channel may not see on the server.

Each request has the headers \`Undrop-Event\`, \`Undrop-Event-Id\` and \`Undrop-Timestamp\` (seconds since 1970). With \`UNDROP_WEBHOOK_SECRET_FILE\`,
\`Undrop-Signature\` is \`v1=\` and the HMAC-SHA256, in hexadecimal digits, of the timestamp, a dot and the body. A receiver checks it before it reads the body:

\`\`\`js
const expected = createHmac('sha256', secret).update(\`\${headers['undrop-timestamp']}.\${rawBody}\`).digest('hex');
const isGenuine = timingSafeEqual(Buffer.from(\`v1=\${expected}\`), Buffer.from(headers['undrop-signature']));
const isFresh = Math.abs(Date.now() / 1000 - Number(headers['undrop-timestamp'])) < 300;
\`\`\`

- Undrop waits 10 seconds for a response, and reads its status alone. It follows no redirection.
- Without a response, or with a status of 408, 425, 429 or 500 and above, it tries again for six hours. Any other failure ends the tries.
- At most 1,000 events wait for each URL; above that the oldest are given up. The log gets a \`webhook\` line, and \`undrop_webhook_events_total\` counts them.
- An event may come twice, above all at a reload; its id is the same.
- No statement waits for a webhook, and a shutdown two seconds at most.
- \`HTTPS_PROXY\` is not used; \`NODE_EXTRA_CA_CERTS\` is.
`;
