/**
 * Estimates how many DROP TABLE and DROP DATABASE reached the server without undrop: those that the
 * server counted, less those that the running services have sent as such (ledger/services.ts).
 *
 * Invariant: it only reads, and only where this process collects. It never counts a drop that was
 * sent through undrop: a number of the server is compared with numbers of services that are newer.
 */

import type { Clock } from '../clock.js';
import { isServiceError, unlessRefused } from '../connections/errors.js';
import type { ServicePool } from '../connections/sql.js';
import { col, note, readServerFacts, readStatusVariables, sql } from '../connections/sql.js';
import { isServiceRunning, readServices } from '../ledger/services.js';
import type { Log } from '../log.js';
import { isMysql8 } from '../wire/connection/handshake-v10.js';
import * as ER from '../wire/server-errors.js';
import type { CollectorFigures } from './figures.js';

const EVERY_MS = 10_000;
/** How old the number of a service may be when it is written to its row. */
const SENT_LAG_MS = 3_000;
const LOOKS_MAX = 100;

/** The number of a service, and when it was written, by the server's clock. */
interface Sent {
  readonly id: string;
  readonly seenAt: Date;
  readonly dropsSent: number | null;
}

interface Look {
  /** By the server's clock. */
  readonly at: Date;
  /** The drops since the start of the server. */
  readonly counted: number;
}

/** Pure. */
export class DropsElsewhere {
  /** Oldest first. */
  #looks: Look[] = [];
  /** The last known number of each service, also of those that have ended. */
  readonly #sent = new Map<string, number>();
  /** The drops of services before they began to count anew, with a new process. */
  #sentBefore = 0;
  /** The drops of the server that none of these services has sent, at first. */
  #base: number | null = null;
  #found = 0;

  /** Resolves to the drops since the first look; null: a service doesn't count its drops. */
  take(look: Look, services: readonly Sent[]): number | null {
    if (services.some(({ dropsSent }) => dropsSent === null)) return null;
    // The server was restarted, or its statistics were truncated.
    if (look.counted < (this.#looks.at(-1)?.counted ?? 0)) this.#forget();
    for (const { id, dropsSent } of services) {
      const [before, now] = [this.#sent.get(id) ?? 0, dropsSent ?? 0];
      if (now < before) this.#sentBefore += before;
      this.#sent.set(id, now);
    }
    const sent = [...this.#sent.values()].reduce((sum, one) => sum + one, this.#sentBefore);
    this.#base ??= look.counted - sent;
    this.#looks = [...this.#looks, look].slice(-LOOKS_MAX);
    const knownAtMs = Math.min(...services.map(({ seenAt }) => seenAt.getTime())) - SENT_LAG_MS;
    const known = this.#looks.filter(({ at }) => at.getTime() <= knownAtMs).at(-1);
    if (known === undefined) return this.#found;
    this.#looks = this.#looks.slice(this.#looks.indexOf(known));
    this.#found = Math.max(this.#found, known.counted - sent - this.#base);
    return this.#found;
  }

  /** The drops that were found stay. */
  #forget(): void {
    this.#looks = [];
    this.#base = null;
  }
}

interface WatchOptions {
  /** The pool of the server with the ledger, which may become another. */
  pool(): ServicePool;
  readonly figures: CollectorFigures;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** Keeps the figure up to date; resolves after the signal. */
export async function watchDropsElsewhere(options: WatchOptions): Promise<void> {
  const { pool, figures, clock, log, signal } = options;
  let [connection, found] = [pool(), new DropsElsewhere()];
  for (; !signal.aborted; await clock.sleep(EVERY_MS, signal)) {
    if (!figures.leads || connection !== pool()) {
      [connection, found] = [pool(), new DropsElsewhere()];
      figures.dropsElsewhere = null;
    }
    if (!figures.leads) continue;
    try {
      const look = await readLook(connection);
      if (look === null) continue;
      const services = await readServices(connection);
      const running = services.filter((service) => isServiceRunning(service, look.at));
      figures.dropsElsewhere = found.take(look, running);
    } catch (error) {
      const level = isServiceError(error) ? 'debug' : 'error';
      log[level]({ event: 'collector', err: error }, 'cannot count the drops of the server');
    }
  }
}

/** Null: the server replicates, or is about to: the drops of its source are counted there. */
async function readLook(pool: ServicePool): Promise<Look | null> {
  const server = await readServerFacts(pool);
  if (server.readOnly) return null;
  // Before, MySQL has a digest only of the first statement of a text.
  const hasDigests = isMysql8(server) && server.performanceSchema;
  const counted = hasDigests ? await countByDigest(pool) : null;
  return { at: server.utcNow, counted: counted ?? (await countByStatus(pool)) };
}

/** MySQL counts drops of temporary tables as well, which can be told apart by their text. */
async function countByDigest(pool: ServicePool): Promise<number | null> {
  const query = sql`SELECT ${note('look')} COALESCE(SUM(COUNT_STAR), 0) AS found
    FROM performance_schema.events_statements_summary_by_digest
    WHERE DIGEST_TEXT LIKE 'DROP TABLE%' OR DIGEST_TEXT LIKE 'DROP SCHEMA%'
      OR DIGEST_TEXT LIKE 'DROP DATABASE%'`;
  const refused = [...ER.ACCESS_DENIED, ...ER.ABSENT_TABLE];
  const [[row] = []] = await unlessRefused(pool.run(query), [], ...refused);
  return row === undefined ? null : col.number(row, 'found');
}

async function countByStatus(pool: ServicePool): Promise<number> {
  const found = await readStatusVariables(pool, ['Com_drop_table', 'Com_drop_db']);
  return [...found.values()].reduce((sum, one) => sum + one, 0);
}
