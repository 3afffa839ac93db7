/**
 * Decides when a collector must wait before it acts on any table, and keeps the record of the last
 * round for this decision. After a restore from a backup, or a jump of the server's clock, held
 * tables seem long overdue that an operator may want to restore; so UNDROP_GRACE passes first, and
 * that is logged.
 *
 * Invariant: the wait ends; a restart of the proxy neither shortens nor restarts it.
 */

import { isServerError, unlessRefused } from '../../connections/errors.js';
import { col, note, type ServerFacts, type ServiceConnection, sql } from '../../connections/sql.js';
import { timeText } from '../../duration.js';
import { writeOrCreate } from '../../ledger/tables.js';
import * as ER from '../../wire/server-errors.js';
import type { ActionContext } from '../action-context.js';
import { LEADER_CREATION, LEADER_TABLE, leaderIdentity, readLockState } from './collector-lock.js';

/** A row beside that of the leader. */
export interface LastRound {
  /** When the last round was, on this server or any other that had these tables. */
  readonly at: Date;
  /** The end of a wait that was decided before. */
  readonly graceUntil: Date | null;
  /** How far this server's clock was ahead of the proxy's. */
  readonly aheadMs: number;
}

export interface GraceFacts {
  /** Null: no collector has acted, or waited, on this server before. */
  readonly last: LastRound | null;
  /** How far this server's clock is ahead of the proxy's now. */
  readonly aheadNowMs: number;
  /** The number of held tables. */
  readonly heldCount: number;
  /** The server's UTC clock. */
  readonly now: Date;
  /** How much that clock moved against the proxy's since the last round of this proxy. */
  readonly clockDriftMs: number;
  /** This proxy has run rounds all the while, so an old last round means nothing. */
  readonly continuing: boolean;
}

/** `until: null`: no wait. */
type Grace =
  | { readonly until: null }
  | { readonly until: Date; readonly because: string; readonly isNew: boolean };

/** A smaller correction of a clock isn't a jump. */
const CLOCK_DRIFT_MS_MAX = 60_000;

/** Whether to wait, until when by the server's clock, and why. */
export function decideGrace(
  facts: GraceFacts,
  settings: { readonly holdMs: number; readonly graceMs: number },
): Grace {
  const { now, heldCount } = facts;
  if (settings.graceMs === 0) return { until: null };
  const longest = new Date(now.getTime() + settings.graceMs);
  const before = facts.last?.graceUntil ?? null;
  const isWaiting = before !== null && before > now;
  const because = heldCount === 0 ? null : reason(facts, { ...settings, isWaiting });
  if (because !== null) return { until: longest, because, isNew: true };
  if (!isWaiting) return { until: null };
  const until = before < longest ? before : longest;
  return { until, because: 'a wait that began earlier', isNew: false };
}

function reason(
  { last, now, aheadNowMs, clockDriftMs, continuing }: GraceFacts,
  { holdMs, isWaiting }: { readonly holdMs: number; readonly isWaiting: boolean },
): string | null {
  if (Math.abs(clockDriftMs) > CLOCK_DRIFT_MS_MAX) return "the server's clock jumped";
  if (continuing || isWaiting) return null;
  if (last === null) return 'this server is new to the ledger';
  const sinceMs = now.getTime() - last.at.getTime();
  if (sinceMs < -CLOCK_DRIFT_MS_MAX) return "the server's clock went back since the last round";
  if (Math.abs(aheadNowMs - last.aheadMs) > CLOCK_DRIFT_MS_MAX) {
    return "the server's clock, or the proxy's, jumped since the last round";
  }
  if (sinceMs > holdMs) return 'the last round is older than UNDROP_HOLD';
  return null;
}

/** The held tables, and when the server's clock was read, by two clocks of this machine. */
interface Seen {
  readonly heldCount: number;
  /** By the monotonic clock. */
  readonly readAtMs: number;
  readonly wallClockMs: number;
}

/** Why a collector that started now would wait, or the present one does; writes nothing. */
export async function peekGrace(
  connection: ServiceConnection,
  { server, ...seen }: Omit<Seen, 'readAtMs'> & { readonly server: ServerFacts },
  settings: { readonly holdMs: number; readonly graceMs: number },
): Promise<string | null> {
  const now = server.utcNow;
  const last = await readLastRound(connection, server);
  const continuing = (await readLockState(connection, server)).leader !== null;
  const aheadNowMs = now.getTime() - seen.wallClockMs;
  const facts = { ...seen, last, now, aheadNowMs, continuing, clockDriftMs: 0 };
  const { until } = decideGrace(facts, settings);
  return until === null ? null : graceText(until);
}

export function graceText(until: Date): string {
  return `the collector waits for UNDROP_GRACE, until ${timeText(until)}`;
}

const ROUND = 'round ';

/** The key of a row of the leader's table; nodes of a cluster share one. */
function keyOf(server: ServerFacts): string {
  return leaderIdentity(`${ROUND}${server.cluster ?? server.serverIdentity}`);
}

/** Null also if its table is lost. */
export async function readLastRound(
  connection: ServiceConnection,
  server: ServerFacts,
): Promise<LastRound | null> {
  const query = sql`SELECT ${note('look')} holder, (SELECT MAX(since) FROM ${LEADER_TABLE}
      WHERE server_identity LIKE ${`${ROUND}%`}) AS last_anywhere
    FROM ${LEADER_TABLE} WHERE server_identity = ${keyOf(server)}`;
  const [[row] = []] = await unlessRefused(connection.run(query), [], ...ER.ABSENT_TABLE);
  if (row === undefined) return null;
  const [aheadMs, graceUntil] = col.text(row, 'holder').split(' ');
  return {
    at: col.date(row, 'last_anywhere'),
    graceUntil: graceUntil === undefined ? null : new Date(graceUntil),
    aheadMs: Number(aheadMs),
  };
}

const WRITE_EVERY_MS = 60_000;

/**
 * The two clocks at the last round of this process, by the server's identity. It outlasts a
 * leadership: a server's clock may jump while no proxy has the lock.
 */
export type ClocksByServer = Map<string, Clocks>;

interface Clocks {
  readonly utcMs: number;
  readonly monotonicMs: number;
}

interface GraceKeeperOptions extends ActionContext {
  readonly lastSeen: ClocksByServer;
}

/** Checks the server's identity and clock for one leadership, and records each round. */
export class GraceKeeper {
  readonly #options: GraceKeeperOptions;
  /** Null before the first round of this leadership. */
  #last: LastRound | null = null;
  #writtenAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: GraceKeeperOptions) {
    this.#options = options;
  }

  /** Milliseconds for which the collector must do nothing; 0: none. */
  async check(server: ServerFacts, { heldCount, readAtMs, wallClockMs }: Seen): Promise<number> {
    const { connection, settings, lastSeen, log } = this.#options;
    const { serverIdentity, utcNow: now } = server;
    const utcMs = now.getTime();
    const aheadNowMs = utcMs - wallClockMs;
    const continuing = this.#last !== null;
    const last = this.#last ?? (await readLastRound(connection, server));
    const seen = lastSeen.get(serverIdentity) ?? { utcMs, monotonicMs: readAtMs };
    const clockDriftMs = utcMs - seen.utcMs - (readAtMs - seen.monotonicMs);
    const facts = { last, aheadNowMs, heldCount, now, clockDriftMs, continuing };
    const grace = decideGrace(facts, settings);
    const isNews = grace.until !== null && (grace.isNew || !continuing);
    if (isNews) {
      const { until, because } = grace;
      log.warn(
        { event: 'grace', until, because, heldCount },
        'waiting for UNDROP_GRACE before the first removal',
      );
    }
    const graceUntil = grace.until;
    this.#last = { at: now, graceUntil, aheadMs: aheadNowMs };
    lastSeen.set(serverIdentity, { utcMs, monotonicMs: readAtMs });
    const everyMs = Math.min(WRITE_EVERY_MS, settings.holdMs / 4);
    if (!continuing || isNews || readAtMs - this.#writtenAtMs >= everyMs) {
      await this.#write(server, this.#last);
      this.#writtenAtMs = readAtMs;
    }
    return graceUntil === null ? 0 : graceUntil.getTime() - utcMs;
  }

  async #write(server: ServerFacts, { aheadMs, graceUntil }: LastRound): Promise<void> {
    const { connection, log } = this.#options;
    const words = [Math.round(aheadMs), graceUntil?.toISOString() ?? []].flat().join(' ');
    const write = sql`${note('look')} REPLACE INTO ${LEADER_TABLE}
        (server_identity, nonce, holder, since)
      VALUES (${keyOf(server)}, '', ${words}, UTC_TIMESTAMP())`;
    try {
      await writeOrCreate(connection, write, LEADER_CREATION);
    } catch (error) {
      if (!isServerError(error)) throw error;
      log.warn({ event: 'grace', err: error }, 'cannot record the time of a round');
    }
  }
}
