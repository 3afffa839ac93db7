/**
 * A source and a replica of it: two throwaway servers of one kind, of which one follows the other's
 * binary log. Invariant: whoever waits for the replica fails as soon as one of its threads stops.
 */
import type { ThrowawayServer } from '../../throwaway-servers/throwaway.js';
import { until } from './poll.js';
import { connect, query, startServer } from './servers.js';

export type ReplicaPair = Awaited<ReturnType<typeof startPair>>;

/** `gtid`: the replica asks for transactions by their GTID; else for a place in the log. */
export type PairOptions = { readonly name: string; readonly gtid: boolean };

/** One of each product. */
export const PAIRS = [
  { title: 'MySQL 9.7', name: 'mysql-9.7' },
  { title: 'MariaDB 11.8', name: 'mariadb-11.8' },
] as const;

type Status = Readonly<Record<string, string | number | bigint | null>>;

/** Of a source, or of whoever takes its log. */
export function gtidOptions({ name, gtid }: PairOptions): readonly string[] {
  const mode = gtid ? 'ON' : 'OFF';
  const gtids = [`--gtid-mode=${mode}`, `--enforce-gtid-consistency=${mode}`];
  return name.startsWith('mysql') ? gtids : ['--log_slave_updates=ON'];
}

/** Both are empty but for the service account; the replica follows when this resolves. */
export async function startPair({ name, gtid }: PairOptions) {
  const options = gtidOptions({ name, gtid });
  const [source, replica] = await Promise.all([
    startServer(name, options),
    startServer(name, [...options, '--read-only=ON']),
  ]);
  const isMysql = source.flavour === 'mysql';
  const readOnly = isMysql ? 'super_read_only' : 'read_only';
  const roles = { source, replica };
  /** Resolves when the replica has executed everything that is in the source's log by now. */
  const caughtUp = async () => {
    const [end] = await query<{ readonly File: string; readonly Position: number }>(
      roles.source,
      isMysql ? 'SHOW BINARY LOG STATUS' : 'SHOW MASTER STATUS',
    );
    const isThere = async () => {
      const { file, position } = await statusOf(roles.replica, isMysql);
      if (file !== end?.File) return file > (end?.File ?? '');
      return position >= Number(end.Position);
    };
    await until(isThere, `the replica is at ${end?.File}:${end?.Position}`, 120_000);
  };
  const stop = async () => void (await Promise.all([source.stop(), replica.stop()]));
  const pair = {
    /** Who is who changes by a failover. */
    get source() {
      return roles.source;
    },
    get replica() {
      return roles.replica;
    },
    /**
     * The replica becomes the source, with all that the old one has, which follows it then. `move`
     * tells clients; until it was called nobody writes to the old one, and later nothing does that
     * came before.
     */
    failOver: async (move: () => void) => {
      const { source: old, replica: next } = roles;
      await query(old, `SET GLOBAL ${readOnly} = ON`);
      const unlock = isMysql ? null : await lockOut(old);
      await caughtUp();
      const off = ['SET GLOBAL super_read_only = OFF', 'SET GLOBAL read_only = OFF'];
      await query(next, 'STOP REPLICA', 'RESET REPLICA ALL', ...off.slice(isMysql ? 0 : 1));
      Object.assign(roles, { source: next, replica: old });
      move();
      await unlock?.();
      const change = changeSource(next, { gtid, isMysql });
      await query(old, isMysql ? change : `${change}, MASTER_DEMOTE_TO_SLAVE=1`, 'START REPLICA');
    },
    /** Of sessions that begin from now on: `ROW`, `STATEMENT` or `MIXED`. */
    useFormat: (format: string) => query(roles.source, `SET GLOBAL binlog_format = '${format}'`),
    /** Rejects where the replica has stopped. */
    assertFollows: () => statusOf(roles.replica, isMysql).then(() => undefined),
    caughtUp,
    stop,
    [Symbol.asyncDispose]: stop,
  };
  // Each has made its own service account.
  for (const server of [source, replica]) {
    const reset = isMysql ? ['RESET BINARY LOGS AND GTIDS'] : ['RESET MASTER'];
    await query(server, ...reset, ...(isMysql ? [] : ["SET GLOBAL gtid_slave_pos = ''"]));
  }
  await query(replica, changeSource(source, { gtid, isMysql }), 'START REPLICA');
  await pair.caughtUp();
  return pair;
}

/**
 * MariaDB lets who has READ ONLY ADMIN, or SUPER, write to a read-only server: a transaction that
 * only the old source has would end its replication. So nobody writes until this is undone, which
 * kills first whoever waits to.
 */
async function lockOut(server: ThrowawayServer): Promise<() => Promise<void>> {
  const connection = await connect(server);
  await connection.query('FLUSH TABLES WITH READ LOCK');
  return async () => {
    const others = await connection.rows(
      `SELECT ID AS id FROM information_schema.PROCESSLIST
       WHERE ID <> CONNECTION_ID() AND USER <> 'system user' AND COMMAND <> 'Binlog Dump'`,
    );
    for (const { id } of others) {
      // Some have gone meanwhile.
      await connection.query(`KILL ${id}`).catch(() => undefined);
    }
    await connection.end();
  };
}

function changeSource(
  { host, port, user, flavour }: ThrowawayServer,
  { gtid, isMysql }: { readonly gtid: boolean; readonly isMysql: boolean },
): string {
  const word = flavour === 'mysql' ? 'SOURCE' : 'MASTER';
  const where = `${word}_HOST='${host}', ${word}_PORT=${port}, ${word}_USER='${user}',
    ${word}_PASSWORD='', ${word}_CONNECT_RETRY=1, ${word}_SSL=0, ${word}_SSL_VERIFY_SERVER_CERT=0`;
  if (isMysql) {
    return `CHANGE REPLICATION SOURCE TO ${where}, GET_SOURCE_PUBLIC_KEY=1,
      SOURCE_AUTO_POSITION=${gtid ? 1 : 0}`;
  }
  return `CHANGE MASTER TO ${where}, MASTER_USE_GTID=${gtid ? 'slave_pos' : 'no'}`;
}

/** How far the replica has executed the source's log. Rejects where it has stopped. */
async function statusOf(replica: ThrowawayServer, isMysql: boolean) {
  const [status = {}] = await query<Status>(replica, 'SHOW REPLICA STATUS');
  // MariaDB has other words in the middle.
  const of = (column: RegExp) => {
    const [, value = ''] = Object.entries(status).find(([name]) => column.test(name)) ?? [];
    return String(value ?? '');
  };
  const running = [of(/_IO_Running$/), of(/_SQL_Running$/)];
  if (running.includes('No') || running.includes('')) {
    const workers = await query<{ readonly said: string }>(
      replica,
      isMysql
        ? `SELECT LAST_ERROR_MESSAGE AS said
           FROM performance_schema.replication_applier_status_by_worker`
        : 'SELECT NULL AS said LIMIT 0',
    );
    const own = [of(/^Last_IO_Error$/), of(/^Last_SQL_Error$/)];
    const said = [...own, ...workers.map(({ said }) => said)];
    const errors = said.filter((one) => one !== '').join('; ');
    throw new Error(`The replica of ${replica.name} has stopped: ${errors}`);
  }
  return { file: of(/^Relay_\w+_Log_File$/), position: Number(of(/^Exec_\w+_Log_Pos$/)) };
}
