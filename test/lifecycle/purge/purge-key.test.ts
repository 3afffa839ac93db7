/** Which index the purge walks along. */
import { describe, expect, test } from '@jest/globals';
import { choosePurgeKey, type IndexColumn } from '../../../src/lifecycle/purge/purge-sql.js';

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
