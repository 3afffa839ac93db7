/**
 * A DROP TABLE in a table of worlds: what is said, what is held at the end, and what is still there
 * (UPDATE_GOLDEN=1 writes what happens now); and what happens in no world.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { renameGroups } from '../../../src/drop/drop-table/decide.js';
import { breakEach } from '../../support/breaking-port.js';
import type * as worlds from '../../support/drop-world.js';
import { dropBroken, dropIn } from '../../support/drop-world.js';
import fc from '../../support/properties.js';

interface Case extends worlds.DropWorld {
  readonly comment: string;
  end?: worlds.End;
}

const FILE = 'test/golden/drop_table_cases.json';
const cases = JSON.parse(readFileSync(FILE, 'utf8')) as Case[];

test.each(cases)('a DROP TABLE, $server: $comment', async (one) => {
  const end = await dropIn(one);
  if (process.env['UPDATE_GOLDEN'] === '1') {
    one.end = end;
    writeFileSync(FILE, `${JSON.stringify(cases, null, 1)}\n`);
  }
  expect(end).toEqual(one.end);
});

test.each(cases)('a port that breaks loses no base table: $server: $comment', async (one) => {
  await breakEach(async (breakAt) => {
    const names = await dropBroken(one, breakAt);
    if (names === null) return 'whole';
    const bases = (tables: Iterable<worlds.WorldTable>) =>
      [...tables].filter(({ kind, vanishes }) => kind === 'base' && vanishes !== true).length;
    expect(bases(names.values())).toBe(bases(Object.values(one.tables)));
    return 'broken';
  });
});

describe('in no world', () => {
  const table = fc.record<worlds.WorldTable>(
    {
      kind: fc.constantFrom('base', 'base', 'base', 'view', 'temporary'),
      ...{ rights: fc.constantFrom('all', 'all', 'drop alone', 'none'), isParent: fc.boolean() },
      ...{ hasTriggers: fc.boolean(), isBusy: fc.boolean() },
      ...{ lock: fc.constantFrom('write', 'read'), isHidden: fc.boolean(), vanishes: fc.boolean() },
    },
    { requiredKeys: ['kind'] },
  );
  const world = fc.record<worlds.DropWorld>(
    {
      server: fc.constantFrom('mysql-9.7', 'mysql-5.6', 'mariadb-10.11', 'mariadb-11.8'),
      sql: fc.constantFrom('DROP TABLE a', 'DROP TABLE a, b, c', 'DROP TABLE IF EXISTS a, b, c'),
      ...{ tables: fc.dictionary(fc.constantFrom('a', 'b', 'c'), table), isReadOnly: fc.boolean() },
      gtidNext: fc.constant('aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa:1'),
      noIntents: fc.boolean(),
      service: fc.constantFrom('renamed', 'busy', 'gone', 'denied', 'failed'),
      ...{ relocation: fc.constantFrom('moved', 'failed'), isElsewhere: fc.boolean() },
    },
    { requiredKeys: ['server', 'sql', 'tables'] },
  );

  test('a base table is neither there nor held, or held without the right to drop it', async () => {
    await fc.assert(
      fc.asyncProperty(world, async (one) => {
        const { held, there } = await dropIn(one);
        for (const [name, { kind, rights, vanishes }] of Object.entries(one.tables)) {
          if (kind !== 'base') expect(held).not.toContain(name);
          if (kind !== 'base' || vanishes === true) continue;
          expect([...held, ...there]).toContain(name);
          if (rights === 'none') expect(there).toContain(name);
        }
      }),
      { numRuns: 1_000 },
    );
  });

  test('OK is said while a base table is still there under its name', async () => {
    await fc.assert(
      fc.asyncProperty(world, async (one) => {
        const { said, there } = await dropIn(one);
        if (!said.startsWith('OK')) return;
        const named = one.sql === 'DROP TABLE a' ? ['a'] : ['a', 'b', 'c'];
        const left = named.filter(
          (name) => one.tables[name]?.kind === 'base' && there.includes(name),
        );
        expect(left).toEqual([]);
      }),
      { numRuns: 1_000 },
    );
  });
});

// ── rename groups ────────────────────────────────────────────────────────────────────────────────
// Which tables one RENAME takes.

const isUpper = (name: string) => name === name.toUpperCase();

test.each([
  ['abc', ['abc']],
  ['Abc', ['A', 'bc']],
  ['aBc', ['aB', 'c']],
  ['abC', ['abC']],
  ['ABC', ['A', 'B', 'C']],
  ['aBCd', ['aB', 'C', 'd']],
  ['', []],
])('%j, those with triggers in capitals: %j', (tables, groups) => {
  expect(renameGroups(tables.split(''), isUpper).map((group) => group.join(''))).toEqual(groups);
});

test('all of them in their order, and what has triggers is taken back by nothing behind it', () => {
  const names = fc.array(fc.constantFrom('a', 'b', 'C', 'D'), { maxLength: 12 });
  fc.assert(
    fc.property(names, (tables) => {
      const groups = renameGroups(tables, isUpper);
      expect(groups.flat()).toEqual(tables);
      for (const group of groups) expect(group.slice(0, -1).filter(isUpper)).toEqual([]);
    }),
  );
});
