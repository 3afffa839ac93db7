/** The exact statements of the purge. */
import { describe, expect, test } from '@jest/globals';
import {
  deleteAlong,
  deleteRest,
  type PurgeStatement,
} from '../../../src/lifecycle/purge/purge-sql.js';
import { renderQuery } from '../../../src/service/sql.js';

const table = { schema: '_undrop', name: '_vt_PURGE_x', id: '0a' };
const key = { index: 'PRIMARY', columns: ['a', 'b'] };
const texts = (statements: readonly PurgeStatement[]) =>
  statements.map(({ query }) => renderQuery(query).replaceAll(/\s+/g, ' ').trim());

const [AFTER_LOW, AFTER_1] = [0, 1].map(
  (bound) =>
    `((\`a\` > @\`undrop_${bound}_0\`) OR (\`a\` = @\`undrop_${bound}_0\` AND \`b\` > @\`undrop_${bound}_1\`))`,
);
const [UP_TO_1, UP_TO_2] = [1, 2].map(
  (bound) =>
    `((\`a\` < @\`undrop_${bound}_0\`) OR (\`a\` = @\`undrop_${bound}_0\` AND \`b\` <= @\`undrop_${bound}_1\`))`,
);
const FIND = (bound: number, where: string) =>
  `SELECT /* undrop purge 0a */ \`a\`, \`b\` INTO @\`undrop_${bound}_0\`, @\`undrop_${bound}_1\` ` +
  `FROM \`_undrop\`.\`_vt_PURGE_x\` FORCE INDEX (\`PRIMARY\`) ${where}ORDER BY \`a\`, \`b\` LIMIT 49, 1`;
const DELETE = 'DELETE /* undrop purge 0a */ FROM `_undrop`.`_vt_PURGE_x`';
const NULLS =
  '@`undrop_1_0` = NULL, @`undrop_1_1` = NULL, @`undrop_2_0` = NULL, @`undrop_2_1` = NULL';
const FOUND = 'SELECT (@`undrop_1_0` IS NOT NULL) + (@`undrop_2_0` IS NOT NULL) AS found';
const REST = 'DO /* undrop purge 0a */ SLEEP(0.00075)';
const CHUNK = { deletes: 2, rows: 50, restMs: 0.75 };

describe('the statements of a purge', () => {
  test('delete any rows where there is no key', () => {
    const statements = deleteRest(table, null, { ...CHUNK, from: null });
    expect(texts(statements)).toEqual([`${DELETE} LIMIT 50`, REST, `${DELETE} LIMIT 50`, REST]);
  });

  test('find and delete from the start of a key of two columns, each written out', () => {
    const statements = deleteAlong(table, key, { ...CHUNK, from: null });
    expect(texts(statements)).toEqual([
      `SET ${NULLS}`,
      FIND(1, ''),
      `${DELETE} WHERE (${UP_TO_1}) LIMIT 50`,
      REST,
      FIND(2, `WHERE (${AFTER_1}) `),
      `${DELETE} WHERE (${AFTER_1} AND ${UP_TO_2}) LIMIT 50`,
      REST,
      FOUND,
    ]);
  });

  test('go on where the chunk before has ended, all on the server', () => {
    const low = '@`undrop_0_0` = @`undrop_2_0`, @`undrop_0_1` = @`undrop_2_1`';
    const statements = deleteAlong(table, key, { ...CHUNK, deletes: 1, restMs: 0, from: 2 });
    expect(texts(statements)).toEqual([
      `SET ${low}, @\`undrop_1_0\` = NULL, @\`undrop_1_1\` = NULL`,
      FIND(1, `WHERE (${AFTER_LOW}) `),
      `${DELETE} WHERE (${AFTER_LOW} AND ${UP_TO_1}) LIMIT 50`,
      'SELECT (@`undrop_1_0` IS NOT NULL) AS found',
    ]);
    const rest = deleteRest(table, key, { ...CHUNK, deletes: 1, restMs: 0, from: 2 });
    expect(texts(rest)).toEqual([`SET ${low}`, `${DELETE} WHERE (${AFTER_LOW}) LIMIT 50`]);
  });
});
