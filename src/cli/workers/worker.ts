/**
 * A worker: a process that serves clients beside others of the same proxy (primary.ts starts it).
 * It is a proxy of its own by id; ledger, recovery and collector are the first process's business.
 *
 * Invariant: it lives as long as the first process wants it to, and no longer than that lives; what
 * it is to do, it is told, and signals that reach all processes of a group don't concern it.
 */
import '../signals.js';
import { randomBytes } from 'node:crypto';
import { assertNever } from '../../assert.js';
import { type LeveledLog, openLog } from '../../log.js';
import { type Counters, newCounters } from '../../metrics.js';
import { newHoldId } from '../../names/hold-name.js';
import { PoolSet } from '../../service/pool/pool-set.js';
import { openProxyTls, type ProxyTls } from '../../session/login/tls.js';
import { ActiveDrops } from '../services/active-drops.js';
import { takeSignals } from '../signals.js';
import { Front } from './front.js';
import type { FromWorker, ToWorker } from './messages.js';
import { sessionsByOpenFiles } from './open-files.js';
import { RemoteConnectionLimit } from './remote-connection-limit.js';
import { keepYoungGenerationSmall } from './young-generation.js';

/** How often the first process hears how far the counters are. */
const COUNTERS_EVERY_MS = 1_000;

type Start = Extract<ToWorker, { kind: 'start' }>;
type Change = Extract<ToWorker, { kind: 'change' }>;

/** `then` is called when the message is on its way. */
function tell(message: FromWorker, then: () => void = () => undefined): void {
  process.send?.(message, then);
}

/** Without the first process there is no work: that ends this one. */
function goAway(): void {
  process.disconnect?.();
}

class Worker {
  readonly #log: LeveledLog;
  readonly #counters: Counters = newCounters();
  readonly #permits: RemoteConnectionLimit;
  readonly #hurry = new AbortController();
  readonly #front: Front;
  readonly #pools: PoolSet;
  readonly #tls: ProxyTls;

  static async start(start: Start): Promise<Worker> {
    keepYoungGenerationSmall();
    const worker = new Worker(start, await openProxyTls(start.settings, start.ownCertificate));
    const { addresses, relay } = await worker.#front.open();
    const counters = worker.#counters;
    setInterval(() => tell({ kind: 'counters', counters }), COUNTERS_EVERY_MS).unref();
    tell({ kind: 'ready', addresses, relay });
    return worker;
  }

  private constructor(start: Start, tls: ProxyTls) {
    const { settings, serviceConnectionsMax: connectionsMax, worker } = start;
    const log = openLog({
      level: settings.logLevel,
      pretty: process.stdout.isTTY,
      base: { worker },
    });
    this.#log = log;
    this.#tls = tls;
    this.#permits = new RemoteConnectionLimit({
      max: settings.maxConnections,
      ownMax: sessionsByOpenFiles(),
      ask: () => tell({ kind: 'take' }),
      give: () => tell({ kind: 'give' }),
    });
    this.#pools = new PoolSet({ ...settings, ...tls.service, connectionsMax, log });
    const proxyId = newHoldId(Date.now(), randomBytes);
    this.#front = new Front(
      {
        proxyId,
        activeDrops: new ActiveDrops(),
        pools: this.#pools,
        permits: this.#permits,
        tls,
        counters: this.#counters,
        log,
        isWorker: true,
        onHeld: () => tell({ kind: 'held' }),
      },
      settings,
    );
    log.debug({ proxyId }, 'a worker begins');
  }

  /** One message must not cost all sessions of this process. */
  obey(message: Exclude<ToWorker, Start>): void {
    try {
      this.#obey(message);
    } catch (error) {
      this.#log.error({ err: error }, 'what the first process said was not understood');
    }
  }

  #obey(message: Exclude<ToWorker, Start>): void {
    switch (message.kind) {
      case 'permit':
        return this.#permits.onAnswer(message.isAllowed);
      case 'change':
        this.#change(message).then(
          () => tell({ kind: 'changed', cause: null }),
          (error: unknown) => tell({ kind: 'changed', cause: String(error) }),
        );
        return;
      case 'renew':
        return this.#pools.renew(message.address);
      case 'drain':
        this.#end(message).catch((error: unknown) => {
          this.#log.error({ err: error }, 'a worker did not end in order');
          process.exit(1);
        });
        return;
      case 'hurry':
        return this.#hurry.abort();
      default:
        return assertNever(message);
    }
  }

  async #change({ settings, ownCertificate }: Change): Promise<void> {
    await this.#tls.change(settings, ownCertificate);
    this.#pools.useTls(this.#tls.service);
    this.#front.change(settings);
    this.#permits.max = settings.maxConnections;
    this.#log.setLevel(settings.logLevel);
  }

  async #end(times: { readonly waitMs: number; readonly timeoutMs: number }): Promise<void> {
    await this.#front.close({ ...times, signal: this.#hurry.signal });
    await this.#pools.dispose();
    tell({ kind: 'counters', counters: this.#counters }, goAway);
  }
}

let worker: Worker | null = null;
/** What was said while it was starting. */
const pending: Exclude<ToWorker, Start>[] = [];

function begin(start: Start): void {
  Worker.start(start).then(
    (started) => {
      worker = started;
      for (const message of pending.splice(0)) started.obey(message);
    },
    (error: unknown) => {
      const cause = error instanceof Error ? error.message : String(error);
      tell({ kind: 'failed', cause }, goAway);
    },
  );
}

takeSignals(() => undefined);
process.on('message', (message: ToWorker) => {
  if (message.kind === 'start') begin(message);
  else if (worker === null) pending.push(message);
  else worker.obey(message);
});
// What was said before somebody listens here is lost.
tell({ kind: 'hello' });
