/**
 * A DROP DATABASE in a table of worlds: what is said, what is held at the end, and what is still
 * there (UPDATE_GOLDEN=1 writes what happens now); and what happens in no world.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import fc from 'fast-check';
import { isEmptied, sortListed } from '../../../src/drop/drop-database/read-schema.js';
import { barrierTableName } from '../../../src/names/names.js';
import type * as worlds from '../../support/schema-world.js';
import { dropSchemaIn } from '../../support/schema-world.js';

interface Case extends worlds.SchemaWorld {
  readonly comment: string;
  end?: worlds.SchemaEnd;
}

const FILE = 'test/golden/drop_database_cases.json';
const cases = JSON.parse(readFileSync(FILE, 'utf8')) as Case[];

test.each(cases)('a DROP DATABASE, $server: $comment', async (one) => {
  const end = await dropSchemaIn(one);
  if (process.env['UPDATE_GOLDEN'] === '1') {
    one.end = { ...end, held: [...end.held] };
    writeFileSync(FILE, `${JSON.stringify(cases, null, 1)}\n`);
  }
  expect(end).toEqual(one.end);
});

describe('in no world', () => {
  const table = fc.record<worlds.SchemaTable>(
    { isParent: fc.boolean(), busy: fc.nat(30), vanishes: fc.boolean(), isStuck: fc.boolean() },
    { requiredKeys: [] },
  );
  const call = fc.constantFrom('recordTargets', 'find', 'take', 'relocate', 'drop', 'closeBarrier');
  const world = fc.record<worlds.SchemaWorld>(
    {
      server: fc.constantFrom('mysql-9.7', 'mysql-5.6', 'mariadb-10.11', 'mariadb-11.8'),
      ...{ tables: fc.dictionary(fc.constantFrom('a', 'b', 'c'), table), ifExists: fc.boolean() },
      right: fc.constantFrom([1142, '42000', 'denied'], [1192, 'HY000', 'locked']),
      ...{ service: fc.constantFrom('denied', 'failed'), queue: fc.nat(3) },
      ...{ isElsewhere: fc.boolean(), comes: fc.uniqueArray(fc.constantFrom('d', 'e', 'f')) },
      ends: fc.constantFrom([1010, 'HY000', 'a stray file'], [1317, '70100', 'interrupted']),
      ...{ fails: call, breaks: call, hasLocked: fc.boolean() },
    } as never,
    { requiredKeys: ['server'] } as never,
  );

  test('a table is neither there nor held, or live in a schema of which OK is said', async () => {
    await fc.assert(
      fc.asyncProperty(world, async (one) => {
        const { said, held, there } = await dropSchemaIn(one);
        for (const [name, { vanishes }] of Object.entries(one.tables ?? {})) {
          if (vanishes !== true) expect([...held, ...(there ?? [])]).toContain(name);
        }
        if (said.startsWith('OK')) expect(there).toBeNull();
      }),
      { numRuns: 1_000 },
    );
  });

  test('something is held although the schema was not dropped, and nobody is told', async () => {
    await fc.assert(
      fc.asyncProperty(world, async (one) => {
        const { said, held, there } = await dropSchemaIn(one);
        if (there === null || held.length === 0) return;
        expect(said).toMatch(/UNDROP_SCHEMA_IN_BETWEEN|^nothing: the session broke/);
      }),
      { numRuns: 1_000 },
    );
  });
});

describe('what is found in the schema', () => {
  const dropId = '0195a1b2c3d070008000000000000000';
  const heldId = '0195a1b2c3d070008000000000000002';
  const own = { name: barrierTableName({ dropId, logged: true }), type: 'BASE TABLE' };
  const found = (...names: readonly string[]) => {
    const listed = names.map((name) => ({ name, type: name === 'v' ? 'VIEW' : 'BASE TABLE' }));
    return sortListed([...listed, own], dropId, new Set([heldId]));
  };

  test('a view and the barrier table are left to the DROP, and nothing else', () => {
    expect([isEmptied(found('v')), isEmptied(found('t'))]).toEqual([true, false]);
    expect(isEmptied(sortListed([], dropId, new Set()))).toBe(false);
    expect(isEmptied(found('!undrop_0195a1b2c3d070008000000000000001'))).toBe(false);
    expect(isEmptied(found(`_vt_HOLD_${heldId}_20260308120000`))).toBe(false);
  });

  test('a hold name is that of a held table only if the ledger knows its id', () => {
    const [held, others] = [
      `_vt_HOLD_${heldId}_20260308120000`,
      `_vt_hld_${dropId}_20260308120000_`,
    ];
    expect(found(held, others)).toMatchObject({ tables: [others], held: [held] });
  });
});
