/** Which drop of a schema is brought back, and how the end of it is said, without a server. */
import { describe, expect, test } from '@jest/globals';
import type { DroppedSchema } from '../../src/ledger/schema-restores.js';
import { formatSchemaReport } from '../../src/restore/print-report.js';
import { chooseDrop, type SchemaReport } from '../../src/restore/schema/restore-schema.js';

const drop = (id: string, more: Partial<DroppedSchema>): DroppedSchema => ({
  ...{ id, groupId: id, schema: 'shop', user: 'app', droppedAt: new Date(0) },
  ...{ sqlLogBin: true, rowLogged: true, isOpen: false, isRestoring: false, restoredAs: null },
  ...{ tables: 2, kept: 0, held: 0, ...more },
});

describe('of several drops of a schema', () => {
  const removed = drop('removed', {});
  const empty = drop('empty', { tables: 0 });
  const held = drop('held', { kept: 1 });
  test.each([
    ['the newest that has something', [held, drop('older', { kept: 2 })], 'held'],
    ['one of which something is there still', [removed, empty, held], 'held'],
    ['one that is half back', [drop('half', { isRestoring: true }), held], 'half'],
    ['one that is back', [drop('back', { restoredAs: 'shop' }), held], 'back'],
    [
      'one without tables, if an older one is back',
      [empty, drop('back', { restoredAs: 'shop' })],
      'empty',
    ],
    ['an older one, if the newest is elsewhere', [drop('away', { restoredAs: 'x' }), held], 'held'],
    ['one that is elsewhere, if no other is held', [drop('away', { restoredAs: 'x' })], 'away'],
    ['one that is under way', [drop('open', { isOpen: true }), held], 'open'],
    ['one without tables, if nothing else is left', [removed, empty], 'empty'],
    ['none, if all is removed', [removed], undefined],
  ] as const)('it is %s', (_what, found, id) => {
    expect(chooseDrop(found, 'shop')?.id).toBe(id);
  });
});

describe('the end of a restore', () => {
  const report: SchemaReport = {
    ...{ id: '01', groupId: '02', schema: 'shop', restoredAs: 'shop', user: 'app' },
    ...{ droppedAt: new Date('2026-11-24T20:00:00Z'), wasBack: false, isComplete: true },
    ...{ tables: [], parts: [], problem: null, others: [], singles: 0 },
  };
  const table = {
    id: '03',
    table: 'orders',
    outcome: 'restored',
    problems: [],
    triggersLeft: [],
  } as const;
  const view = {
    kind: 'VIEW',
    name: 'v\u001b',
    statement: 'CREATE VIEW v',
    problem: null,
    isMissing: false,
  };

  test('is a line if all is back', () => {
    expect(formatSchemaReport({ ...report, tables: [table], parts: [view] })).toBe(
      'Restored shop (dropped 2026-11-24 20:00:00 UTC by app): 1 of 1 tables, 1 of 1 views and programs.\n',
    );
  });

  test('says what is not back, and where its statement is', () => {
    const left = { ...table, outcome: 'left', problems: ['shop.orders exists'] } as const;
    const parts = [{ ...view, problem: 'Access denied; you need SUPER' }];
    const text = formatSchemaReport({ ...report, isComplete: false, tables: [left], parts });
    expect(text.split('\n')).toEqual([
      'Restored in part shop (dropped 2026-11-24 20:00:00 UTC by app): 0 of 1 tables, 0 of 1 views and programs.',
      'Table orders was not restored: shop.orders exists',
      'VIEW v?: Access denied; you need SUPER',
      'USE the schema, and UNDROP DATABASE adds them: through undrop, by a user who may create them; with the tier full (`undrop init --tier full`) undrop does.',
      "Their statements are printed by: SELECT restore_script FROM _undrop.ledger WHERE id = '01';",
      '',
    ]);
  });

  test('names what is not made in another schema', () => {
    const parts = [{ ...view, problem: 'its text names shop' }];
    const copy = { ...report, restoredAs: 'old', tables: [table], parts };
    expect(formatSchemaReport(copy)).toContain(
      'Not created, because their texts name shop: VIEW v?.',
    );
  });
});
