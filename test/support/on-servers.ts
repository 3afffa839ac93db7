/**
 * The frame of a test file on real servers: a describe for each server, its hooks, and what is
 * opened for all of its tests, or for each of them, and closed after them: proxies, pools, schemas,
 * sessions.
 *
 * Invariant: all is closed in the reverse order, with `afterAll` and `afterEach` of a test file.
 */
import type { ConnectionOptions } from 'mysql2/promise';
import type { ServicePool } from '../../src/connections/sql.js';
import type { Log } from '../../src/log.js';
import { freshLedger } from './fresh-ledger.js';
import { type Hooks, inLanes, type Lane } from './lanes.js';
import { type Tests, testOnOne } from './on-one-server.js';
import { proxyInFront, type Variables } from './proxy.js';
import { RawClient, type RawClientOptions } from './raw-client.js';
import * as servers from './servers.js';
import { poolOn } from './service-pool.js';

type Proxy = Awaited<ReturnType<typeof proxyInFront>>;

/** What is opened: to be called in the describe, and to be used within hooks and tests. */
interface Opener {
  /** What it gives stands for what `open` resolves to, as soon as that is there. */
  open<T extends AsyncDisposable>(open: () => T | Promise<T>): T;
  open<T extends object>(open: () => T | Promise<T>, close: (it: T) => unknown): T;
  /** Within a hook or a test: closes this afterwards. */
  keep<T extends AsyncDisposable>(it: T): T;
}

interface Openers extends Opener {
  /** A proxy in this process, in front of the server or of `more.upstream`. */
  proxy(
    variables?: Variables | (() => Variables),
    more?: { readonly upstream?: servers.Target; readonly log?: Log },
  ): Proxy;
  pool(connectionsMax?: number): ServicePool;
  /** An empty schema; one for all tests has its name at once. */
  schema(prefix?: string): servers.FreshSchema;
  /** A session of root, by default with the server itself. */
  session(options?: ConnectionOptions & Place): servers.Session;
  /** A client of the wire, by default with the server itself. */
  client(options?: Omit<RawClientOptions, 'schema'> & Place): RawClient;
  /** An empty ledger, before and after. */
  freshLedger(): void;
  /** A user of any host, by default without a password, with these rights (`ALL ON *.*`). */
  account(user: string, options?: AccountOptions): void;
  /** Makes accounts of any host with that password, within hooks and tests. */
  accounts(password: string): (user: string, ...grants: readonly string[]) => Promise<void>;
}

type Place = { readonly to?: servers.Target; readonly schema?: servers.FreshSchema | string };

type AccountOptions = { readonly password?: string; readonly grants?: readonly string[] };

/** `each`: the same, opened before each test and closed after it. */
export type InHooks = Hooks & Opener & { readonly each: Opener };

export interface OnServer extends Hooks, Openers {
  /** For a test that a short run meets on one of the servers. */
  readonly test: Tests;
  /** For a test that every run meets on each server of its file. */
  readonly testOnEach: Tests;
  /** The same, opened before each test and closed after it. */
  readonly each: Openers;
}

type Define = (server: servers.TestServer, on: OnServer) => void;

/** `describe.each` of the servers of this file. */
export function onServers(title: string, define: Define): void {
  describe.each(servers.testServers())(title, (server) => define(server, onServer(server)));
}

/** All servers at the same time (lanes.ts), for what waits more than it works. */
export function onServersAtOnce(title: string, define: Define): void {
  inLanes(servers.testServers(), title, (server, lane) => define(server, onServer(server, lane)));
}

const jestLane: Lane = {
  beforeAll: (run) => beforeAll(async () => void (await run())),
  beforeEach: (run) => beforeEach(async () => void (await run())),
  afterEach: (run) => afterEach(async () => void (await run())),
  afterAll: (run) => afterAll(async () => void (await run())),
  test: test as unknown as Lane['test'],
};

/** The same within a describe of another kind, or with the words of a lane. */
export function onServer(server: servers.TestServer, lane: Lane = jestLane): OnServer {
  const { each, ...all } = inHooks(lane);
  return {
    ...all,
    ...openers(server, all),
    schema: (prefix) => {
      const name = servers.newSchemaName(prefix);
      const drop = () => servers.dropSchema(server, name);
      all.beforeAll(() => servers.makeSchema(server, name));
      all.afterAll(drop);
      return { name, drop, [Symbol.asyncDispose]: drop };
    },
    test: testOnOne(server, lane),
    testOnEach: lane.test,
    each: { ...each, ...openers(server, each) },
  };
}

/** Without a server of the set: for a describe that starts its own. */
export function inHooks(lane: Hooks = jestLane): InHooks {
  const all = inOrder(lane.beforeAll, lane.afterAll);
  const each = inOrder(lane.beforeEach, lane.afterEach);
  return {
    beforeAll: lane.beforeAll,
    afterAll: all.after,
    beforeEach: lane.beforeEach,
    afterEach: each.after,
    open: all.open,
    keep: all.keep,
    each,
  };
}

type Order = Opener & { after(run: () => unknown): void };

/** Hooks of one kind: those that close run in the reverse order, and each of them in any case. */
function inOrder(before: Hooks['beforeAll'], registerAfter: Hooks['afterAll']): Order {
  const closing: (() => unknown)[] = [];
  const kept: AsyncDisposable[] = [];
  const closeAll = async () => {
    const failures: unknown[] = [];
    const closers = [...closing, ...kept.splice(0).map((it) => () => it[Symbol.asyncDispose]())];
    for (const close of closers.toReversed()) {
      try {
        await close();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  };
  const after = (run: () => unknown) => {
    if (closing.length === 0) registerAfter(closeAll);
    closing.push(run);
  };
  const open = <T extends object>(opens: () => T | Promise<T>, close = dispose<T>): T => {
    let it: T | null = null;
    before(async () => {
      it = await opens();
    });
    after(async () => {
      const open = it;
      it = null;
      // A hook before it may have failed.
      if (open !== null) await close(open);
    });
    return standIn(() => it);
  };
  // With nothing else to close, too.
  after(() => undefined);
  return {
    after,
    open,
    keep: (it) => {
      kept.push(it);
      return it;
    },
  };
}

function dispose<T>(it: T): unknown {
  return (it as AsyncDisposable)[Symbol.asyncDispose]();
}

function openers(server: servers.TestServer, { open, keep }: Opener): Omit<Openers, keyof Opener> {
  return {
    proxy: (variables = {}, { upstream = server, log } = {}) => {
      const all = () => (typeof variables === 'function' ? variables() : variables);
      return open(() => proxyInFront({ ...upstream }, all(), log));
    },
    pool: (connectionsMax) => open(() => poolOn(server, connectionsMax)),
    schema: (prefix) => open(() => servers.freshSchema(server, prefix)),
    session: ({ to = server, schema, ...options } = {}) =>
      open(() => servers.connect(to, { ...options, ...(schema && { database: nameOf(schema) }) })),
    client: ({ to = server, schema, ...options } = {}) =>
      open(() => RawClient.open(to, { ...options, ...(schema && { schema: nameOf(schema) }) })),
    freshLedger: () =>
      open(
        async () => ({ _: await freshLedger(server) }),
        () => freshLedger(server),
      ),
    account: (user, options) =>
      open(
        () => makeAccount(server, user, options),
        () => servers.query(server, `DROP USER ${user}@'%'`),
      ),
    accounts:
      (password) =>
      async (user, ...grants) => {
        await makeAccount(server, user, { password, grants });
        keep({
          [Symbol.asyncDispose]: async () => {
            // A test may have dropped it.
            await servers.query(server, `DROP USER ${user}@'%'`).catch(() => undefined);
          },
        });
      },
  };
}

/** The server’s max_allowed_packet while the tests of a describe run. */
export function withPacketBytesMax(server: servers.Target, on: Hooks, bytes: number): void {
  let before: { readonly bytes: number } | undefined;
  on.beforeAll(async () => {
    [before] = await servers.query(server, 'SELECT @@GLOBAL.max_allowed_packet AS bytes LIMIT 1');
    await servers.query(server, `SET GLOBAL max_allowed_packet = ${bytes}`);
  });
  on.afterAll(() => servers.query(server, `SET GLOBAL max_allowed_packet = ${before?.bytes}`));
}

async function makeAccount(
  server: servers.Target,
  user: string,
  { password = '', grants = [] }: AccountOptions = {},
): Promise<object> {
  const account = `${user}@'%'`;
  await servers.query(
    server,
    `CREATE USER ${account} IDENTIFIED BY '${password}'`,
    ...grants.map((right) => `GRANT ${right} TO ${account}`),
  );
  return {};
}

function nameOf(schema: servers.FreshSchema | string): string {
  return typeof schema === 'string' ? schema : schema.name;
}

/** Everything that is done with it is done with what `current` gives by then. */
function standIn<T extends object>(current: () => T | null): T {
  const it = (): T => {
    const found = current();
    if (found === null) throw new Error('It is not open here: only in hooks and tests.');
    return found;
  };
  return new Proxy({} as T, {
    get: (_none, key) => {
      const found = it();
      const value: unknown = Reflect.get(found, key, found);
      return typeof value === 'function' ? value.bind(found) : value;
    },
    set: (_none, key, value) => Reflect.set(it(), key, value),
    has: (_none, key) => Reflect.has(it(), key),
    ownKeys: () => Reflect.ownKeys(it()),
    getOwnPropertyDescriptor: (_none, key) => {
      const own = Reflect.getOwnPropertyDescriptor(it(), key);
      return own && { ...own, configurable: true };
    },
    getPrototypeOf: () => Reflect.getPrototypeOf(it()),
  });
}
