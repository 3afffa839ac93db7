/** Where dropped tables go. */
import { expect, test } from '@jest/globals';
import {
  RECYCLE_SCHEMA,
  RECYCLE_SCHEMA_LOCAL,
  RECYCLE_SCHEMAS,
  recycleSchemaFor,
} from '../../src/names/recycle-schema.js';

test('a drop that replicas see goes to the schema that they have, another one does not', () => {
  expect(recycleSchemaFor(true)).toBe(RECYCLE_SCHEMA);
  expect(recycleSchemaFor(false)).toBe(RECYCLE_SCHEMA_LOCAL);
  expect(RECYCLE_SCHEMAS).toEqual([RECYCLE_SCHEMA, RECYCLE_SCHEMA_LOCAL]);
});
