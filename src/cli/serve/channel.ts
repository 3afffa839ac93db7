/** The channel from a process of a service to its supervisor, and all that both roles send. */
import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { openLog, withAudit } from '../../log.js';
import { type Counters, countAudit, newCounters } from '../../metrics.js';
import { newHoldId } from '../../names/names.js';
import type { BoundSocket, SocketHandle } from '../../session/bound-sockets.js';
import { openProxyTls } from '../../session/login/tls.js';
import type { ProxySettings } from '../settings.js';
import type { FromProcess, ToProcess } from '../supervisor/messages.js';
import { ActiveDrops } from './front.js';

export type Start = Extract<ToProcess, { readonly kind: 'start' }>;

/** A client that another proxy has accepted. */
interface Client {
  readonly kind: 'client';
  readonly client: Socket;
}

/** The orders that follow a start. */
type Order = Client | Exclude<ToProcess, Start | { readonly kind: 'plan' | 'socket' | 'client' }>;

/** Resolves when the order was carried out; the next ones don't wait for it. */
export type Obey = (order: Order) => Promise<void> | void;

const COUNTERS_EVERY_MS = 1_000;
const GAUGES: readonly (keyof Counters)[] = ['sessionsOpen', 'loopDelayMsMax'];

/** The sockets that the supervisor has sent. */
export const sockets: BoundSocket[] = [];

/** `then` is called when the message is on its way. */
export function tell(
  message: FromProcess,
  then: () => void = () => undefined,
  handle?: SocketHandle,
): void {
  process.send?.(message, handle as unknown as Socket, {}, then);
}

/** Opens what a process of either role has, and reports its counters from now on. */
export async function openCommon(start: Start) {
  // This very program has read them.
  const settings = start.settings as ProxySettings;
  const base = start.number === 0 ? {} : { worker: start.number, pid: process.pid };
  const lines = await openLog(settings, { pretty: process.stdout.isTTY, base });
  const counters = newCounters();
  const tls = await openProxyTls(settings, start.kept);
  setInterval(() => tellCounters(counters), COUNTERS_EVERY_MS).unref();
  return {
    ...{ settings, lines, counters, tls },
    log: withAudit(lines, countAudit(counters)),
    proxyId: newHoldId(Date.now(), randomBytes),
    activeDrops: new ActiveDrops(),
  };
}

/** Reports the counters for the last time; the process ends when they are on their way. */
export function end(counters: Counters): void {
  tellCounters(counters, () => process.exit(0));
}

function tellCounters(counters: Counters, then?: () => void): void {
  tell({ kind: 'counters', counters: { ...counters }, gauges: GAUGES }, then);
}
