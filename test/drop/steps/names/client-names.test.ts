/** Names of clients in UTF-8, out of the character sets that clients speak. */

import { decodeName } from '../../../../src/drop/steps/names/client-names.js';
import { UndropError } from '../../../../src/errors.js';

describe('a name', () => {
  test.each([
    ['utf8mb4', 'e8a1a8f09f8db5', '表?'],
    ['utf8mb3', 'e8a1a8', '表'],
    ['latin1', 'fc80819f', 'ü€\x81Ÿ'],
    ['latin2', 'b1', 'ą'],
    ['cp1251', 'f2e0e1', 'таб'],
    ['koi8r', 'd4c1c2', 'таб'],
    ['gbk', 'b1ed', '表'],
    ['cp932', '955c', '表'],
    ['euckr', 'c7a5', '표'],
  ])('in %s: %s is %s', (charset, hex, text) => {
    expect(decodeName(Buffer.from(hex, 'hex'), charset)).toBe(text);
  });

  test('of ASCII alone needs no character set', () => {
    expect(decodeName(Buffer.from('orders'), 'something new')).toBe('orders');
  });

  test.each([
    ['in a character set that is not known', 'swe7x', 'e5'],
    ['in one that the encoding standard reads in another way', 'sjis', '8160'],
    ['in one that it does not have', 'cp850', '81'],
    ['of bytes that are none of its character set', 'utf8mb4', 'e8a1'],
    ['of half a character', 'gbk', 'b1'],
    ['beyond the BMP in a character set that ends there', 'utf8mb3', 'f09f8db5'],
  ])('%s is refused', (_why, charset, hex) => {
    expect(() => decodeName(Buffer.from(hex, 'hex'), charset)).toThrow(UndropError);
    expect(() => decodeName(Buffer.from(hex, 'hex'), charset)).toThrow(
      `undrop cannot read a name in the character set ${charset}`,
    );
  });
});
