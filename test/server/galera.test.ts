/**
 * A Galera cluster with a proxy at each node: what is dropped through any is held on all and comes
 * back through any; one node collects, and another when that is killed. HAProxy is in front by
 * deploy/galera.
 */
import { jest } from '@jest/globals';
import { collectNow } from '../collector/collecting.js';
import { Crowd } from '../support/crowd.js';
import { startDeployed } from '../support/deployed.js';
import { Dice, seededRandom } from '../support/dice.js';
import { type GaleraNode, startGalera } from '../support/galera.js';
import { startHaproxy } from '../support/haproxy.js';
import { inHooks } from '../support/on-servers.js';
import { listens, until } from '../support/poll.js';
import { adminOf, type ProxyProcess, spawnProxy, type Variables } from '../support/proxy.js';
import { isLong, rounds, seedFor } from '../support/sample.js';
import { connect, query, type Session, type Target } from '../support/servers.js';
import type { Service } from '../support/service.js';
import { intentsSettled } from '../support/settled.js';

jest.setTimeout(1_200_000);

const TABLES = rounds(200, 9);
/** HAProxy takes a proxy out of service after two. */
const CHECKS = 3;
const CLIENTS = 50;
/** Tables after which a node is frozen for a while: the others put it out, and it comes back. */
const FROZEN_AFTER = isLong ? 50 : Number.POSITIVE_INFINITY;
const ROWS = 3;
const AT_ONCE = { MIN_HOLD: '0s', GRACE: '0s', CHECK_INTERVAL: '1s' };
const SETTINGS = { ...AT_ONCE, FAST_DROP: 'always', COLLECT: 'auto' };

describe('a Galera cluster', () => {
  const dice = new Dice(seededRandom(seedFor('galera')));
  const { beforeAll, each, open } = inHooks();
  const cluster = open(startGalera);
  const proxies: ProxyProcess[] = [];
  beforeAll(() => query(first(cluster.nodes), 'CREATE DATABASE app'));

  async function startProxies(more: Variables): Promise<void> {
    proxies.length = 0;
    for (const node of cluster.nodes) {
      proxies.push(each.keep(await spawnProxy(node, { ...SETTINGS, ...more })));
    }
  }

  /** It sees what was done through the other nodes before. */
  async function session(target: Target): Promise<Session> {
    const connection = await connect(target);
    await connection.query('SET SESSION wsrep_sync_wait = 15');
    return connection;
  }

  test('holds on all nodes what is dropped through one, and brings it back through any', async () => {
    await startProxies({ HOLD: '1h' });
    const lives = new Map<string, boolean | null>();
    for (let nr = 0; nr < TABLES; nr++) {
      const name = `t${nr}`;
      if (nr % FROZEN_AFTER === FROZEN_AFTER - 1) await freeze(dice.of(cluster.nodes));
      lives.set(name, await dropAndRestore(name));
    }
    for (const node of cluster.nodes) {
      await using connection = await session(node);
      await intentsSettled(connection, ['app']);
      const live = new Set(await connection.tables('app'));
      const held = await connection.column(
        "SELECT table_name FROM _undrop.ledger WHERE state = 'HOLD' AND schema_name = 'app'",
      );
      const names = (await connection.tables('_undrop')).filter((name) => name.startsWith('_vt_'));
      const heldNames = new Set(held);
      expect(names).toHaveLength(heldNames.size);
      for (const [name, isLive] of lives) {
        if (isLive === null)
          expect([name, live.has(name) !== heldNames.has(name)]).toEqual([name, true]);
        else expect([name, live.has(name), heldNames.has(name)]).toEqual([name, isLive, !isLive]);
      }
    }
  });

  test.each(["wsrep_OSU_method = 'RSU'", 'wsrep_on = OFF'])(
    'holds nothing for a session with %s, whose statements stay on its node',
    async (setting) => {
      await startProxies({ HOLD: '1h' });
      await using connection = await session(first(proxies));
      await connection.run('CREATE TABLE app.alone (id INT PRIMARY KEY)');
      await connection.run("PREPARE p FROM 'DROP TABLE app.alone'", `SET ${setting}`);
      for (const text of ['DROP TABLE app.alone', 'DROP DATABASE app', 'EXECUTE p']) {
        await expect(connection.query(text)).rejects.toThrow(/on one node .*wsrep_OSU_method/);
      }
      await connection.run("SET wsrep_on = ON, wsrep_OSU_method = 'TOI'");
      for (const node of cluster.nodes) {
        await using other = await session(node);
        expect(await other.tables('app')).toContain('alone');
      }
      await query(first(cluster.nodes), 'DROP TABLE app.alone');
    },
  );

  /** Each through another node. Resolves to whether it lives; null: an error hides that. */
  async function dropAndRestore(name: string): Promise<boolean | null> {
    const statements = [
      `CREATE TABLE app.${name} (id INT PRIMARY KEY)`,
      `INSERT INTO app.${name} VALUES ${Array.from({ length: ROWS }, (_, id) => `(${id})`).join()}`,
      `DROP TABLE app.${name}`,
      ...(dice.chance(0.5) ? [`UNDROP TABLE app.${name}`] : []),
    ];
    for (const statement of statements) {
      await using connection = await session(dice.of(proxies));
      await connection.query(statement);
    }
    return statements.length === 4;
  }

  async function freeze(node: GaleraNode): Promise<void> {
    const others = cluster.nodes.filter((other) => other !== node);
    node.signal('SIGSTOP');
    try {
      for (const other of others)
        await until(async () => (await sizeSeenBy(other)) === 2, 'it is out');
    } finally {
      node.signal('SIGCONT');
    }
    // Itself last: it calls itself synced until it notices that it is out.
    for (const one of [...others, node])
      await until(async () => (await sizeSeenBy(one)) === 3, 'it is in', 120_000);
    for (const one of cluster.nodes)
      await until(async () => (await one.state()) === 'Synced', 'it is back', 120_000);
  }

  async function sizeSeenBy(node: GaleraNode): Promise<number> {
    const [row] = await query<{ Value: string }>(node, "SHOW STATUS LIKE 'wsrep_cluster_size'");
    return Number(row?.Value);
  }

  test('behind HAProxy, by deploy/galera: the next proxy takes the place of one that is killed', async () => {
    const services: Service[] = [];
    const own = { ADMIN_LISTEN: '127.0.0.1:0' };
    for (const node of cluster.nodes) {
      services.push(each.keep(await startDeployed('galera/undrop', node, own)));
    }
    const balanced = services.map(({ proxy }) => ({ ...proxy, admin: adminOf(proxy) }));
    await using haproxy = await startHaproxy(balanced, 'galera/haproxy');
    const through = { ...first(cluster.nodes), host: haproxy.host, port: haproxy.port };
    await using before = await connect(through);
    await before.run('CREATE TABLE app.balanced (id INT PRIMARY KEY)');
    await before.run('INSERT INTO app.balanced VALUES (1), (2)', 'DROP TABLE app.balanced');
    await using crowd = new Crowd(through);
    const killed = first(services).proxy;
    killed.kill('SIGKILL');
    await until(async () => !(await listens(killed.port)), 'nothing listens at its address');
    const since = crowd.come;
    await haproxy.checkedTimes(CHECKS, 'and one proxy is gone');
    await crowd.goesOn(CLIENTS);
    await using after = await session(through);
    await after.run('UNDROP TABLE app.balanced');
    expect(await after.count('app.balanced')).toBe(2);
    expect(crowd.refusedSince(since)).toEqual([]);
    await after.run('DROP TABLE app.balanced');
  });

  const removalsOf = ({ lines }: ProxyProcess) =>
    lines.filter(({ event }) => event === 'removal').map(({ id }) => String(id));
  const restsFor = ({ lines }: ProxyProcess) =>
    lines.some(({ msg }) => msg === 'another node of this cluster collects');

  test('is collected by one node, and by another when that is killed', async () => {
    await startProxies({ HOLD: '1s' });
    const drop = async (name: string) => {
      await using connection = await session(proxies[proxies.length - 1] ?? first(proxies));
      await connection.query(`CREATE TABLE app.${name} (id INT PRIMARY KEY)`);
      await connection.query(`DROP TABLE app.${name}`);
    };
    await drop('one');
    const all = () => proxies.flatMap(removalsOf);
    await until(() => all().length > 0, 'it is removed', 120_000);
    const leader = proxies.findIndex((proxy) => removalsOf(proxy).length > 0);
    await until(
      () => proxies.filter((_, at) => at !== leader).every(restsFor),
      'the others say who collects',
    );
    cluster.nodes[leader]?.signal('SIGKILL');
    await proxies.splice(leader, 1)[0]?.stop();
    const before = all().length;
    await until(async () => (await sizeSeenBy(firstLeft())) === 2, 'it is out');
    await drop('two');
    await until(() => all().length > before, 'another collects', 180_000);
    expect(new Set(all()).size).toBe(all().length);
    for (const proxy of proxies.splice(0)) await proxy.stop();
    // None waits for the one before.
    for (const _run of [1, 2]) expect(await collectNow(firstLeft())).toBeNull();

    function firstLeft(): GaleraNode {
      return first(cluster.nodes.filter((_, at) => at !== leader));
    }
  });
});

function first<T>(items: readonly T[]): T {
  const [item] = items;
  if (item === undefined) throw new Error('there is one');
  return item;
}
