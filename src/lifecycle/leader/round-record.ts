/**
 * What collectors leave for those that come after them: when one looked last, on which server, and
 * until when a wait lasts (grace.ts). One row for each server that ever had these tables.
 */
import { RECYCLE_SCHEMA } from '../../names/recycle-schema.js';
import { isServerError, type Row, type ServiceConnection } from '../../service/pool/pools.js';
import { dateOf, dateOrNullOf } from '../../service/row.js';
import { ident, note, sql } from '../../service/sql.js';
import { ABSENT_TABLE, ER_BAD_FIELD_ERROR, ER_NO_SUCH_TABLE } from '../../wire/server-errors.js';
import type { LastLook } from './grace.js';

const TABLE = ident(RECYCLE_SCHEMA, 'collector');
const IDENTITY_CHARACTERS_MAX = 190;
const NEVER: LastLook = { known: false, at: null, graceUntil: null, aheadMs: null };

/** What was written before; nothing where the table or its schema is lost. */
export async function readRoundRecord(
  connection: ServiceConnection,
  serverIdentity: string,
): Promise<LastLook> {
  try {
    // All columns: that of the proxy's clock came later.
    const [any, own] = await connection.run([
      sql`SELECT ${note('look')} MAX(last_look) AS at FROM ${TABLE}`,
      sql`SELECT * FROM ${TABLE} WHERE server_identity = ${bounded(serverIdentity)}`,
    ]);
    const at = any?.[0];
    const row = own?.[0];
    return {
      known: row !== undefined,
      at: at === undefined ? null : dateOrNullOf(at, 'at'),
      graceUntil: row === undefined ? null : dateOrNullOf(row, 'grace_until'),
      aheadMs: row === undefined ? null : aheadOf(row),
    };
  } catch (error) {
    if (isServerError(error, ...ABSENT_TABLE)) return NEVER;
    throw error;
  }
}

/** By how much the server's clock was ahead of that of the proxy which looked. */
function aheadOf(row: Row): number | null {
  const proxyClock = 'proxy_clock' in row ? dateOrNullOf(row, 'proxy_clock') : null;
  return proxyClock === null ? null : dateOf(row, 'last_look').getTime() - proxyClock.getTime();
}

/** Writes that this server was looked at just now. Makes the table where it is missing. */
export async function writeRoundRecord(
  connection: ServiceConnection,
  serverIdentity: string,
  { graceUntil, proxyNow }: { readonly graceUntil: Date | null; readonly proxyNow: Date },
): Promise<void> {
  const text = (time: Date) => time.toISOString().slice(0, 23).replace('T', ' ');
  const until = graceUntil === null ? null : text(graceUntil);
  const write = sql`${note('look')} REPLACE INTO ${TABLE}
      (server_identity, last_look, grace_until, proxy_clock)
    VALUES (${bounded(serverIdentity)}, UTC_TIMESTAMP(3), ${until}, ${text(proxyNow)})`;
  try {
    await connection.run(write);
  } catch (error) {
    if (!isServerError(error, ER_NO_SUCH_TABLE, ER_BAD_FIELD_ERROR)) throw error;
    const isOld = isServerError(error, ER_BAD_FIELD_ERROR);
    await connection.run([
      isOld
        ? sql`ALTER ${note('look')} TABLE ${TABLE} ADD COLUMN proxy_clock DATETIME(3) NULL`
        : sql`${note('look')} CREATE TABLE IF NOT EXISTS ${TABLE} (
        server_identity VARCHAR(190) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL PRIMARY KEY,
        last_look DATETIME(3) NOT NULL,
        grace_until DATETIME(3) NULL,
        proxy_clock DATETIME(3) NULL
      ) ENGINE=InnoDB`,
      write,
    ]);
  }
}

function bounded(identity: string): string {
  return identity.slice(0, IDENTITY_CHARACTERS_MAX);
}
