/**
 * A worker is a process that serves clients beside others of the same proxy (workers.ts starts it).
 * It is a proxy of its own by id; ledger, recovery and collector are the first process's business.
 *
 * Invariant: it lives as long as the first process wants it to, and no longer than that lives. The
 * first process tells it what to do; signals that reach all processes of a group don't concern it.
 */
import '../signals.js';
import { randomBytes } from 'node:crypto';
import { assertNever } from '../../assert.js';
import { changeLog, openLog, withAudit } from '../../log.js';
import { type Counters, countAudit, newCounters } from '../../metrics.js';
import { newHoldId } from '../../names/names.js';
import { PoolSet } from '../../service/pool/pool-set.js';
import type { ServerAddress } from '../../service/server-address.js';
import type { DrainOptions } from '../../session/listener.js';
import type { CertificateAndKey } from '../../session/login/certificates.js';
import { openProxyTls } from '../../session/login/tls.js';
import type { ProxySettings } from '../settings.js';
import { takeSignals } from '../signals.js';
import { ActiveDrops, Front, type Opened } from './front.js';
import { keepYoungGenerationSmall, RemoteConnectionLimit, sessionsByOpenFiles } from './limits.js';

/** How often the first process hears how far the counters are. */
const COUNTERS_EVERY_MS = 1_000;

/** `then` is called when the message is on its way. */
function tell(message: FromWorker, then: () => void = () => undefined): void {
  process.send?.(message, then);
}

/** Without the first process there is no work: that ends this one. */
function goAway(): void {
  process.disconnect?.();
}

/** Serves clients; resolves to what obeys the orders that follow. */
async function serveClients(start: Start): Promise<(order: Order) => void> {
  keepYoungGenerationSmall();
  const { settings, serviceConnectionsMax: connectionsMax, worker } = start;
  const tls = await openProxyTls(settings, start.ownCertificate);
  const base = { worker };
  const counters = newCounters();
  const lines = openLog(settings, { pretty: process.stdout.isTTY, base });
  const log = withAudit(lines, countAudit(counters));
  const remoteLimit = new RemoteConnectionLimit({
    max: settings.maxConnections,
    ownMax: sessionsByOpenFiles(),
    ask: () => tell({ kind: 'take' }),
    release: () => tell({ kind: 'release' }),
  });
  const pools = new PoolSet({ ...settings, ...tls.service, connectionsMax, log });
  const proxyId = newHoldId(Date.now(), randomBytes);
  const activeDrops = new ActiveDrops();
  const onHeld = () => tell({ kind: 'held' });
  const shared = { proxyId, activeDrops, pools, counters, remoteLimit, tls, log, onHeld };
  const front = new Front(shared, settings);
  const hurry = new AbortController();
  log.debug({ proxyId }, 'a worker begins');

  const change = async ({ settings, ownCertificate }: FromFirst) => {
    await tls.change(settings, ownCertificate);
    pools.useTls(tls.service);
    await front.change(settings);
    changeLog(lines, settings);
  };
  const end = async (how: Omit<DrainOptions, 'signal'>) => {
    await front.close({ ...how, signal: hurry.signal });
    await pools.dispose();
    tell({ kind: 'counters', counters }, goAway);
  };
  const obey = async (order: Order): Promise<void> => {
    switch (order.kind) {
      case 'let-in':
        return remoteLimit.onAnswer(order.isAllowed);
      case 'change':
        return tell({ kind: 'changed', cause: await change(order).then(() => null, String) });
      case 'renew':
        return pools.renew(order.address);
      case 'drain':
        return end(order);
      case 'hurry':
        return hurry.abort();
      default:
        return assertNever(order);
    }
  };
  tell({ kind: 'ready', ...(await front.open()) });
  setInterval(() => tell({ kind: 'counters', counters }), COUNTERS_EVERY_MS).unref();
  return (order) => {
    obey(order).catch((error: unknown) => {
      // One message must not cost all sessions of this process.
      log.error({ err: error, order: order.kind }, 'what the first process said was not done');
      if (order.kind === 'drain') process.exit(1);
    });
  };
}

/** What obeys orders; those that come while it is starting wait for it. */
let serving: Promise<(order: Order) => void> | null = null;

function begin(start: Start): void {
  serving = serveClients(start);
  serving.catch((error: unknown) => {
    const cause = error instanceof Error ? error.message : String(error);
    tell({ kind: 'failed', cause }, goAway);
  });
}

takeSignals(() => undefined);
process.on('message', (message: ToWorker) => {
  if (message.kind === 'start') begin(message);
  else {
    serving?.then(
      (obey) => obey(message),
      () => undefined,
    );
  }
});
// What was said before somebody listens here is lost.
tell({ kind: 'hello' });

interface FromFirst {
  readonly settings: ProxySettings;
  /** What clients see if no files were given; the same from all workers. */
  readonly ownCertificate: CertificateAndKey | null;
}

/** The first thing that a worker hears. */
interface Start extends FromFirst {
  readonly kind: 'start';
  /** Service connections of this worker, for one server. */
  readonly serviceConnectionsMax: number;
  readonly worker: number;
}

type Order =
  | (FromFirst & { readonly kind: 'change' })
  /** The answer to the oldest `take`: whether the client is let in. */
  | { readonly kind: 'let-in'; readonly isAllowed: boolean }
  /** Another server has that address. */
  | { readonly kind: 'renew'; readonly address: ServerAddress }
  | (Omit<DrainOptions, 'signal'> & { readonly kind: 'drain' })
  /** Whatever is still open ends now. */
  | { readonly kind: 'hurry' };

/** What the first process tells a worker; plain records: they go through a pipe as JSON. */
export type ToWorker = Start | Order;

/** What a worker tells the first process. */
export type FromWorker =
  /** It hears what it is told from now on; a client comes or has gone; tables were held. */
  | { readonly kind: 'hello' | 'take' | 'release' | 'held' }
  | ({ readonly kind: 'ready' } & Opened)
  /** It can't serve; it ends. */
  | { readonly kind: 'failed'; readonly cause: string }
  /** `cause`: why it goes on by the old settings, or null. */
  | { readonly kind: 'changed'; readonly cause: string | null }
  | { readonly kind: 'counters'; readonly counters: Counters };
