/** A proxy of a service: obeys the supervisor (supervisor/messages.ts). */
import type { Socket } from 'node:net';
import { assert } from '../../assert.js';
import type { Log } from '../../log.js';
import { isWithoutHold } from '../../policy/rules.js';
import { PoolSet } from '../../service/pool/pool-set.js';
import type { SocketHandle } from '../../session/bound-sockets.js';
import { ConnectionLimit } from '../../session/listener.js';
import type { ProxySettings } from '../settings.js';
import type { DrainTimes } from '../supervisor/messages.js';
import { end, type Obey, openCommon, type Start, sockets, tell } from './channel.js';
import { Front } from './front.js';
import { serviceConnectionsOf, sessionsOfEach } from './limits.js';
import { readPolicy } from './plan.js';

export async function openProxy(start: Start): Promise<Obey> {
  const common = await openCommon(start);
  const { settings, log, tls, lines } = common;
  const connectionLimit = new ConnectionLimit(
    sessionsOfEach(settings.maxConnections, start.proxies),
  );
  const connectionsMax = serviceConnectionsOf(start.proxies, start.serverConnectionsMax);
  const pools = new PoolSet({ ...settings, ...tls.service, connectionsMax, log });
  const balance = newBalance(start.number, () => front.openSessions);
  const among = {
    divert: (client: Socket) => balance.divert(client),
    onChange: () => balance.changed(),
  };
  const options = { ...common, ...(start.proxies === 1 ? {} : among), pools, connectionLimit };
  const onHeld = () => tell({ kind: 'tell', message: { kind: 'held' } });
  const front: Front = new Front({ ...options, onHeld }, settings);
  const relay = await front.prepare();
  const closing = new Closing(front, async () => {
    await pools.dispose();
    end(common.counters);
  });
  tell({ kind: 'ready', relay, serverConnectionsMax: null });
  return async (order) => {
    switch (order.kind) {
      case 'serve':
        await front.open(sockets);
        return tell({ kind: 'serving' });
      case 'loads':
        return balance.hear(order.loads);
      case 'client':
        return front.accept(order.client);
      case 'policy':
        lines.auditFile.reopen(settings.auditFile);
        return follow(front, order.policy, { settings, log });
      case 'told':
        if (order.message.kind === 'renew') pools.renew(order.message.address);
        return;
      case 'retire':
        return closing.retire({ waitMs: 0, ...order }, order.withinMs);
      case 'drain':
        return closing.drain(order);
      case 'hurry':
        return closing.hurry();
      default:
        throw new Error(`a proxy has no order ${order.kind}`);
    }
  };
}

function newBalance(number: number, load: () => number): Balance {
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

/** The end of the sessions of this process, and then its own. */
class Closing {
  readonly #front: Front;
  readonly #onClosed: () => Promise<void>;
  readonly #hurry = new AbortController();
  readonly #retired = new AbortController();
  /** Null as long as it serves. */
  #times: DrainTimes | null = null;

  constructor(front: Front, onClosed: () => Promise<void>) {
    this.#front = front;
    this.#onClosed = onClosed;
  }

  /** Serves the sessions that it has, so long at most. */
  async retire(times: DrainTimes, withinMs: number): Promise<void> {
    this.#times = times;
    const timer = setTimeout(() => this.#retired.abort(), withinMs);
    await this.#front.retire(this.#retired.signal);
    clearTimeout(timer);
    await this.#close();
  }

  async drain(times: DrainTimes): Promise<void> {
    const isRetired = this.#times !== null;
    this.#times = isRetired ? { ...times, waitMs: 0 } : times;
    // It has begun to end before.
    if (isRetired) return this.#retired.abort();
    await this.#close();
  }

  hurry(): void {
    this.#hurry.abort();
    this.#retired.abort();
  }

  async #close(): Promise<void> {
    assert(this.#times !== null, 'the end has its times');
    await this.#front.close({ ...this.#times, signal: this.#hurry.signal });
    await this.#onClosed();
  }
}

/**
 * Follows the policy of a newer program. If this program can't read it, its own stays in force
 * without what destroys tables, because the new one might hold them.
 */
function follow(
  front: Front,
  policy: Readonly<Record<string, string>>,
  { settings, log }: { readonly settings: ProxySettings; readonly log: Log },
): void {
  try {
    front.change(readPolicy(policy));
  } catch (error) {
    const rules = settings.rules.filter((rule) => !isWithoutHold(rule));
    front.change({ ...settings, rules, allowDestroy: 'off' });
    const fields = { event: 'reload', err: error };
    log.error(fields, 'cannot read the policy of the new program; keeping the old one');
  }
}

// ── the share of a process ───────────────────────────────────────────────────────────────────────
// Keeps the sessions of several proxies even. All of them accept on the same sockets, and the
// kernel gives most clients to whoever happens to be awake; a proxy that has more sessions than
// another passes a new client on, before it has read a byte of it.

/** The sessions that a proxy may have more than another. */
const AHEAD_MAX = 1;

interface BalanceOptions {
  /** This proxy. */
  readonly number: number;
  /** Open sessions here. */
  load(): number;
  tell(load: number): void;
  /** Sends the client to that proxy. */
  pass(to: number, socket: Socket): void;
}

export class Balance {
  readonly #options: BalanceOptions;
  readonly #others = new Map<number, number>();
  #isTelling = false;

  constructor(options: BalanceOptions) {
    this.#options = options;
  }

  /** The loads of all proxies, as old as a message takes. */
  hear(loads: Readonly<Record<string, number>>): void {
    this.#others.clear();
    for (const [number, load] of Object.entries(loads)) {
      if (Number(number) !== this.#options.number) this.#others.set(Number(number), load);
    }
  }

  /** A session has begun or ended; others hear of it once in a turn of the event loop. */
  changed(): void {
    if (this.#isTelling) return;
    this.#isTelling = true;
    setImmediate(() => {
      this.#isTelling = false;
      this.#options.tell(this.#options.load());
    });
  }

  /** Whether a new client was passed on. */
  divert(socket: Socket): boolean {
    const [least] = [...this.#others].sort(([, one], [, other]) => one - other);
    if (least === undefined) return false;
    const [to, load] = least;
    if (this.#options.load() < load + AHEAD_MAX) return false;
    this.#others.set(to, load + 1);
    this.#options.pass(to, socket);
    return true;
  }
}
