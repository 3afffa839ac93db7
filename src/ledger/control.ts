/**
 * The operators' commands to every collector of a server, in a table beside the ledger: a pause,
 * and a wake. A collector reads it each round, and each text of a transition, of a purge chunk and
 * of a removal begins with a check of it (`UNLESS_PAUSED`).
 *
 * Invariant: while a pause lasts, by the server's clock, none of these begins, whichever proxy
 * collects. A table that can't be read counts as a pause; an absent table doesn't.
 */

import { unlessRefused } from '../connections/errors.js';
import type { Row, ServiceConnection } from '../connections/sql.js';
import { col, note, readServerFacts, sql } from '../connections/sql.js';
import { UndropError } from '../errors.js';
import * as ER from '../wire/server-errors.js';
import { CONTROL, CONTROL_CREATION, createBeside, writeOrCreate } from './tables.js';

export type Pause = Readonly<ReturnType<typeof asPause>>;
type Control = Readonly<Awaited<ReturnType<typeof read>>>;

const BY_CHARACTERS_MAX = 255;

const LASTS = sql`name = 'pause' AND (until_at IS NULL OR until_at > UTC_TIMESTAMP())`;

/** MariaDB 12 has more values than ON and OFF. */
const IS_READ_ONLY = sql`CAST(@@GLOBAL.read_only AS CHAR) NOT IN ('0', 'OFF')`;

/**
 * Ends a text with ER_SUBQUERY_NO_1_ROW while a pause lasts, and where the server has become
 * read-only: a privilege that purges need (SUPER) writes there nevertheless, and logged changes
 * would end replication once the server is a replica. It needs the table, which `readOrMakeControl`
 * creates. No DO: that hides errors on three of the four servers.
 */
export const UNLESS_PAUSED = sql`SELECT ${note('pause')} IF(${IS_READ_ONLY}
  OR EXISTS (SELECT 1 FROM ${CONTROL} WHERE ${LASTS}), (SELECT 1 UNION SELECT 2), 1) AS one`;

/**
 * Stops all collectors of this server for `forMs` (null: until `endPause`); replaces an earlier
 * pause. A running chunk or step is completed.
 */
export async function setPause(
  connection: ServiceConnection,
  { forMs, by }: { readonly forMs: number | null; readonly by: string },
): Promise<Pause> {
  await assertWritable(connection);
  const until =
    forMs === null
      ? sql`NULL`
      : sql`UTC_TIMESTAMP() + INTERVAL ${Math.max(Math.ceil(forMs / 1000), 1)} SECOND`;
  const write = sql`REPLACE ${note('pause')} INTO ${CONTROL} (name, until_at, set_by, since)
    VALUES ('pause', ${until}, ${by.slice(0, BY_CHARACTERS_MAX)}, UTC_TIMESTAMP())`;
  await writeOrCreate(connection, write, CONTROL_CREATION);
  const [rows = []] = await connection.run(sql`SELECT ${note('pause')} until_at, set_by, since
    FROM ${CONTROL} WHERE name = 'pause'`);
  return asPause(rows[0] ?? {});
}

/**
 * Resolves to the pause that lasted, or null; collectors continue within seconds. May run twice.
 */
export async function endPause(connection: ServiceConnection): Promise<Pause | null> {
  await assertWritable(connection);
  const { pause } = await readControl(connection);
  const ended = connection.run(sql`DELETE ${note('pause')} FROM ${CONTROL} WHERE name = 'pause'`);
  await unlessRefused(ended, [], ...ER.ABSENT_TABLE);
  await wakeCollectors(connection);
  return pause;
}

/**
 * Makes the collector begin a full round within a few seconds; if the server refuses the write, it
 * comes with the next check.
 */
export async function wakeCollectors(connection: ServiceConnection): Promise<void> {
  const write = sql`INSERT ${note('wake')} INTO ${CONTROL} (name, set_by, since, wakes)
    VALUES ('wake', '', UTC_TIMESTAMP(), 1)
    ON DUPLICATE KEY UPDATE wakes = wakes + 1, since = VALUES(since)`;
  await unlessRefused(writeOrCreate(connection, write, CONTROL_CREATION), null);
}

/** Both, by one statement; nothing if there is no such table. */
export function readControl(connection: ServiceConnection): Promise<Control> {
  return unlessRefused(read(connection), NOTHING, ...ER.ABSENT_TABLE);
}

/** The same for users of `UNLESS_PAUSED`: creates the table if it is absent. */
export async function readOrMakeControl(connection: ServiceConnection): Promise<Control> {
  const found = await unlessRefused(read(connection), null, ...ER.ABSENT_TABLE);
  if (found !== null) return found;
  await createBeside(connection, CONTROL_CREATION);
  return NOTHING;
}

const NOTHING: Control = { pause: null, wakes: 0 };

async function read(connection: ServiceConnection) {
  const [rows = []] = await connection.run(
    sql`SELECT ${note('look')} name, until_at, set_by, since, wakes FROM ${CONTROL}
        WHERE name = 'wake' OR ${LASTS}`,
  );
  const rowOf = (name: string) => rows.find((row) => col.text(row, 'name') === name);
  const [pause, wake] = [rowOf('pause'), rowOf('wake')];
  return {
    /** Null: none lasts. */
    pause: pause === undefined ? null : asPause(pause),
    /** The number of wakes so far; a changed number is a wake. */
    wakes: wake === undefined ? 0 : col.number(wake, 'wakes'),
  };
}

function asPause(row: Row) {
  return {
    /** By the server's clock; null: until it is ended. */
    until: col.dateOrNull(row, 'until_at'),
    /** Its author, in words. */
    by: col.text(row, 'set_by'),
    since: col.date(row, 'since'),
  };
}

/** An account that may write to a read-only replica would make it differ from its source. */
async function assertWritable(connection: ServiceConnection): Promise<void> {
  if ((await readServerFacts(connection)).readOnly)
    throw new UndropError('UNDROP_SERVER_READ_ONLY');
}
