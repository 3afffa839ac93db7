/** The lines that have an `event`: each is in the tables of src/audit.ts, and docs/events.md. */
import { expect, test } from '@jest/globals';
import { AUDIT_EVENTS, type AuditName, describeWho, FIELDS, LOG_EVENTS } from '../src/audit.js';
import { expectPage } from './support/page.js';
import { listFiles, readSource } from './support/source-file.js';

const KEPT = { history: 'log, file, history', file: 'log, file' } as const;
const names = Object.keys(AUDIT_EVENTS) as AuditName[];

test('docs/events.md is made of the tables', () => {
  const audit = names.map((name) => {
    const { level, kept, by, message, alert, fields } = AUDIT_EVENTS[name];
    const listed = (fields as readonly string[]).map((field) => `\`${field}\``).join(', ') || '–';
    return `| \`${name}\` | ${level} | ${message} | ${by} | ${listed} | ${KEPT[kept]} | ${alert ?? 'no'} |\n`;
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
\`osUser\`, \`host\` and \`account\` of a command; \`proxyId\` of a proxy.

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

Lines of the log that have a field \`event\`. Made of \`src/audit.ts\` by \`UPDATE_GOLDEN=1 npm test -- events\`.

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
fill it with them. \`used-while-held\` has one row for a table, with the sum in \`uses\`. Rows are deleted
\`UNDROP_LEDGER_KEEP\` after their table's row of the ledger would be. What is under sql_log_bin=0 is not in the binary log, here neither.
`;
