/**
 * Keeps watch over the server's identity and clock for one leadership, writes down that it looked,
 * and says how long to wait (grace.ts has the rule).
 */
import type { Clock } from '../../clock.js';
import type { Log } from '../../log.js';
import { isServerError, type ServicePool } from '../../service/pool/pools.js';
import type { ServerFacts } from '../../service/server-facts.js';
import type { LifecycleSettings } from '../settings.js';
import { decideGrace, type LastLook } from './grace.js';
import { readRoundRecord, writeRoundRecord } from './round-record.js';

const WRITE_EVERY_MS = 60_000;

/**
 * The two clocks at the last look of this process, by the server's identity. It outlasts a
 * leadership: a server's clock may jump while no proxy has the lock.
 */
export type LastSeen = Map<string, Clocks>;

interface Clocks {
  readonly utcMs: number;
  readonly monotonicMs: number;
}

export interface GraceKeeperOptions {
  readonly connection: ServicePool;
  readonly settings: Pick<LifecycleSettings, 'holdMs' | 'graceMs'>;
  readonly lastSeen: LastSeen;
  readonly clock: Clock;
  readonly log: Log;
}

export class GraceKeeper {
  readonly #options: GraceKeeperOptions;
  /** Null before the first look of this leadership. */
  #last: LastLook | null = null;
  #writtenAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: GraceKeeperOptions) {
    this.#options = options;
  }

  /**
   * Milliseconds that the collector must leave everything alone; 0: none. `readAtMs`: when the
   * server's clock was read, by the monotonic one; `wallClockMs`: by this machine's other.
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
      await writeRoundRecord(connection, identity, {
        graceUntil,
        proxyNow: new Date(clock.nowMs()),
      });
    } catch (error) {
      if (!isServerError(error)) throw error;
      log.warn({ event: 'grace', err: error }, 'the look could not be written down');
    }
  }
}
