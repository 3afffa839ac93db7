/**
 * The lag of a replica, read on the replica itself. Any uncertainty (it has stopped, is connecting,
 * doesn't answer, doesn't replicate) counts as too much lag.
 */
import { causeText, isServiceError } from '../../service/errors.js';
import type { Row, ServiceConnection } from '../../service/pool/pools.js';
import { note, type SQLQuery, sql, textOf } from '../../service/sql.js';
import { parseServerVersion } from '../../wire/connection/handshake-v10.js';

export interface Replica {
  /** Its address, for messages. */
  readonly name: string;
  readonly connection: ServiceConnection;
}

/** Seconds by the replica's own count, of the slowest of its channels; else why it isn't known. */
export type ReplicaLag = { readonly seconds: number } | { readonly unknown: string };

/** A replica that takes longer to answer counts as lagging. */
const DEADLINE_MS = 3_000;

/** Does not reject for errors of the connection. */
export async function readReplicaLag({ connection }: Replica): Promise<ReplicaLag> {
  try {
    const [answer = []] = await connection.run(sql`SELECT ${note('lag')} VERSION() AS version`, {
      deadlineMs: DEADLINE_MS,
    });
    const status = statusOf(textOf(answer[0] ?? {}, 'version'));
    const [channels = []] = await connection.run(status, { deadlineMs: DEADLINE_MS });
    return lagOf(channels);
  } catch (error) {
    if (!isServiceError(error)) throw error;
    return { unknown: causeText(error) };
  }
}

/** A row for each channel. */
function statusOf(version: string): SQLQuery {
  const { flavour, versionId } = parseServerVersion(version);
  if (flavour === 'mariadb') return sql`SHOW ALL SLAVES STATUS`;
  return versionId >= 80_022 ? sql`SHOW REPLICA STATUS` : sql`SHOW SLAVE STATUS`;
}

/** The columns have other names in the middle: `Slave_IO_Running`, `Replica_IO_Running`. */
export function lagOf(channels: readonly Row[]): ReplicaLag {
  if (channels.length === 0) return { unknown: 'it does not replicate' };
  let slowest = 0;
  for (const channel of channels) {
    const of = (column: RegExp) => {
      const [, value = null] = Object.entries(channel).find(([name]) => column.test(name)) ?? [];
      return value === null ? null : String(value);
    };
    for (const thread of ['IO', 'SQL']) {
      const state = of(new RegExp(`_${thread}_Running$`));
      if (state !== 'Yes') return { unknown: `its ${thread} thread is not running (${state})` };
    }
    const seconds = of(/^Seconds_Behind_/);
    if (seconds === null) return { unknown: 'it does not report how far it lags (NULL)' };
    slowest = Math.max(slowest, Number(seconds));
  }
  return { seconds: slowest };
}
