/**
 * Lists a running service in the ledger (ledger/services.ts): writes its row at the start, renews
 * it each half minute and when it begins to collect, and deletes it when the service ends.
 *
 * Invariant: nothing depends on it. If the row can't be written, the log has one warning, and the
 * service goes on; on a read-only server nothing is written.
 */
import { hostname } from 'node:os';
import { systemClock, withinMs } from '../../clock.js';
import type { CollectorFigures } from '../../collector/figures.js';
import { Wakeup } from '../../collector/leader/leader.js';
import { describeAddress, type ServerAddress } from '../../connections/server-address.js';
import { readServerFacts, type ServicePool } from '../../connections/sql.js';
import { versionOfPackage } from '../../faces/cli/settings.js';
import { forgetKilledServices, forgetService, recordService } from '../../ledger/services.js';
import { assertLedgerKnown } from '../../ledger/tables.js';
import type { Log } from '../../log.js';

/** Also how late drops that went past undrop are found (collector/drops-elsewhere.ts). */
const RENEW_EVERY_MS = 30_000;
/** How soon it is tried again while there is no ledger. */
const RETRY_MS = 5_000;
/** The end of a service waits no longer for its row. */
const FORGET_WITHIN_MS = 1_000;

interface PresenceOptions {
  readonly serviceId: string;
  readonly processes: number;
  readonly listen: readonly ServerAddress[];
  readonly figures: Pick<CollectorFigures, 'leaderId' | 'onLead'>;
  /** The drops that this service has sent to the server as such. */
  dropsSent(): number;
  /** The pool of the server with the ledger, which may become another. */
  pool(): ServicePool;
  readonly log: Log;
}

export class Presence {
  readonly #options: PresenceOptions;
  readonly #service;
  readonly #stopping = new AbortController();
  readonly #running: Promise<void>;
  readonly #bell = new Wakeup();
  #isFirst = true;
  #hasWarned = false;

  constructor(options: PresenceOptions) {
    const { serviceId: id, processes, listen } = options;
    this.#options = options;
    this.#service = {
      ...{ id, processes, host: hostname(), version: versionOfPackage() },
      listen: listen.map(describeAddress).join(', '),
    };
    options.figures.onLead = () => this.#bell.wake();
    this.#running = this.#run();
  }

  /** `isEnd`: the service ends, so its row goes as well. */
  async stop({ isEnd }: { readonly isEnd: boolean }): Promise<void> {
    this.#stopping.abort();
    const ended = this.#running.then(() => (isEnd ? this.#forget() : undefined));
    await withinMs(FORGET_WITHIN_MS, ended);
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      this.#bell.take();
      const isOver = await this.#unlessFailed(() => this.#record());
      const pauseMs = isOver ? RENEW_EVERY_MS : RETRY_MS;
      await systemClock.sleep(pauseMs, AbortSignal.any([signal, this.#bell.signal]));
    }
  }

  /** False: there is no ledger yet. */
  async #record(): Promise<boolean> {
    const pool = this.#options.pool();
    if ((await assertLedgerKnown(pool)) === null) return false;
    if ((await readServerFacts(pool)).readOnly) return true;
    if (this.#isFirst) await forgetKilledServices(pool, this.#service);
    this.#isFirst = false;
    const dropsSent = this.#options.dropsSent();
    const { leaderId: collectorId } = this.#options.figures;
    await recordService(pool, { ...this.#service, collectorId, dropsSent });
    return true;
  }

  async #forget(): Promise<void> {
    const pool = this.#options.pool();
    await this.#unlessFailed(async () => {
      if (!(await readServerFacts(pool)).readOnly) await forgetService(pool, this.#service.id);
    });
  }

  /** The result of `work`; true if it fails, which the log has once. */
  async #unlessFailed<T>(work: () => Promise<T>): Promise<T | true> {
    try {
      return await work();
    } catch (error) {
      const level = this.#hasWarned || this.#stopping.signal.aborted ? 'debug' : 'warn';
      this.#hasWarned = true;
      const what = 'cannot write the row of this service; `undrop status` may not list it';
      this.#options.log[level]({ event: 'service', err: error }, what);
      return true;
    }
  }
}
