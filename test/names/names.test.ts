/** Where dropped tables go, the table that a DROP DATABASE waits for, names as servers fold. */
import { expect, test } from '@jest/globals';
import {
  barrierTableName,
  foldName,
  isLocalSchema,
  isRecycleSchema,
  isSameName,
  parseBarrierTable,
  RECYCLE_SCHEMA,
  RECYCLE_SCHEMA_LOCAL,
  recycleSchemaFor,
} from '../../src/names/names.js';

test('a drop that replicas see goes to the schema that they have, another one does not', () => {
  expect(recycleSchemaFor(true)).toBe(RECYCLE_SCHEMA);
  expect(recycleSchemaFor(false)).toBe(RECYCLE_SCHEMA_LOCAL);
});

test('all of them are ours, and nothing that merely looks like one', () => {
  const local = [RECYCLE_SCHEMA_LOCAL, '_undrop_local_2', '_undrop_local_32'];
  const logged = [RECYCLE_SCHEMA, '_undrop_2', '_undrop_10', '_undrop_32'];
  expect([...logged, ...local].filter((schema) => !isRecycleSchema(schema))).toEqual([]);
  expect(local.filter((schema) => !isLocalSchema(schema))).toEqual([]);
  expect(logged.filter(isLocalSchema)).toEqual([]);
  const others = ['_undrop_', '_undrop_0', '_undrop_1', '_undrop_02', '_undrop_33', '_undrop_2x'];
  const more = ['undrop', 'undrop_2', '_undrop2', '_undrop_2_local', '_undrop_local_1', ''];
  expect([...others, ...more].filter(isRecycleSchema)).toEqual([]);
});

const groupId = '01a1f8313c3171b7af374deee1b3e638';

test.each([true, false])('it says whose it is, and whether it is logged (%s)', (logged) => {
  const name = barrierTableName({ groupId, logged });
  expect(name.length).toBeLessThanOrEqual(64);
  expect(parseBarrierTable(name)).toEqual({ groupId, logged });
});

test.each(['!undrop_', '!undrop_x', `undrop_${groupId}`, `!undrop_${groupId}_`, 'a'])(
  '%s is none',
  (name) => {
    expect(parseBarrierTable(name)).toBeNull();
  },
);

test.each([
  ['Orders', 'orders'],
  ['ΠΕΛΑΤΕΣ', 'πελατεσ'],
  ['BİLLİNG', 'billing'],
  ['ÉTÉ', 'été'],
])('%s is %s', (name, folded) => {
  expect(foldName(name)).toBe(folded);
  expect(isSameName(name, folded)).toBe(true);
});
