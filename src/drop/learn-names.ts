/**
 * Asks the server what names are in UTF-8, in charsets of which the WHATWG encoding standard has
 * other characters (the wave dash of sjis, half of what vendors added to big5 and ujis), or none.
 */
import type { ServicePool } from '../service/pools.js';
import { textOrNullOf } from '../service/row.js';
import { ident, note, sql } from '../service/sql.js';
import { hasToBeLearned, learnName } from './decode-name.js';

/** From here on `decodeName` knows them. Does not reject: what stays unknown is refused there. */
export async function learnNames(
  pool: ServicePool,
  names: readonly Uint8Array[],
  charset: string,
): Promise<void> {
  const asked = names.filter((name) => hasToBeLearned(name, charset));
  if (asked.length === 0) return;
  try {
    const answers = await pool.run(
      asked.map(
        (name) => sql`SELECT ${note('learn')} HEX(CONVERT(CONVERT(${Buffer.from(name)}
          USING ${ident(charset)}) USING utf8mb3)) AS name`,
      ),
    );
    for (const [index, name] of asked.entries()) {
      const [row] = answers[index] ?? [];
      const hex = row === undefined ? null : textOrNullOf(row, 'name');
      const decoded = hex === null ? '' : Buffer.from(hex, 'hex').toString();
      // Where it has none for a character it has a question mark.
      const isWhole = decoded !== '' && (!decoded.includes('?') || name.includes(QUESTION_MARK));
      if (isWhole) learnName(name, charset, decoded);
    }
  } catch (error) {
    if (!(error instanceof Error)) throw error;
  }
}

const QUESTION_MARK = 0x3f;
