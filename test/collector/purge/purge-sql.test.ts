/** The exact statements of the purge. */
import {
  choosePurgeKey,
  deleteAlong,
  deleteRest,
  type IndexColumn,
  type PurgeStatement,
} from '../../../src/collector/purge/purge.js';
import { renderQuery } from '../../../src/connections/sql.js';

const table = { schema: '_undrop', name: '_vt_PURGE_x', id: '0a', partition: null };
const key = { index: 'PRIMARY', columns: ['a', 'b'] };
const texts = (statements: readonly PurgeStatement[]) =>
  statements.map(({ query }) => renderQuery(query).replaceAll(/\s+/g, ' ').trim());

const AFTER_LOW = '((`a` > @`undrop_low_0`) OR (`a` = @`undrop_low_0` AND `b` > @`undrop_low_1`))';
const UP_TO_HIGH =
  '((`a` < @`undrop_high_0`) OR (`a` = @`undrop_high_0` AND `b` <= @`undrop_high_1`))';
const FIND = (where: string) =>
  'SELECT /* undrop purge 0a */ `a`, `b` INTO @`undrop_high_0`, @`undrop_high_1` ' +
  `FROM \`_undrop\`.\`_vt_PURGE_x\` FORCE INDEX (\`PRIMARY\`) ${where}ORDER BY \`a\`, \`b\` LIMIT 49, 1`;
const DELETE = 'DELETE /* undrop purge 0a */ FROM `_undrop`.`_vt_PURGE_x`';
const MOVE = 'SET @`undrop_low_0` = @`undrop_high_0`, @`undrop_low_1` = @`undrop_high_1`';
const REST = '@undrop_rest = SLEEP(0.00075)';
const CHUNK = { deletes: 2, rows: 50, restMs: 0.75 };
const NEXT = [
  FIND(`WHERE (${AFTER_LOW}) `),
  `${DELETE} WHERE (${AFTER_LOW} AND ${UP_TO_HIGH}) LIMIT 50`,
  `${MOVE}, ${REST}`,
];

describe('the statements of a purge', () => {
  test('delete any rows where there is no key', () => {
    const statements = deleteRest(table, null, { ...CHUNK, isBounded: false });
    const one = [`${DELETE} LIMIT 50`, `SET ${REST}`];
    expect(texts(statements)).toEqual([...one, ...one]);
  });

  test('find and delete from the start of a key of two columns, each written out', () => {
    const statements = deleteAlong(table, key, { ...CHUNK, isBounded: false });
    expect(texts(statements)).toEqual([
      'SET @`undrop_high_0` = NULL, @`undrop_high_1` = NULL',
      FIND(''),
      `${DELETE} WHERE (${UP_TO_HIGH}) LIMIT 50`,
      `${MOVE}, ${REST}`,
      ...NEXT,
    ]);
  });

  test('go on where the chunk before has ended, all on the server', () => {
    const statements = deleteAlong(table, key, { ...CHUNK, isBounded: true });
    expect(texts(statements)).toEqual([...NEXT, ...NEXT]);
    const rest = deleteRest(table, key, { ...CHUNK, deletes: 1, restMs: 0, isBounded: true });
    expect(texts(rest)).toEqual([`${DELETE} WHERE (${AFTER_LOW}) LIMIT 50`]);
  });

  test('are for one partition, where there are some', () => {
    const part = { ...table, partition: 'p`1' };
    const statements = [
      ...deleteAlong(part, key, { ...CHUNK, deletes: 1, isBounded: true }),
      ...deleteRest(part, null, { ...CHUNK, deletes: 1, restMs: 0, isBounded: false }),
    ];
    const found = texts(statements).filter((text) => text.includes(' FROM '));
    expect(found).toEqual([
      expect.stringContaining(' FROM `_undrop`.`_vt_PURGE_x` PARTITION (`p``1`) FORCE INDEX '),
      expect.stringContaining(' FROM `_undrop`.`_vt_PURGE_x` PARTITION (`p``1`) WHERE '),
      expect.stringContaining(' FROM `_undrop`.`_vt_PURGE_x` PARTITION (`p``1`) LIMIT 50'),
    ]);
  });
});

// ── purge key ────────────────────────────────────────────────────────────────────────────────────
// Which index the purge walks along.

const column = (index: string, name: string, more: Partial<IndexColumn> = {}): IndexColumn => ({
  index,
  unique: true,
  column: name,
  prefix: false,
  nullable: false,
  dataType: 'int',
  ...more,
});

describe('the key that a purge walks along', () => {
  test('is the primary key before any other', () => {
    const columns = [column('a', 'x'), column('PRIMARY', 'y'), column('PRIMARY', 'z')];
    expect(choosePurgeKey(columns)).toEqual({ index: 'PRIMARY', columns: ['y', 'z'] });
  });

  test('is else the unique key with the fewest columns', () => {
    const columns = [column('ab', 'a'), column('ab', 'b'), column('c', 'c')];
    expect(choosePurgeKey(columns)).toEqual({ index: 'c', columns: ['c'] });
  });

  test.each<[string, Partial<IndexColumn>]>([
    ['is not unique', { unique: false }],
    ['may be NULL', { nullable: true }],
    ['has only the first characters', { prefix: true }],
    ['is an expression', { column: null, dataType: null }],
    ['is an ENUM, which is ordered by number and compared by text', { dataType: 'enum' }],
    ['is a BIT', { dataType: 'bit' }],
    ['is a FLOAT', { dataType: 'float' }],
    ['is of a type that nobody tried', { dataType: 'vector' }],
  ])('is none where a column of it %s', (_name, more) => {
    expect(choosePurgeKey([column('a', 'x'), column('a', 'y', more)])).toBeNull();
  });

  test('is none where there is no index', () => {
    expect(choosePurgeKey([])).toBeNull();
  });
});
