/**
 * A name that the service knows, in the bytes of a client's charset: what the server makes of them
 * on the user session is that name again.
 */
import type { ServicePool } from '../../service/pool/pools.js';
import { textOrNullOf } from '../../service/row.js';
import { ident, note, sql } from '../../service/sql.js';
import { charsetTable } from '../../sql/lex/client-charset.js';
import { clientCharsetOf } from '../../sql/lex/lex-mode.js';

/**
 * `charset`: character_set_client. Null: it has no characters for the name, or none that can be
 * quoted. The server is asked for them, as it is the one that reads them; what they can't say is a
 * question mark in them, and so another name on the way back.
 */
export async function encodeName(
  pool: ServicePool,
  name: string,
  charset: string,
): Promise<Uint8Array | null> {
  const stored = Buffer.from(name);
  if (charset.startsWith('utf8') || /^\w*$/.test(name)) return stored;
  const kind = clientCharsetOf(charset);
  if (kind === null) return null;
  const said = sql`CONVERT(CONVERT(${stored} USING utf8mb3) USING ${ident(charset)})`;
  const [[row] = []] = await pool.run(
    sql`SELECT ${note('encode')} HEX(${said}) AS said, HEX(CONVERT(${said} USING utf8mb3)) AS heard`,
  );
  if (row === undefined || textOrNullOf(row, 'heard') !== stored.toString('hex').toUpperCase()) {
    return null;
  }
  const bytes = Buffer.from(textOrNullOf(row, 'said') ?? '', 'hex');
  const table = charsetTable(kind);
  for (let at = 0; at < bytes.length; ) {
    const length = table.charLength(bytes, at, bytes.length);
    if (length === 0 || bytes[at] === 0) return null;
    at += length;
  }
  return bytes;
}
