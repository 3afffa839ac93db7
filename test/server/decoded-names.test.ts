/**
 * Names out of the charsets of clients are to us what they are to the server. It imports the
 * decoder of src, which is compared with each server's, character by character.
 */

import { decodeName } from '../../src/drop/steps/names/client-names.js';
import { UndropError } from '../../src/errors.js';
import { onServers } from '../support/on-servers.js';
import { query, type TestServer } from '../support/servers.js';

const AT_ONCE = 2_000;
const TWO_BYTES = ['cp932', 'gbk', 'euckr'];
const ONE_BYTE = 'latin1 latin2 latin7 cp1250 cp1251 cp1256 cp1257 koi8r'.split(' ');
const CHARSETS = [...ONE_BYTE, ...TWO_BYTES];

/** Each byte above ASCII, or each with any that may follow it. */
function charactersOf(charset: string): readonly Buffer[] {
  const first = Array.from({ length: 128 }, (_, index) => 128 + index);
  if (!TWO_BYTES.includes(charset)) return first.map((byte) => Buffer.from([byte]));
  const second = Array.from({ length: 192 }, (_, index) => 64 + index).filter((b) => b !== 127);
  return first.flatMap((byte) => second.map((next) => Buffer.from([byte, next])));
}

/** Null where it has none. */
async function madeOf(server: TestServer, charset: string, names: readonly Buffer[]) {
  const values = names.map(
    (name, index) =>
      `HEX(CONVERT(CONVERT(X'${name.toString('hex')}' USING ${charset}) USING utf8mb3)) AS c${index}`,
  );
  const text = `SELECT ${values.join(', ')}`;
  const [row = {}] = await query<Record<string, string | null>>(server, text);
  return names.map((_name, index) => {
    const made = Buffer.from(row[`c${index}`] ?? '', 'hex').toString();
    return made === '' || made.includes('?') ? null : made;
  });
}

function decoded(name: Buffer, charset: string): string | null {
  try {
    return decodeName(name, charset);
  } catch (error) {
    if (error instanceof UndropError) return null;
    throw error;
  }
}

onServers('names in other charsets on $name', (server, on) => {
  const { test } = on;
  test.each(CHARSETS)('%s is decoded alike, or not at all', async (charset) => {
    const characters = charactersOf(charset);
    const wrong: string[] = [];
    let read = 0;
    for (let at = 0; at < characters.length; at += AT_ONCE) {
      const part = characters.slice(at, at + AT_ONCE);
      const made = await madeOf(server, charset, part);
      for (const [index, name] of part.entries()) {
        const [theirs, ours] = [made[index] ?? null, decoded(name, charset)];
        if (ours !== null && theirs === ours) read++;
        if (ours !== null && theirs !== null && theirs !== ours) {
          wrong.push(`${name.toString('hex')}: ${theirs}, not ${ours}`);
        }
      }
    }
    expect(wrong).toEqual([]);
    expect(read).toBeGreaterThan(90);
  });
});
