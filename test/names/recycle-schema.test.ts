/** Where dropped tables go. */
import { expect, test } from '@jest/globals';
import {
  isLocalSchema,
  isRecycleSchema,
  RECYCLE_SCHEMA,
  RECYCLE_SCHEMA_LOCAL,
  recycleSchemaFor,
  spareSchemasFor,
} from '../../src/names/names.js';

test('a drop that replicas see goes to the schema that they have, another one does not', () => {
  expect(recycleSchemaFor(true)).toBe(RECYCLE_SCHEMA);
  expect(recycleSchemaFor(false)).toBe(RECYCLE_SCHEMA_LOCAL);
});

test('beside each schema are spare ones, numbered from 2', () => {
  expect(spareSchemasFor(true)).toHaveLength(31);
  expect(spareSchemasFor(true).slice(0, 2)).toEqual(['_undrop_2', '_undrop_3']);
  expect(spareSchemasFor(true).at(-1)).toBe('_undrop_32');
  expect(spareSchemasFor(false).slice(0, 2)).toEqual(['_undrop_local_2', '_undrop_local_3']);
});

test('all of them are ours, and nothing that merely looks like one', () => {
  const local = [RECYCLE_SCHEMA_LOCAL, ...spareSchemasFor(false)];
  const logged = [RECYCLE_SCHEMA, ...spareSchemasFor(true)];
  expect([...logged, ...local].filter((schema) => !isRecycleSchema(schema))).toEqual([]);
  expect(local.filter((schema) => !isLocalSchema(schema))).toEqual([]);
  expect(logged.filter(isLocalSchema)).toEqual([]);
  const others = ['_undrop_', '_undrop_0', '_undrop_1', '_undrop_02', '_undrop_33', '_undrop_2x'];
  const more = ['undrop', 'undrop_2', '_undrop2', '_undrop_2_local', '_undrop_local_1', ''];
  expect([...others, ...more].filter(isRecycleSchema)).toEqual([]);
});
