/**
 * Decides when a collector must wait before it acts on any table, and keeps the record of the last
 * round that this is decided by. A server that was restored from a backup, or whose clock jumped,
 * shows held tables as long overdue that somebody may just be about to bring back; so UNDROP_GRACE
 * passes first, and the log says so.
 *
 * Invariant: the wait ends; a restart of the proxy neither shortens it nor begins it anew.
 */
import { RECYCLE_SCHEMA } from '../../names/recycle-schema.js';
import {
  isServerError,
  type Row,
  type ServiceConnection,
  unlessRefused,
} from '../../service/pool/pools.js';
import { dateOf, dateOrNullOf } from '../../service/row.js';
import type { ServerFacts } from '../../service/server-facts.js';
import { ident, note, sql } from '../../service/sql.js';
import { ABSENT_TABLE, ER_BAD_FIELD_ERROR, ER_NO_SUCH_TABLE } from '../../wire/server-errors.js';
import type { ActionContext } from '../transition.js';

/** What the collector's own table says of this server, and of any other that had it. */
export interface LastRound {
  /** A collector has acted, or waited, on this server before. */
  readonly known: boolean;
  /** When the last round was, on any server; `null`: never. */
  readonly at: Date | null;
  /** A wait that was decided before. */
  readonly graceUntil: Date | null;
  /** How far this server's clock was ahead of the proxy's at the last round; `null`: not known. */
  readonly aheadMs: number | null;
}

export interface GraceFacts extends LastRound {
  /** The same now. */
  readonly aheadNowMs: number;
  /** Held tables. */
  readonly heldCount: number;
  /** The server's UTC clock. */
  readonly now: Date;
  /** By how much that clock moved against the proxy's since the last round of this proxy. */
  readonly clockDriftMs: number;
  /** This proxy has done rounds all the while, so an old last round means nothing. */
  readonly continuing: boolean;
}

/** `until: null`: nothing to wait for. */
type Grace =
  | { readonly until: null }
  | { readonly until: Date; readonly because: string; readonly isNew: boolean };

/** A clock that is corrected by less than this did not jump. */
const CLOCK_DRIFT_MS_MAX = 60_000;

/** Whether to wait, until when by the server's clock, and why. */
export function decideGrace(
  facts: GraceFacts,
  settings: { readonly holdMs: number; readonly graceMs: number },
): Grace {
  const { now } = facts;
  if (settings.graceMs === 0) return { until: null };
  const longest = new Date(now.getTime() + settings.graceMs);
  const because = facts.heldCount === 0 ? null : reason(facts, settings.holdMs);
  if (because !== null) {
    return { until: longest, because, isNew: true };
  }
  if (facts.graceUntil === null || facts.graceUntil <= now) return { until: null };
  const until = facts.graceUntil < longest ? facts.graceUntil : longest;
  return { until, because: 'a wait that began earlier', isNew: false };
}

function reason(facts: GraceFacts, holdMs: number): string | null {
  const { now, at } = facts;
  const waiting = facts.graceUntil !== null && facts.graceUntil > now;
  if (Math.abs(facts.clockDriftMs) > CLOCK_DRIFT_MS_MAX) return "the server's clock jumped";
  if (facts.continuing || waiting) return null;
  if (!facts.known || at === null) return 'this server is new to the ledger';
  const sinceMs = now.getTime() - at.getTime();
  if (sinceMs < -CLOCK_DRIFT_MS_MAX) return "the server's clock went back since the last round";
  const jumpedMs = facts.aheadMs === null ? 0 : facts.aheadNowMs - facts.aheadMs;
  if (Math.abs(jumpedMs) > CLOCK_DRIFT_MS_MAX) {
    return "the server's clock, or the proxy's, jumped since the last round";
  }
  if (sinceMs > holdMs) return 'the last round is older than UNDROP_HOLD';
  return null;
}

const TABLE = ident(RECYCLE_SCHEMA, 'collector');
const IDENTITY_CHARACTERS_MAX = 190;

/** The last round, on this server and on any other that had these tables; none if they are lost. */
async function readRoundRecord(
  connection: ServiceConnection,
  serverIdentity: string,
): Promise<LastRound> {
  // All columns: that of the proxy's clock came later.
  const queries = [
    sql`SELECT ${note('look')} MAX(last_look) AS at FROM ${TABLE}`,
    sql`SELECT * FROM ${TABLE} WHERE server_identity = ${bounded(serverIdentity)}`,
  ];
  const [any, own] = await unlessRefused(connection.run(queries), [], ...ABSENT_TABLE);
  const at = any?.[0];
  const row = own?.[0];
  return {
    known: row !== undefined,
    at: at === undefined ? null : dateOrNullOf(at, 'at'),
    graceUntil: row === undefined ? null : dateOrNullOf(row, 'grace_until'),
    aheadMs: row === undefined ? null : aheadOf(row),
  };
}

/** By how much the server's clock was ahead of that of the proxy that did the round. */
function aheadOf(row: Row): number | null {
  const proxyClock = 'proxy_clock' in row ? dateOrNullOf(row, 'proxy_clock') : null;
  return proxyClock === null ? null : dateOf(row, 'last_look').getTime() - proxyClock.getTime();
}

/** Writes that a round was just now. Creates the table if it is missing. */
async function writeRoundRecord(
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

const WRITE_EVERY_MS = 60_000;

/**
 * The two clocks at the last round of this process, by the server's identity. It outlasts a
 * leadership: a server's clock may jump while no proxy has the lock.
 */
export type LastSeen = Map<string, Clocks>;

interface Clocks {
  readonly utcMs: number;
  readonly monotonicMs: number;
}

interface GraceKeeperOptions extends ActionContext {
  readonly lastSeen: LastSeen;
}

/** Checks the server's identity and clock for one leadership, and writes down each round. */
export class GraceKeeper {
  readonly #options: GraceKeeperOptions;
  /** Null before the first round of this leadership. */
  #last: LastRound | null = null;
  #writtenAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: GraceKeeperOptions) {
    this.#options = options;
  }

  /**
   * Milliseconds for which the collector must do nothing; 0: none. `readAtMs`: when the server's
   * clock was read, by the monotonic clock; `wallClockMs`: by this machine's other clock.
   */
  async check(
    server: ServerFacts,
    {
      heldCount,
      readAtMs: nowMs,
      wallClockMs,
    }: { readonly heldCount: number; readonly readAtMs: number; readonly wallClockMs: number },
  ): Promise<number> {
    const { connection, settings, lastSeen, log } = this.#options;
    const aheadNowMs = server.utcNow.getTime() - wallClockMs;
    const continuing = this.#last !== null;
    const before = lastSeen.get(server.serverIdentity);
    const utcMs = server.utcNow.getTime();
    const last = this.#last ?? (await readRoundRecord(connection, server.serverIdentity));
    const clockDriftMs =
      before === undefined ? 0 : utcMs - before.utcMs - (nowMs - before.monotonicMs);
    const facts = { ...last, aheadNowMs, heldCount, now: server.utcNow, clockDriftMs, continuing };
    const grace = decideGrace(facts, settings);
    const news = grace.until !== null && (grace.isNew || !continuing);
    if (news) {
      const { until, because } = grace;
      log.warn({ event: 'grace', until, because, heldCount }, 'nothing is collected until then');
    }
    const graceUntil = grace.until;
    this.#last = { ...last, graceUntil };
    lastSeen.set(server.serverIdentity, { utcMs, monotonicMs: nowMs });
    const everyMs = Math.min(WRITE_EVERY_MS, settings.holdMs / 4);
    if (!continuing || news || nowMs - this.#writtenAtMs >= everyMs) {
      await this.#write(server.serverIdentity, graceUntil);
      this.#writtenAtMs = nowMs;
    }
    return graceUntil === null ? 0 : graceUntil.getTime() - utcMs;
  }

  async #write(identity: string, graceUntil: Date | null): Promise<void> {
    const { connection, clock, log } = this.#options;
    try {
      const proxyNow = new Date(clock.nowMs());
      await writeRoundRecord(connection, identity, { graceUntil, proxyNow });
    } catch (error) {
      if (!isServerError(error)) throw error;
      log.warn({ event: 'grace', err: error }, 'the round could not be recorded');
    }
  }
}
