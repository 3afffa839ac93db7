/** The exact statements of the purge. */
import { describe, expect, test } from '@jest/globals';
import { deleteBetween, nextBounds } from '../../../src/lifecycle/purge/purge-sql.js';
import { renderQuery } from '../../../src/service/sql.js';

const table = { schema: '_undrop', name: '_vt_PURGE_x', id: '0a' };
const key = { index: 'PRIMARY', columns: ['a', 'b'] };
const text = (query: Parameters<typeof renderQuery>[0]) =>
  renderQuery(query).replaceAll(/\s+/g, ' ').trim();

describe('the statements of a purge', () => {
  test('delete any rows where there is no key', () => {
    const deletion = deleteBetween(table, null, { low: false, high: false, chunkRows: 50 });
    expect(text(deletion)).toBe(
      'DELETE /* undrop purge 0a */ FROM `_undrop`.`_vt_PURGE_x` LIMIT 50',
    );
  });

  test('delete between two bounds of a key of two columns, each written out', () => {
    const deletion = deleteBetween(table, key, { low: true, high: true, chunkRows: 50 });
    expect(text(deletion)).toBe(
      'DELETE /* undrop purge 0a */ FROM `_undrop`.`_vt_PURGE_x` WHERE (' +
        '((`a` > @`undrop_low_0`) OR (`a` = @`undrop_low_0` AND `b` > @`undrop_low_1`)) AND ' +
        '((`a` < @`undrop_high_0`) OR (`a` = @`undrop_high_0` AND `b` <= @`undrop_high_1`))' +
        ') LIMIT 50',
    );
  });

  test('move the bounds on and look for the next, all on the server', () => {
    const statements = nextBounds(table, key, { low: true, chunkRows: 50 });
    expect(statements.map(text)).toEqual([
      'SET @`undrop_low_0` = @`undrop_high_0`, @`undrop_high_0` = NULL, ' +
        '@`undrop_low_1` = @`undrop_high_1`, @`undrop_high_1` = NULL',
      'SELECT /* undrop purge 0a */ `a`, `b` INTO @`undrop_high_0`, @`undrop_high_1` ' +
        'FROM `_undrop`.`_vt_PURGE_x` FORCE INDEX (`PRIMARY`) ' +
        'WHERE (((`a` > @`undrop_low_0`) OR (`a` = @`undrop_low_0` AND `b` > @`undrop_low_1`))) ' +
        'ORDER BY `a`, `b` LIMIT 49, 1',
      'SELECT @`undrop_high_0` IS NOT NULL AS found',
    ]);
  });
});
