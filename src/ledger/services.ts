/**
 * The running services, in a table beside the ledger: a row for each, with its addresses and
 * version.
 *
 * Invariant: a row is changed in the way it was written, in the binary log or not, because a logged
 * change of a row that a replica lacks would stop its replication. Therefore that is a part of the
 * key, and an account that gets or loses the privilege for sql_log_bin begins another row.
 */

import { unlessRefused } from '../connections/errors.js';
import { col, note, type Row, type ServicePool, type SQLQuery, sql } from '../connections/sql.js';
import * as ER from '../wire/server-errors.js';
import { mayUnlog, PROXIES } from './tables.js';

export type RecordedService = Readonly<ReturnType<typeof asService>>;
type Service = Omit<RecordedService, 'startedAt' | 'seenAt'>;

/** A service renews its row each half minute. */
const RUNNING_MS = 120_000;

/** Whether it has renewed its row within two minutes; `now`: by the clock of the server. */
export function isServiceRunning({ seenAt }: Pick<RecordedService, 'seenAt'>, now: Date): boolean {
  return now.getTime() - seenAt.getTime() < RUNNING_MS;
}

/** Writes the row of a service, or renews it. May run twice. */
export async function recordService(pool: ServicePool, service: Service): Promise<void> {
  const { id, host, listen, version, processes, collectorId, dropsSent } = service;
  await write(
    pool,
    (rowLogged) => sql`INSERT ${note('service')} INTO ${PROXIES}
      (id, row_logged, host, listen, version, started_at, seen_at, processes, collector_id,
        settings, drops_sent)
    VALUES (${id}, ${rowLogged}, ${host}, ${listen}, ${version}, UTC_TIMESTAMP(),
      UTC_TIMESTAMP(), ${processes}, ${collectorId}, '{}', ${dropsSent})
    ON DUPLICATE KEY UPDATE host = VALUES(host), listen = VALUES(listen),
      version = VALUES(version), seen_at = VALUES(seen_at), processes = VALUES(processes),
      collector_id = VALUES(collector_id), drops_sent = VALUES(drops_sent)`,
  );
}

/** Deletes the rows of a service that ends: two if its account got the privilege meanwhile. */
export async function forgetService(pool: ServicePool, id: string): Promise<void> {
  for (const logged of (await mayUnlog(pool)) ? [false, true] : [true]) {
    const own = sql`id = ${id} AND row_logged = ${logged ? 1 : 0}`;
    await pool.logging(logged).run(sql`DELETE ${note('service')} FROM ${PROXIES} WHERE ${own}`);
  }
}

/**
 * Deletes the rows of services that were killed: those not seen for a day, and those with the
 * addresses of this one.
 */
export async function forgetKilledServices(
  pool: ServicePool,
  { id, host, listen }: Pick<Service, 'id' | 'host' | 'listen'>,
): Promise<void> {
  await write(
    pool,
    (rowLogged) => sql`DELETE ${note('service')} FROM ${PROXIES}
    WHERE row_logged = ${rowLogged} AND id <> ${id}
      AND (${IS_OLD} OR (host = ${host} AND listen = ${listen}))`,
  );
}

const IS_OLD = sql`seen_at < UTC_TIMESTAMP() - INTERVAL 1 DAY`;

async function write(pool: ServicePool, change: (rowLogged: number) => SQLQuery): Promise<void> {
  const logged = !(await mayUnlog(pool));
  await pool.logging(logged).run(change(logged ? 1 : 0));
}

/** The services of the last day, oldest first; none if the table is absent or may not be read. */
export async function readServices(pool: ServicePool): Promise<readonly RecordedService[]> {
  // A table of the previous version has fewer columns.
  const query = sql`SELECT ${note('service')} * FROM ${PROXIES} WHERE NOT ${IS_OLD} ORDER BY started_at, id, seen_at`;
  const read = pool.run(query);
  const [rows = []] = await unlessRefused(read, [], ...ER.ABSENT_TABLE, ...ER.ACCESS_DENIED);
  // A service with two rows is the later row.
  return [...new Map(rows.map((row) => [col.text(row, 'id'), asService(row)])).values()];
}

function asService(row: Row) {
  return {
    /** 32 hex digits; outlives a reload. */
    id: col.text(row, 'id'),
    /** The name of its machine. */
    host: col.text(row, 'host'),
    /** The addresses for clients. */
    listen: col.text(row, 'listen'),
    version: col.text(row, 'version'),
    startedAt: col.date(row, 'started_at'),
    /** When the row was last written. */
    seenAt: col.date(row, 'seen_at'),
    processes: col.number(row, 'processes'),
    /** The connection that it collects on; null: it had not begun to collect. */
    collectorId: col.numberOrNull(row, 'collector_id'),
    /**
     * The DROP TABLE and DROP DATABASE that it has sent as such since its start; null: it is of a
     * version that doesn't count them.
     */
    dropsSent: 'drops_sent' in row ? col.numberOrNull(row, 'drops_sent') : null,
  };
}
