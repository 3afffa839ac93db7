/**
 * Lines with an `event`, and the page docs/reference/events.md: it is written by hand, but each
 * event and each field that the code has is in one of its tables.
 */
import { AUDIT_EVENTS, type AuditName, type Who } from '../src/audit.js';
import { describeWho } from '../src/ledger/history.js';
import { rowsOf } from './support/page.js';
import { listFiles, readSource } from './support/source-file.js';

const ACTOR: Readonly<Record<keyof Who, true>> = {
  ...{ user: true, client: true, threadId: true, program: true },
  ...{ osUser: true, host: true, account: true, proxyId: true },
};

const names = Object.keys(AUDIT_EVENTS) as AuditName[];
const fieldsOf = (name: AuditName): readonly string[] => AUDIT_EVENTS[name].fields;
const [inHistory = [], inLogOnly = [], fields = [], log = []] = rowsOf('docs/reference/events.md');
const firstCells = (rows: typeof fields) => rows.map(([name = '']) => name.replaceAll('`', ''));

test('docs/reference/events.md has each event of the audit, with its level and fields', () => {
  for (const [isKept, rows] of [
    [true, inHistory],
    [false, inLogOnly],
  ] as const) {
    const expected = names
      .filter((name) => AUDIT_EVENTS[name].isKept === isKept)
      .map((name) => {
        const { level, message } = AUDIT_EVENTS[name];
        return [`\`${name}\``, level, message, listed(fieldsOf(name))];
      });
    expect(rows.map(([name, level, says, , own]) => [name, level, says, own])).toEqual(expected);
  }
});

/** Fields that many events have are named together. */
function listed(own: readonly string[]): string {
  return own
    .map((field) => `\`${field}\``)
    .join(' ')
    .replace('`id` `dropId` `schema` `table`', '*table*')
    .replace('*table* `holdSchema` `holdName`', '*held table*');
}

test('docs/reference/events.md has each field once', () => {
  const all = new Set([...Object.keys(ACTOR), ...names.flatMap(fieldsOf)]);
  expect(firstCells(fields).toSorted()).toEqual([...all].toSorted());
});

test('every event that the code has a name for is in one table', () => {
  const written = listFiles('src', ['.ts'])
    .filter((path) => path !== 'src/audit.ts')
    .flatMap((path) => [
      ...readSource(path).text.matchAll(/\bevent: '([a-z_-]+)'(?! \||, listener)/g),
    ])
    .map(([, name = '']) => name);
  const known: readonly string[] = [...names, ...firstCells(log)];
  expect(new Set(known).size).toBe(known.length);
  expect([...new Set(written)].filter((name) => !known.includes(name))).toEqual([]);
});

test.each([
  [{ user: 'app', client: '10.0.0.1:5', threadId: 7 }, 'app from 10.0.0.1:5'],
  [{ user: 'app', client: '10.0.0.1:5', program: 'dbt' }, 'app from 10.0.0.1:5 (dbt)'],
  [{ osUser: 'ann', host: 'db1', account: 'undrop' }, 'ann@db1 as undrop'],
  [{ proxyId: '0193' }, 'undrop 0193'],
])('who it was, in words: %j', (who, words) => {
  expect(describeWho(who)).toBe(words);
});
