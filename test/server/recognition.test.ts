/**
 * Which bytes are blanks to a server, and which make `--` a comment, in each charset that a client
 * may speak. What it makes of whole statements: drop-corpus, drop-properties, statement-fates.
 */
import { charsetTableOf } from '../support/classify.js';
import { onServers } from '../support/on-servers.js';

onServers('recognition on $name', (_server, on) => {
  const { testOnEach: test } = on;
  const client = on.client();

  async function isDone(text: string): Promise<boolean> {
    const { results } = await client.query(Buffer.from(text, 'latin1'));
    return results[0]?.kind !== 'err';
  }

  test('the charsets of clients have the blanks, and the bytes behind dashes, that are written down (wire 10)', async () => {
    for (const [name] of await client.rows('SHOW CHARACTER SET')) {
      if (!(await isDone(`SET NAMES ${name}`))) {
        expect(name).toMatch(/^(ucs2|utf16|utf16le|utf32)$/);
        continue;
      }
      const table = charsetTableOf(name ?? '');
      expect([name, table]).not.toContain(null);
      for (let byte = 0x7f; byte < 0x100; byte++) {
        const letter = String.fromCharCode(byte);
        const found = [await isDone(`DO${letter}1`), await isDone(`DO 1 --${letter}x ,,`)];
        const expected = [table?.isBlank[byte], table?.isAfterDashes[byte]];
        expect([name, byte, ...found]).toEqual([name, byte, ...expected]);
      }
    }
  });
});
