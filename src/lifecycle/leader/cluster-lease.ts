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
import { randomBytes } from 'node:crypto';
import { unlessRefused } from '../../service/errors.js';
import type { ServiceConnection } from '../../service/pool/pools.js';
import type { ServerFacts } from '../../service/server-facts.js';
import { note, sql, textOf } from '../../service/sql.js';
import { LEADER_TABLE } from './collector-lock.js';

export const LEASE_MS = 30_000;
/** How long the holder may rely on it after its renewal. */
const HELD_MS = 20_000;
const RENEW_EVERY_MS = 5_000;
/** How often proxies without it check it. */
export const LEASE_LOOK_MS = 10_000;

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
    const [nonce, since] = [textOf(row, 'nonce'), textOf(row, 'since')];
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
