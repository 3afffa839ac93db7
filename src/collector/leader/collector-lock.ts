/**
 * The collector's lock is a lock of the server under a secret name, and a row beside the ledger
 * with the name and the holder. GET_LOCK takes no privilege, so any user could take a well-known
 * name; only the service account can write the row.
 *
 * Invariant: the name is new for each leadership. Its lock is taken first, and then one statement
 * changes the row if it is as it was read: of several proxies that try, one succeeds. Therefore a
 * session that has the lock in the row leads if the row names it; any other holder is a stranger.
 */
import { randomBytes } from 'node:crypto';
import { unlessRefused } from '../../connections/errors.js';
import type {
  ServerFacts,
  ServiceConnection,
  ServicePool,
  SQLQuery,
  TaskConnection,
} from '../../connections/sql.js';
import { col, ident, note, processlistOf, readServerFacts, sql } from '../../connections/sql.js';
import { writeOrCreate } from '../../ledger/tables.js';
import { RECYCLE_SCHEMA } from '../../names/names.js';
import * as ER from '../../wire/server-errors.js';

export const LEADER_TABLE = ident(RECYCLE_SCHEMA, 'leader');
const IDENTITY_CHARACTERS_MAX = 190;
/** The server ends a session of undrop that is silent for this long, and so frees the lock. */
const SILENCE_SECONDS = 20;
const DEADLINE_MS = 10_000;

/** The row of a server. */
interface LeaderRow {
  readonly nonce: string;
  /** Id, user and address of the leader's connection, which together are unique. */
  readonly holder: string;
}

interface LockState {
  /** The connection of the proxy that collects; null: none does. */
  readonly leader: number | null;
  /**
   * A holder of the lock that isn't a proxy of undrop, as a sentence; it is ignored. Null: none.
   */
  readonly stranger: string | null;
  /** Null: not written yet. */
  readonly row: LeaderRow | null;
  /** Id, user and address of this connection. */
  readonly self: string;
}

/** The collector of this server, and strangers that have its lock. Changes nothing. */
export async function readLockState(
  connection: ServiceConnection,
  server: ServerFacts,
): Promise<LockState> {
  const row = await readRow(connection, server);
  const holder = row === null ? sql`NULL` : sql`IS_USED_LOCK(${nameOf(row.nonce)})`;
  const [[ids = {}] = [], people = []] = await connection.run([
    sql`SELECT ${note('lock')} ${holder} AS holder, CONNECTION_ID() AS self`,
    sql`SELECT ID AS id, CONCAT(ID, ' ', USER, '@', HOST) AS words
        FROM ${processlistOf(server)} WHERE ID IN (CONNECTION_ID(), ${holder})`,
  ]);
  const wordsOf = (threadId: number) => {
    const found = people.find((one) => col.number(one, 'id') === threadId);
    return found === undefined ? `${threadId} of an unseen user` : col.text(found, 'words');
  };
  const self = wordsOf(col.number(ids, 'self'));
  const threadId = col.numberOrNull(ids, 'holder');
  if (row === null || threadId === null) return { leader: null, stranger: null, row, self };
  const words = wordsOf(threadId);
  return words === row.holder
    ? { leader: threadId, stranger: null, row, self }
    : { leader: null, stranger: `${words} has ${nameOf(row.nonce)}`, row, self };
}

/**
 * A holder of the lock that isn't a proxy of undrop. Null also if the account may not read that.
 */
export async function findStranger(pool: ServicePool): Promise<string | null> {
  const read = async () => (await readLockState(pool, await readServerFacts(pool))).stranger;
  return unlessRefused(read(), null, ...ER.ACCESS_DENIED);
}

/** A lock that a leader has. */
export interface HeldLock {
  readonly name: string;
  /**
   * SQL: 1 while this very connection has it and the row confirms that. Fails with 1146 or 1049
   * if the row is lost with its table.
   */
  readonly isLed: SQLQuery;
  release(): Promise<unknown>;
}

/** `seen`: read just now. Null if another proxy was faster. `nonce`: 32 secret hex digits. */
export async function takeLock(
  connection: TaskConnection,
  server: ServerFacts,
  { seen, nonce }: { readonly seen: LockState; readonly nonce: string },
): Promise<HeldLock | null> {
  const name = nameOf(nonce);
  // Its session settings differ from the pool's.
  connection.discard();
  const how = { deadlineMs: DEADLINE_MS };
  // A single text, so that the lock is never held without the timeouts, wherever this process may
  // be stopped.
  await connection.run(
    [
      sql`${note('lock')} SELECT GET_LOCK(${name}, 0) AS got`,
      sql`SET SESSION wait_timeout = ${SILENCE_SECONDS},
        SESSION net_read_timeout = ${SILENCE_SECONDS},
        SESSION net_write_timeout = ${SILENCE_SECONDS}`,
    ],
    how,
  );
  const release = () => connection.run(sql`${note('lock')} DO RELEASE_LOCK(${name})`, how);
  if (!(await claim(connection, server, { seen, nonce }))) {
    await release();
    return null;
  }
  const isLed = sql`IS_USED_LOCK(${name}) = CONNECTION_ID() AND EXISTS (SELECT 1 FROM ${LEADER_TABLE}
    WHERE server_identity = ${leaderIdentity(server.serverIdentity)} AND nonce = ${nonce})`;
  return { name, isLed, release };
}

async function claim(
  connection: ServiceConnection,
  server: ServerFacts,
  { seen, nonce }: { readonly seen: LockState; readonly nonce: string },
): Promise<boolean> {
  const { row, self } = seen;
  const change =
    row === null
      ? sql`INSERT IGNORE ${note('lock')} INTO ${LEADER_TABLE} (server_identity, nonce, holder, since)
          VALUES (${leaderIdentity(server.serverIdentity)}, ${nonce}, ${self}, UTC_TIMESTAMP())`
      : sql`UPDATE ${note('lock')} ${LEADER_TABLE}
          SET nonce = ${nonce}, holder = ${self}, since = UTC_TIMESTAMP()
          WHERE server_identity = ${leaderIdentity(server.serverIdentity)} AND nonce = ${row.nonce}`;
  return (await writeOrCreate(connection, change, LEADER_CREATION)) === 1;
}

export const LEADER_CREATION = sql`CREATE TABLE IF NOT EXISTS ${LEADER_TABLE} (
  server_identity VARCHAR(190) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL PRIMARY KEY,
  nonce CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  holder VARCHAR(512) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  since DATETIME NOT NULL
) ENGINE=InnoDB`;

async function readRow(
  connection: ServiceConnection,
  server: ServerFacts,
): Promise<LeaderRow | null> {
  const query = sql`SELECT ${note('lock')} nonce, holder FROM ${LEADER_TABLE}
    WHERE server_identity = ${leaderIdentity(server.serverIdentity)}`;
  const [[row] = []] = await unlessRefused(connection.run(query), [], ...ER.ABSENT_TABLE);
  if (row === undefined) return null;
  return { nonce: col.text(row, 'nonce'), holder: col.text(row, 'holder') };
}

function nameOf(nonce: string): string {
  return `undrop:collector:${nonce}`;
}

/** A key of the table. */
export function leaderIdentity(words: string): string {
  return words.slice(0, IDENTITY_CHARACTERS_MAX);
}

// ── the lock of a cluster ───────────────────────────────────────────────────────────────────────

export const LEASE_MS = 30_000;
/** How long the holder may rely on it after its renewal. */
const HELD_MS = 20_000;
const RENEW_EVERY_MS = 5_000;
/** How often proxies without it check it. */
export const LEASE_LOOK_MS = 10_000;

/**
 * Keeps one collector for each cluster (Galera, group replication): a lock of the server is local
 * to a node, so its holder also needs this lease, which is a row that the cluster replicates.
 *
 * Invariants: the row is changed by one statement that compares it with the last read, so one of
 * several nodes gets it. It is taken from another holder only after it was unchanged for LEASE_MS
 * by this machine's own clock; its holder gives it up sooner by its own, so no two clocks are
 * compared. Two collectors at once would do no harm: a step that one has done fails for the other
 * by the table's name.
 */
export class ClusterLease {
  readonly #connection: ServiceConnection;
  readonly #monotonicMs: () => number;
  readonly #nonce = randomBytes(16).toString('hex');
  #cluster: string | null = null;
  /** Null: this proxy doesn't hold it. */
  #renewedAtMs: number | null = null;
  /** The contents of the row, and the time since which they are unchanged. */
  #seen = { words: '', sinceMs: Number.POSITIVE_INFINITY };

  constructor(connection: ServiceConnection, monotonicMs: () => number) {
    this.#connection = connection;
    this.#monotonicMs = monotonicMs;
  }

  /** Takes or renews it if necessary; true if the server is in no cluster. */
  async isOurs({ cluster }: Pick<ServerFacts, 'cluster'>): Promise<boolean> {
    this.#cluster = cluster;
    if (cluster === null || this.#isYoungerThan(RENEW_EVERY_MS)) return true;
    const atMs = this.#monotonicMs();
    const isHeld = (await this.#renew(cluster)) || (await this.#take(cluster));
    this.#renewedAtMs = isHeld ? atMs : null;
    return isHeld && this.isFresh;
  }

  /** Renews it, if held, while there is no work. */
  async keep(): Promise<void> {
    const cluster = this.#cluster;
    if (this.#renewedAtMs !== null) await this.isOurs({ cluster });
  }

  /** Another proxy then needn't wait until it expires. */
  async release(): Promise<void> {
    if (this.#cluster === null || this.#renewedAtMs === null) return;
    this.#renewedAtMs = null;
    await this.#change(sql`DELETE ${note('lease')} FROM ${LEADER_TABLE}
      WHERE server_identity = ${this.#cluster} AND nonce = ${this.#nonce}`);
  }

  /** Whether this proxy certainly still holds it. */
  get isFresh(): boolean {
    return this.#cluster === null || this.#isYoungerThan(HELD_MS);
  }

  #isYoungerThan(ms: number): boolean {
    return this.#renewedAtMs !== null && this.#monotonicMs() < this.#renewedAtMs + ms;
  }

  async #renew(cluster: string): Promise<boolean> {
    if (this.#renewedAtMs === null) return false;
    return this.#change(sql`UPDATE ${note('lease')} ${LEADER_TABLE} SET since = UTC_TIMESTAMP()
      WHERE server_identity = ${cluster} AND nonce = ${this.#nonce}`);
  }

  async #take(cluster: string): Promise<boolean> {
    const [[row] = []] = await this.#connection.run(
      sql`SELECT ${note('lease')} nonce, CAST(since AS CHAR) AS since FROM ${LEADER_TABLE}
          WHERE server_identity = ${cluster}`,
    );
    if (row === undefined) {
      return this.#change(sql`INSERT IGNORE ${note('lease')} INTO ${LEADER_TABLE}
        (server_identity, nonce, holder, since)
        VALUES (${cluster}, ${this.#nonce}, CONCAT(@@hostname, ':', @@port),
          UTC_TIMESTAMP())`);
    }
    const [nonce, since] = [col.text(row, 'nonce'), col.text(row, 'since')];
    const [words, nowMs] = [`${nonce} ${since}`, this.#monotonicMs()];
    if (words !== this.#seen.words) this.#seen = { words, sinceMs: nowMs };
    if (nowMs - this.#seen.sinceMs < LEASE_MS) return false;
    return this.#change(sql`UPDATE ${note('lease')} ${LEADER_TABLE}
      SET nonce = ${this.#nonce}, holder = CONCAT(@@hostname, ':', @@port), since = UTC_TIMESTAMP()
      WHERE server_identity = ${cluster} AND nonce = ${nonce} AND since = ${since}`);
  }

  /** False also if another node was faster: then the commit is refused. */
  #change(change: Parameters<ServiceConnection['run']>[0]): Promise<boolean> {
    const changed = this.#connection.run(change).then(([rows]) => rows?.affectedRows === 1);
    return unlessRefused(changed, false);
  }
}
