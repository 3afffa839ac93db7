/** What is taken for the name of one of undrop's own schemas. */
import { expect, test } from '@jest/globals';
import { RECYCLE_SCHEMA, RECYCLE_SCHEMA_LOCAL } from '../../src/names/names.js';
import { isRecycleName, isRecycleToken } from '../../src/sql/trigger-scan.js';

function isToken(text: string): boolean {
  const bytes = Buffer.from(`--${text}--`, 'latin1');
  return isRecycleToken(bytes, 2, bytes.length - 2);
}

test('every schema that undrop has, quoted in any way and in any case', () => {
  const own = [RECYCLE_SCHEMA, RECYCLE_SCHEMA_LOCAL, '_undrop_2', '_undrop_local_32'];
  expect(own.length).toBeGreaterThan(4);
  for (const name of own) {
    const ways = [name, `\`${name}\``, `"${name}"`, `[${name}]`, name.toUpperCase()];
    expect(ways.filter((way) => !isToken(way))).toEqual([]);
    expect(isRecycleName(Buffer.from(name))).toBe(true);
  }
});

test.each([
  '`#mysql50#_undrop`',
  '`#MYSQL50#_undrop_local`',
  // For a GRANT an underscore alone is any character.
  '`\\_undrop`',
  '`\\_undrop\\_local\\_2`',
  // MySQL ends the name at the broken character.
  '_undrop\xff',
  '`_undrop\xffx`',
  `_undrop\xff${'x'.repeat(200)}`,
])('%s', (text) => {
  expect(isToken(text)).toBe(true);
});

test.each(['_undrop\0', '_undrop\0x', '_UNDROP'])('of a packet: %j', (name) => {
  expect(isRecycleName(Buffer.from(name, 'latin1'))).toBe(true);
});

test.each([
  ...['undrop', '_undro', 'x_undrop', '__undrop', '_undropx', '_undrop_x', '_undrop_locals'],
  ...['`_undrop `', '`_undrop%`', '`my_undrop`', '_undrop_', '``', "'_undrop'", '#_undrop'],
])('not %s', (text) => {
  expect(isToken(text)).toBe(false);
});
