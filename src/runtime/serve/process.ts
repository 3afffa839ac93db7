/**
 * A process of a service, as the supervisor forks it: it learns its role, is told when to serve and
 * when to end, and ends by itself if the supervisor does. It loads what its role needs, all of it
 * before it serves, because an update may replace the files after that.
 *
 * Invariant: signals that reach all processes of a group don't concern it.
 */
import { randomBytes } from 'node:crypto';
import { Socket } from 'node:net';
import { PoolSet } from '../../connections/pool/pool-set.js';
import { UndropError } from '../../errors.js';
import type { PolicySettings, ProxySettings } from '../../faces/cli/settings.js';
import { changesOf, readProxySettings, versionOfPackage } from '../../faces/cli/settings.js';
import { openLog, withAudit } from '../../log.js';
import { type Counters, countAudit, newCounters } from '../../metrics.js';
import { newHoldId } from '../../names/names.js';
import { isWithoutHold } from '../../policy/rules.js';
import { KEEP_ALIVE } from '../../relay/byte-stream.js';
import type { BoundSocket, SocketHandle } from '../../session/bound-sockets.js';
import { openProxyTls } from '../../session/login/tls.js';
import { reportFailure } from '../report-failure.js';
import { takeSignals } from '../signals.js';
import type { DrainTimes, FromProcess, ToProcess } from '../supervisor/messages.js';
import { PROTOCOL, PROTOCOL_VARIABLE, ROLE_VARIABLE } from '../supervisor/messages.js';
import type { Balance, Front } from './front.js';
import { planOf, readPolicy, serviceConnectionsOf, sessionsOfEach } from './plan.js';

type Start = Extract<ToProcess, { readonly kind: 'start' }>;
/** The orders that follow a start. */
type Order = Exclude<ToProcess, { readonly kind: 'start' | 'plan' | 'socket' }>;
/** Resolves when the order was carried out; the next ones don't wait for it. */
type OnOrder = (order: Order, handle: SocketHandle) => Promise<void> | void;

/** The supervisor takes a process for blocked that is silent for longer. */
const SILENT_SECONDS_MAX = 5;
const GAUGES: readonly (keyof Counters)[] = ['sessionsOpen', 'loopDelayMsMax'];

/** The sockets that the supervisor has sent. */
const sockets: BoundSocket[] = [];
let onOrder: OnOrder = ({ kind }) => {
  // News are for those that have begun.
  if (kind !== 'told') throw new Error('an order came before the start');
};

takeSignals(() => undefined);
process.on('disconnect', () => process.exit(0));
const eachSecond: (() => void)[] = [];
setInterval(() => {
  // Node emits no `disconnect` if the supervisor dies before it has confirmed a socket.
  if (!process.connected) process.exit(0);
  for (const act of eachSecond) act();
}, 1_000).unref();
// In order: a message that comes during a start waits for it.
let heard: Promise<void> = Promise.resolve();
process.on('message', (message: ToProcess, handle: unknown) => {
  heard = heard.then(() => hear(message, handle as SocketHandle)).catch(fail);
});
const role = process.env[ROLE_VARIABLE];
const protocol = Number(process.env[PROTOCOL_VARIABLE]);
// Processes that this one starts are none of the service.
delete process.env[ROLE_VARIABLE];
delete process.env[PROTOCOL_VARIABLE];
if (protocol === PROTOCOL) tell({ kind: 'hello', version: versionOfPackage() });
else {
  const what = `the supervisor speaks protocol ${protocol}, this program ${PROTOCOL}`;
  fail(new UndropError('UNDROP_WORKER', { cause: `${what}: restart undrop` }));
}

function fail(error: unknown): void {
  const texts: string[] = [];
  const exitCode = reportFailure(error, { write: (more) => texts.push(more) });
  const message = error instanceof Error ? error.message : String(error);
  const code = error instanceof UndropError ? { code: error.code } : {};
  tell({ kind: 'failed', text: texts.join(''), exitCode, message, ...code }, () =>
    process.exit(exitCode),
  );
}

async function hear(message: ToProcess, handle: SocketHandle): Promise<void> {
  switch (message.kind) {
    case 'plan': {
      const { env, stderr } = process;
      const { flags, kept } = message;
      const loaded = readProxySettings({ env, stderr }, flags);
      const { settings } = loaded;
      // The audit file is opened at the start.
      const log = await openLog({ ...settings, auditFile: '' }, { pretty: process.stdout.isTTY });
      return tell({ kind: 'planned', plan: await planOf(loaded, { kept, log }) });
    }
    case 'socket':
      sockets.push({ ...message, handle });
      return;
    case 'start':
      onOrder = await (role === 'control' ? openControl(message) : openProxy(message));
      return;
    default:
      // Not awaited, because the next order may be to hurry.
      Promise.resolve(onOrder(message, handle)).catch(fail);
  }
}

/** `then` is called when the message is on its way. */
function tell(
  message: FromProcess,
  then: () => void = () => undefined,
  handle?: SocketHandle,
): void {
  process.send?.(message, handle as unknown as Socket, {}, then);
}

/** Opens what a process of either role has, and reports its counters from now on. */
async function openCommon(start: Start) {
  // This very program has read them.
  const settings = start.settings as ProxySettings;
  const base = start.number === 0 ? {} : { worker: start.number, pid: process.pid };
  const lines = await openLog(settings, { pretty: process.stdout.isTTY, base });
  const counters = newCounters();
  const tls = await openProxyTls(settings, start.kept);
  eachSecond.push(newsTeller(counters));
  return {
    ...{ settings, lines, counters, tls },
    log: withAudit(lines, countAudit(counters)),
    proxyId: newHoldId(Date.now(), randomBytes),
  };
}

/** Reports the counters for the last time; the process ends when they are on their way. */
function end(counters: Counters): void {
  tellCounters(counters, () => process.exit(0));
}

/** Tells the counters if they have changed, or nothing was told for long. */
function newsTeller(counters: Counters): () => void {
  let [told, silentSeconds] = ['', 0];
  return () => {
    const news = JSON.stringify(counters);
    if (news === told && ++silentSeconds < SILENT_SECONDS_MAX) return;
    [told, silentSeconds] = [news, 0];
    tellCounters(counters);
  };
}

function tellCounters(counters: Counters, then?: () => void): void {
  tell({ kind: 'counters', counters: { ...counters }, gauges: GAUGES }, then);
}

// ── the control process ──────────────────────────────────────────────────────────────────────────

async function openControl(start: Start): Promise<OnOrder> {
  const common = await openCommon(start);
  const { settings, log } = common;
  const { ControlPlane } = await import('./control-plane.js');
  let ofAll: Counters = newCounters();
  const control = await ControlPlane.open(
    {
      ...common,
      activeDrops: () => new Set(),
      serviceId: String(start.kept['serviceId']),
      processes: start.proxies + 1,
      listen: start.listen,
      counters: () => ofAll,
      own: common.counters,
      onTakenOver: (address) => tell({ kind: 'tell', message: { kind: 'renew', address } }),
      onHeldNames: (names) => tell({ kind: 'tell', message: { kind: 'held-names', names } }),
    },
    settings,
  );
  tell({ kind: 'ready', serverConnectionsMax: control.serverConnectionsMax });
  return async (order) => {
    switch (order.kind) {
      case 'serve':
        return control.serve(sockets, order.about);
      case 'collect': {
        if (order.before !== null) {
          const changed = changesOf(order.before as ProxySettings, settings);
          log.info({ event: 'reload', changed }, 'reloaded the program and its settings');
        }
        return control.collect();
      }
      case 'away':
        return control.keepAway();
      case 'counters':
        ofAll = { ...newCounters(), ...order.counters } as Counters;
        return;
      case 'told':
        if (order.message.kind === 'held') control.onHeld();
        return;
      case 'stop':
        await control.stop(order);
        return end(common.counters);
      default:
        throw new Error(`a control process has no order ${order.kind}`);
    }
  };
}

// ── a proxy ──────────────────────────────────────────────────────────────────────────────────────

/** Tells the first drop of a second at once, and the others of it together. */
function heldTeller(): () => void {
  let inSecond = 0;
  const tellHeld = () => tell({ kind: 'tell', message: { kind: 'held' } });
  eachSecond.push(() => {
    if (inSecond > 1) tellHeld();
    inSecond = 0;
  });
  return () => (inSecond++ === 0 ? tellHeld() : undefined);
}

async function openProxy(start: Start): Promise<OnOrder> {
  const common = await openCommon(start);
  const { settings, log, tls, lines } = common;
  const { Front, newActiveDrops } = await import('./front.js');
  const limits = {
    connectionsMax: serviceConnectionsOf(start.proxies, start.serverConnectionsMax),
  };
  const pools = new PoolSet({ ...settings, ...tls.service, ...limits, log });
  const connectionsMax = sessionsOfEach(settings.maxConnections, start.proxies);
  const balance = await newBalance(start.number, () => front.listener.openSessions);
  const among = {
    divert: (client: Socket) => balance.divert(client),
    onChange: () => balance.changed(),
  };
  const own = { activeDrops: newActiveDrops(), pools, connectionsMax };
  const options = { ...common, ...(start.proxies === 1 ? {} : among), ...own };
  const front: Front = new Front({ ...options, onHeld: heldTeller() }, settings);
  eachSecond.unshift(() => front.keepDelay());
  const relay = await front.prepare();
  const closing = new Closing(front, async () => {
    await pools.dispose();
    end(common.counters);
  });
  tell({ kind: 'ready', relay, serverConnectionsMax: null });
  return async (order, handle) => {
    switch (order.kind) {
      case 'serve':
        await front.listener.open(sockets);
        return tell({ kind: 'serving' });
      case 'loads':
        return balance.hear(order.loads);
      case 'client':
        return front.listener.accept(socketOf(handle));
      case 'policy':
        lines.auditFile.reopen(settings.auditFile);
        return front.change(policyOf(order.policy) ?? withoutDestroying(settings));
      case 'told':
        if (order.message.kind === 'renew') pools.renew(order.message.address);
        if (order.message.kind === 'held-names') front.heldNames.replace(order.message.names);
        return;
      case 'retire':
        return closing.retire(order);
      case 'drain':
        return closing.drain(order);
      case 'hurry':
        return closing.hurry();
      default:
        throw new Error(`a proxy has no order ${order.kind}`);
    }
  };

  /** Null: this program can't read the policy of a newer one. */
  function policyOf(policy: Readonly<Record<string, string>>): PolicySettings | null {
    try {
      return readPolicy(policy);
    } catch (error) {
      const fields = { event: 'reload', err: error };
      log.error(fields, 'cannot read the policy of the new program; keeping the old one');
      return null;
    }
  }
}

/** A newer policy might hold what these destroy. */
function withoutDestroying(settings: ProxySettings): PolicySettings {
  const rules = settings.rules.filter((rule) => !isWithoutHold(rule));
  return { ...settings, rules, allowDestroy: 'off' };
}

async function newBalance(number: number, load: () => number): Promise<Balance> {
  const { Balance } = await import('./front.js');
  return new Balance({
    number,
    load,
    tell: (sessions) => tell({ kind: 'load', load: sessions }),
    pass: (to, socket) => {
      const { _handle: handle } = socket as unknown as { readonly _handle: SocketHandle };
      tell({ kind: 'pass', to }, () => socket.destroy(), handle);
    },
  });
}

/** A connection that another process has accepted, paused as it was there. */
function socketOf(handle: unknown): Socket {
  const { noDelay, keepAlive, keepAliveInitialDelay } = KEEP_ALIVE;
  const options = { handle, allowHalfOpen: true, pauseOnCreate: true };
  const socket = new Socket({ ...options, readable: true, writable: true });
  return socket.setNoDelay(noDelay).setKeepAlive(keepAlive, keepAliveInitialDelay);
}

/** The end of the sessions of this process, and then its own. */
class Closing {
  readonly #front: Front;
  readonly #onClosed: () => Promise<void>;
  readonly #hurry = new AbortController();
  /** Sessions may stay no longer. */
  readonly #retired = new AbortController();
  /** By the last order to end; null as long as it serves. */
  #times: DrainTimes | null = null;

  constructor(front: Front, onClosed: () => Promise<void>) {
    this.#front = front;
    this.#onClosed = onClosed;
  }

  /** Serves the sessions that it has, so long at most. */
  async retire({ withinMs, timeoutMs }: { withinMs: number; timeoutMs: number }): Promise<void> {
    this.#times = { waitMs: 0, timeoutMs };
    const timer = setTimeout(() => this.#retired.abort(), withinMs);
    this.#front.listener.stopAccepting();
    await this.#front.listener.whenEmpty(this.#retired.signal);
    clearTimeout(timer);
    await this.#close(this.#times);
  }

  async drain({ waitMs, timeoutMs }: DrainTimes): Promise<void> {
    if (this.#times === null) return this.#close({ waitMs, timeoutMs });
    // It has begun to end before.
    this.#times = { waitMs: 0, timeoutMs };
    this.#retired.abort();
  }

  hurry(): void {
    this.#hurry.abort();
    this.#retired.abort();
  }

  async #close(times: DrainTimes): Promise<void> {
    this.#times = times;
    await this.#front.close({ ...times, signal: this.#hurry.signal });
    await this.#onClosed();
  }
}
