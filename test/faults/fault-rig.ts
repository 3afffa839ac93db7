/**
 * A server that may be killed, a proxy in front of it, and a tap between them that strikes at one
 * event of a statement: the proxy or the server is killed, connections are cut, or the service
 * account is refused from then on. The proxy and what it has in mind go from case to case, as in
 * life.
 *
 * Most proxies run in this process, because a process costs a third of a CPU second. Such a one is
 * killed by its tap: nothing goes through any more, which is all that a server sees of SIGKILL. The
 * first proxy of a rig, and each tenth after it, is a process, and gets the signal.
 *
 * Imports from src what restores a table and what recovers: as commands they would be a process for
 * each of thousands.
 */

import { type ReconcileReport, reconcile } from '../../src/collector/reconcile.js';
import type { ServicePool } from '../../src/connections/sql.js';
import { ensureLedger } from '../../src/ledger/tables.js';
import { type Log, silentLog } from '../../src/log.js';
import { restore } from '../../src/recycle/restore.js';
import { type KillableServer, startKillable } from '../support/killable-server.js';
import { until } from '../support/poll.js';
import { type ProxyProcess, proxyInFront, spawnProxy, type Variables } from '../support/proxy.js';
import { connect, freshSchema, type Session, type Target } from '../support/servers.js';
import { SERVICE_ACCOUNT } from '../support/service-account.js';
import { poolOn } from '../support/service-pool.js';
import { type TapEvent, type TapVerdict, type WireTap, wireTap } from '../support/wire-tap.js';

export const FAULTS = [
  'server killed',
  'connection cut',
  'all connections cut',
  'account refused',
  'proxy killed',
] as const;

export type Fault = (typeof FAULTS)[number];

/** All that leave the server running. */
export const CUTS: readonly Fault[] = FAULTS.filter((fault) => fault !== 'server killed');

/** Where a fault strikes: at the event of which this first is true. */
export type IsAt = (event: TapEvent) => boolean;

type Ended = { readonly isLost: boolean; readonly isKilled: boolean };

/** A busy machine is slow, not wrong. */
const READY_MS = 60_000;
const SETTLED_MS = 60_000;
const PROCESS_EVERY = 10;

/** `variables`: of the proxy, beside what a rig wants. */
export async function openFaultRig(name: string, variables: Variables = {}): Promise<FaultRig> {
  const rig = new FaultRig(await startKillable(name), variables);
  try {
    await rig.open();
    return rig;
  } catch (error) {
    await rig.close();
    throw error;
  }
}

export class FaultRig {
  readonly server: KillableServer;
  readonly #pool: ServicePool;
  readonly #variables: Variables;
  /** Events of the warnings of recoveries here. */
  readonly #warned: unknown[] = [];
  #schema = '';
  #direct: Session | null = null;
  #proxy: KillableProxy | null = null;
  #starts = 0;
  #armed: { readonly fault: Fault | null; readonly isAt: IsAt } | null = null;
  #seen: TapEvent[] = [];
  #struck: { readonly fault: Fault; readonly event: TapEvent } | null = null;
  /** Pending while the account is being locked: no connection comes in between. */
  #gate: Promise<void> = Promise.resolve();
  /** They do what they do by the clock, and are no part of a drop. */
  readonly #collectors = new Set<number>();

  constructor(server: KillableServer, variables: Variables) {
    this.server = server;
    this.#variables = variables;
    this.#pool = poolOn({ ...server, ...SERVICE_ACCOUNT }, 2);
  }

  get schema(): string {
    return this.#schema;
  }

  /** Clients go here; another one where the proxy was killed. */
  get proxy(): KillableProxy {
    return there(this.#proxy);
  }

  /** As root, around the proxy, in the schema; another one where the server was killed. */
  get direct(): Session {
    return there(this.#direct);
  }

  get struck(): TapEvent | null {
    return this.#struck?.event ?? null;
  }

  async open(): Promise<void> {
    await ensureLedger(this.#pool);
    this.#schema = (await freshSchema(this.server, 'fault')).name;
    await this.#connect();
    await this.#startProxy();
  }

  /** From now on events count. */
  arm(fault: Fault | null, isAt: IsAt): void {
    this.#seen = [];
    this.#struck = null;
    this.#armed = { fault: fault ?? null, isAt };
  }

  /** Nothing strikes any more; null where nothing did. Events since `arm`, without the last. */
  disarm(): { readonly struck: TapEvent | null; readonly seen: readonly TapEvent[] } {
    this.#armed = null;
    return { struck: this.struck, seen: this.#seen };
  }

  /** After the client's answer: what was killed is started again, the account let in again. */
  async mend(): Promise<void> {
    switch (this.#struck?.fault) {
      case 'proxy killed':
        await this.proxy.ended();
        return this.#startProxy();
      case 'server killed':
        this.#direct?.destroy();
        await this.server.restart();
        return this.#connect();
      case 'account refused':
        await this.#gate;
        await this.#refuse(false);
        return;
      default:
    }
  }

  /** What did not come back with it, and why; `to`: under that name. */
  async restore(id: string, to?: string): Promise<readonly string[]> {
    const request = { target: id, ...(to === undefined ? {} : { to }) };
    const { foreignKeys, triggers } = await restore(this.#pool, request);
    return [...foreignKeys, ...triggers].flatMap(({ name, problem }) =>
      problem === null ? [] : [`${name}: ${problem}`],
    );
  }

  /** A recovery, as the proxy does it, which may have lived on. */
  recover(): Promise<ReconcileReport> {
    const warn = (fields: object) => this.#warned.push(Reflect.get(fields, 'event'));
    const log: Log = Object.assign(Object.create(silentLog), { warn });
    return reconcile(this.#pool, { proxyId: 'test', activeIds: new Set(), log });
  }

  /** The proxy, or a recovery here, has logged such an event. */
  hasLogged(event: string): boolean {
    return [...this.proxy.lines.map((line) => line['event']), ...this.#warned].includes(event);
  }

  /** What was sent has ended on the server, also where nobody waits for it any more. */
  async ended({ isLost, isKilled }: Ended): Promise<void> {
    const ours = isKilled ? "INFO LIKE '%/* undrop %'" : "INFO LIKE '%/* undrop hold%'";
    const ofClients = `DB = '${this.#schema}' AND USER <> '${SERVICE_ACCOUNT.user}'`;
    const running = `ID <> CONNECTION_ID() AND (${ours}${isLost ? ` OR ${ofClients}` : ''})`;
    const isOver = async () => !(await this.direct.hasProcess(running));
    await until(isOver, 'the sessions of the drop are gone', SETTLED_MS);
  }

  /** Drops of these schemas are over with all that follows their answers; or something struck. */
  async settled({ orStruck = false, schemas = [this.#schema] as readonly string[] } = {}) {
    let looks = 0;
    const isSettled = async () => {
      if (orStruck && this.struck !== null) return true;
      const quiet = this.#isQuiet(schemas);
      // What it wrote last has its answer, too, by the next look.
      looks = (await (orStruck ? quiet.catch(() => false) : quiet)) ? looks + 1 : 0;
      return looks > 1;
    };
    await until(isSettled, 'intents are settled and pending relocations are done', SETTLED_MS);
  }

  async #isQuiet(schemas: readonly string[]): Promise<boolean> {
    const ours = "ID <> CONNECTION_ID() AND INFO LIKE '%/* undrop %'";
    if (await this.direct.hasProcess(ours)) return false;
    const open = await this.direct.rows(
      `SELECT id FROM _undrop.ledger WHERE schema_name IN (?)
         AND (state IN ('intent', 'emptying', 'emptied', 'dropping')
              OR state = 'HOLD' AND NOT relocated)
         AND COALESCE(todo, '') NOT IN ('torn', 'blocked_by_partitions')`,
      [schemas],
    );
    return open.length === 0;
  }

  async close(): Promise<void> {
    this.#armed = null;
    this.#proxy?.kill();
    await this.#proxy?.ended();
    await this.#pool.dispose();
    this.#direct?.destroy();
    await this.server.stop();
  }

  async #connect(): Promise<void> {
    const { server } = this;
    const direct = await connect(server, { database: this.#schema });
    direct.on('error', () => undefined);
    await direct.query('SET lock_wait_timeout = 60');
    this.#direct = direct;
  }

  /** It collects, as a proxy does: what had to be left is looked after until it is done. */
  async #startProxy(): Promise<void> {
    this.#collectors.clear();
    const gate = () => this.#gate;
    const tap = await wireTap(this.server, (event) => this.#onEvent(event), { gate });
    const start = this.#starts++ % PROCESS_EVERY === 0 ? asProcess : inMemory;
    const proxy = await start(tap, { ...this.#variables, COLLECT: 'on' });
    this.#proxy = proxy;
    const isReady = () => proxy.lines.some((line) => line['event'] === 'ledger');
    await until(isReady, 'opened the ledger; drops are held', READY_MS);
  }

  #onEvent(event: TapEvent): TapVerdict {
    if (event.command.includes('/* undrop lock */')) this.#collectors.add(event.connection);
    if (this.#armed === null || this.#collectors.has(event.connection)) return true;
    const { fault, isAt } = this.#armed;
    if (!isAt(event) || fault === null) {
      this.#seen.push(event);
      return true;
    }
    this.#armed = null;
    this.#struck = { fault, event };
    return this.#strike(fault, event);
  }

  #strike(fault: Fault, { user }: TapEvent): TapVerdict {
    switch (fault) {
      case 'proxy killed':
        this.proxy.kill();
        return 'cut';
      case 'server killed':
        this.server.kill();
        return 'cut';
      case 'connection cut':
        return 'cut';
      case 'all connections cut':
        this.proxy.tap.sever();
        return 'cut';
      case 'account refused': {
        // Who is in the middle of a login may be the service.
        const isService = (name: string) => name === SERVICE_ACCOUNT.user || name === '';
        this.#gate = this.#refuse(true);
        this.proxy.tap.sever(isService);
        return isService(user) ? 'cut' : true;
      }
    }
  }

  /** MySQL 5.6 can't lock an account; there it has another password. */
  async #refuse(isRefused: boolean): Promise<void> {
    const { user, password } = SERVICE_ACCOUNT;
    const at = `'${user}'@'%'`;
    const text =
      this.server.name === 'mysql-5.6'
        ? `SET PASSWORD FOR ${at} = PASSWORD('${isRefused ? 'another one' : password}')`
        : `ALTER USER ${at} ACCOUNT ${isRefused ? 'LOCK' : 'UNLOCK'}`;
    await this.direct.query(text);
  }
}

type KillableProxy = ReturnType<typeof killable>;

async function asProcess(tap: WireTap, variables: Variables) {
  const proxy = await spawnProxy(tap, variables);
  return killable(proxy, tap, {
    kill: () => proxy.kill('SIGKILL'),
    ended: async () => void (await proxy.ended),
  });
}

async function inMemory(tap: WireTap, variables: Variables) {
  const lines: Record<string, unknown>[] = [];
  const note = (fields: object) => void lines.push(fields as Record<string, unknown>);
  const log: Log = { ...silentLog, info: note, warn: note, error: note };
  const proxy = await proxyInFront(tap, variables, log);
  const now = AbortSignal.abort();
  return killable({ ...proxy, lines }, tap, {
    kill: () => undefined,
    ended: () => proxy.running.stop({ timeoutMs: 0, signal: now }),
  });
}

function killable(
  { host, port, user, password, lines }: Target & Pick<ProxyProcess, 'lines'>,
  tap: WireTap,
  { kill, ended }: { kill(): void; ended(): Promise<void> },
) {
  let closed = Promise.resolve();
  let tell: () => void = () => undefined;
  let isKilled = false;
  const killed = new Promise<void>((resolve) => {
    tell = resolve;
  });
  return {
    ...{ host, port, user, password, lines, tap, killed },
    /** At once, with all its connections. */
    kill: () => {
      if (isKilled) return;
      isKilled = true;
      kill();
      closed = tap.close();
      tell();
    },
    /** After `kill`: nothing of it is left. */
    ended: async () => {
      await closed;
      await ended();
    },
  };
}

function there<Value>(value: Value | null): Value {
  if (value === null) throw new Error('the rig is not open');
  return value;
}
