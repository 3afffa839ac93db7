/**
 * What a proxy tells those who watch it (admin/http.ts): whether clients can be sent to it, and its
 * metrics. Each is found out when it is asked for.
 */
import { type AdminListener, openAdminListener } from '../../admin/http.js';
import { Exposition } from '../../admin/metrics.js';
import { withinMs } from '../../clock.js';
import { type CollectorFigures, REST_REASONS } from '../../lifecycle/figures.js';
import type { Log } from '../../log.js';
import type { Counters } from '../../metrics.js';
import { describeAddress } from '../../service/errors.js';
import { removeStaleSockets } from '../../session/listener.js';
import type { ProxySettings } from '../settings.js';
import { versionOfPackage } from '../version.js';

interface WatchOptions {
  readonly figures: CollectorFigures;
  readonly log: Log;
  /** UNDROP_MODE, which a reload may change. */
  mode(): string;
  counters(): Counters;
  /** Whether a server answers. */
  answers(): Promise<boolean>;
  /** Why the ledger can't be used; null: it can. */
  ledgerProblem(): Promise<string | null>;
}

/** A server that takes longer to answer is not reached; whoever asks has mostly little time. */
const WITHIN_MS = 2_000;

const NOT_SERVING = {
  starting: ['it has not begun to take clients'],
  serving: [],
  /** From the first moment on. */
  ending: ['it is about to end'],
} as const;

export class Watch {
  readonly #options: WatchOptions;
  readonly #exposition = new Exposition();
  readonly #version = versionOfPackage();
  #listeners: readonly AdminListener[] = [];
  #phase: 'starting' | 'serving' | 'ending' = 'starting';

  private constructor(options: WatchOptions) {
    this.#options = options;
  }

  static async open(
    { adminListen }: Pick<ProxySettings, 'adminListen'>,
    options: WatchOptions,
  ): Promise<Watch> {
    const watch = new Watch(options);
    const doors = { problems: () => watch.#problems(), metrics: () => watch.#metrics() };
    const { log } = options;
    await removeStaleSockets(adminListen);
    for (const address of adminListen) {
      const listener = await openAdminListener(address, { doors, log });
      watch.#listeners = [...watch.#listeners, listener];
      const where = describeAddress(listener.address);
      log.info({ event: 'admin', listen: where }, '/healthz, /readyz and /metrics are there');
    }
    return watch;
  }

  serves(): void {
    this.#phase = 'serving';
  }

  drains(): void {
    this.#phase = 'ending';
  }

  async close(): Promise<void> {
    await Promise.all(this.#listeners.map((listener) => listener.close()));
  }

  async #problems(): Promise<readonly string[]> {
    const { isUpstreamReached, ledgerProblem } = await this.#look();
    return [
      ...NOT_SERVING[this.#phase],
      ...(isUpstreamReached ? [] : ['no server of UNDROP_UPSTREAM answers']),
      ...(ledgerProblem === null ? [] : [`the ledger is not ready: ${ledgerProblem}`]),
    ];
  }

  async #metrics(): Promise<{ readonly contentType: string; readonly text: string }> {
    const { mode, counters, figures } = this.#options;
    const { isUpstreamReached, ledgerProblem } = await this.#look();
    return this.#exposition.text({
      version: this.#version,
      mode: mode(),
      counters: counters(),
      collector: figures,
      restReasons: REST_REASONS,
      isUpstreamReached,
      isLedgerReady: ledgerProblem === null,
      isDraining: this.#phase === 'ending',
    });
  }

  async #look(): Promise<{
    readonly isUpstreamReached: boolean;
    readonly ledgerProblem: string | null;
  }> {
    const { answers, ledgerProblem } = this.#options;
    const isUpstreamReached = (await withinMs(WITHIN_MS, answers())) ?? false;
    if (!isUpstreamReached)
      return { isUpstreamReached, ledgerProblem: 'its server is not reached' };
    // Null of its own is an answer.
    const asked = ledgerProblem().then((problem) => ({ problem }));
    const late = { problem: `no answer within ${WITHIN_MS / 1_000} s` };
    const { problem } = (await withinMs(WITHIN_MS, asked)) ?? late;
    return { isUpstreamReached, ledgerProblem: problem };
  }
}
