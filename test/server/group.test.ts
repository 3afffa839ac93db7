/**
 * Groups of three members (MySQL's group replication). All take writes, with a proxy at each:
 * tables are made, dropped and brought back through any of them, while one after another is killed
 * and comes back; each table is, on every member, where the last answer said, with its rows, and
 * what is collected is removed once. And one with a primary: that has threads that apply what
 * others did, and is no replica.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { jest } from '@jest/globals';
import { Dice, seededRandom } from '../support/dice.js';
import { type GroupMember, startGroup } from '../support/group.js';
import { inHooks } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { type ProxyProcess, spawnProxy } from '../support/proxy.js';
import { rounds, seedFor } from '../support/sample.js';
import { connect, query, type Session } from '../support/servers.js';
import { intentsSettled } from '../support/settled.js';

jest.setTimeout(1_800_000);

const TABLES = rounds(200, 20);
/** Tables from one mishap to the next. */
const KILLED_EVERY = 20;
/** So long a statement has been under way at most when a member is killed. */
const KILLED_WITHIN_MS = 80;
const ROWS = 3;
const TAKEN_WITHIN_MS = 120_000;
const COLLECTED_WITHIN_MS = 600_000;
const SETTINGS = { MIN_HOLD: '0s', GRACE: '0s', CHECK_INTERVAL: '1s', COLLECT: 'auto' };

/** `unknown`: the answer to its CREATE, INSERT, DROP or UNDROP was lost. */
type Fate = 'live' | 'held' | 'unknown';

/** `isWell`: false from when it is killed until it is back. */
type Place = { readonly member: GroupMember; readonly proxy: ProxyProcess; isWell: boolean };

describe('a group of which all members take writes', () => {
  const dice = new Dice(seededRandom(seedFor('group')));
  const places: Place[] = [];
  const fates = new Map<string, { readonly fate: Fate; readonly rows: readonly number[] }>();
  /** What came of the answers that were lost, for whoever reads the output of a failure. */
  const lost: string[] = [];
  const { afterEach, beforeAll, open } = inHooks();
  const group = open(() => startGroup({ isMultiPrimary: true }));
  let lastMishap: Promise<void> = Promise.resolve();

  beforeAll(async () => {
    const [first] = group.members;
    if (first !== undefined) await query(first, 'CREATE DATABASE app');
  });
  afterEach(async () => {
    await Promise.allSettled([lastMishap]);
    for (const { proxy } of places.splice(0)) await proxy.stop();
  });

  async function startPlaces(hold: string): Promise<void> {
    for (const member of group.members) {
      const proxy = await spawnProxy(member, { ...SETTINGS, LIFECYCLE: 'hold,drop', HOLD: hold });
      places.push({ member, proxy, isWell: true });
    }
  }

  /** It sees what was done through other members before. */
  async function session(target: ProxyProcess | GroupMember): Promise<Session> {
    const connection = await connect(target);
    try {
      await connection.query("SET SESSION group_replication_consistency = 'BEFORE'");
      // It waits until all that was committed before is applied here; undrop reads after that.
      await connection.query('SELECT COUNT(*) FROM mysql.user');
      return connection;
    } catch (error) {
      connection.destroy();
      throw error;
    }
  }

  /** Where a new client is served: one that is away or read-only is tried, and then another. */
  async function anyPlace(): Promise<{ readonly place: Place; readonly connection: Session }> {
    const found: { place: Place; connection: Session }[] = [];
    const isFound = async () => {
      const place = dice.of(places);
      try {
        const connection = await session(place.proxy);
        found.push({ place, connection });
      } catch (error) {
        if (place.isWell) throw error;
      }
      return found.length > 0;
    };
    await until(isFound, 'a member takes a client', TAKEN_WITHIN_MS);
    const [one] = found;
    if (one === undefined) throw new Error('it was found');
    return one;
  }

  /** False: its answer was lost. `isKilled`: a member is killed meanwhile, mostly that one. */
  async function say(statement: string, isKilled: boolean): Promise<boolean> {
    for (;;) {
      const { place, connection } = await anyPlace();
      const answered = connection.query(statement).then(
        () => null,
        (error: unknown) => error,
      );
      if (isKilled) {
        await sleep(dice.below(KILLED_WITHIN_MS));
        startMishap(dice.chance(0.7) ? place : dice.of(places));
        isKilled = false;
      }
      const error = await answered;
      connection.destroy();
      if (error === null) return true;
      if (place.isWell) throw error;
      if (isReadOnly(error)) continue;
      lost.push(`${statement}: ${error}`);
      return false;
    }
  }

  function startMishap(place: Place): void {
    place.isWell = false;
    lastMishap = (async () => {
      await place.member.kill();
      await place.member.rejoin();
      place.isWell = true;
    })();
    // Whoever waits for it gets the error.
    lastMishap.catch(() => undefined);
  }

  async function makeAndDrop(nr: number): Promise<void> {
    const name = `t${nr}`;
    const isMishap = nr % KILLED_EVERY === KILLED_EVERY - 1;
    if (isMishap) await lastMishap;
    const rows = Array.from({ length: ROWS }, (_row, at) => nr * ROWS + at);
    const statements = [
      `CREATE TABLE app.${name} (id INT PRIMARY KEY)`,
      `INSERT INTO app.${name} VALUES ${rows.map((id) => `(${id})`).join()}`,
      `DROP TABLE app.${name}`,
      ...(dice.chance(0.5) ? [`UNDROP TABLE app.${name}`] : []),
    ];
    // More often in one of the last two than while it is made.
    const killedAt = isMishap ? Math.min(1 + dice.below(4), statements.length - 1) : -1;
    for (const [at, statement] of statements.entries()) {
      if (await say(statement, at === killedAt)) continue;
      // Its rows may have come or not.
      fates.set(name, { fate: 'unknown', rows: at < 2 ? [] : rows });
      return;
    }
    fates.set(name, { fate: statements.length === 4 ? 'live' : 'held', rows });
  }

  test('keeps what is dropped and brought back through any, while they are killed', async () => {
    await startPlaces('1h');
    for (let nr = 0; nr < TABLES; nr++) await makeAndDrop(nr);
    await lastMishap;
    for (const member of group.members) {
      await using connection = await session(member);
      await intentsSettled(connection, ['app'], COLLECTED_WITHIN_MS);
    }
    for (const member of group.members) await expectFates(member);
  });

  async function expectFates(member: GroupMember): Promise<void> {
    await using connection = await session(member);
    const live = new Set(await connection.tables('app'));
    const ledger = await connection.rows(
      "SELECT table_name, hold_schema, hold_name FROM _undrop.ledger WHERE state = 'HOLD'",
    );
    const names = (await connection.tables('_undrop')).filter((name) => name.startsWith('_vt_'));
    expect([member.name, names.length]).toEqual([member.name, ledger.length]);
    for (const [name, { fate, rows }] of fates) {
      const held = ledger.filter((row) => row['table_name'] === name);
      const copies = [
        ...(live.has(name) ? [`app.${name}`] : []),
        ...held.map((row) => `${row['hold_schema']}.${row['hold_name']}`),
      ];
      const found = [];
      for (const copy of copies) {
        const ids = (await connection.column(`SELECT id FROM ${copy} ORDER BY id`)).map(Number);
        found.push({ at: copy.startsWith('app.') ? 'live' : 'held', ids });
      }
      const what = { name, found, lost: lost.filter((line) => line.includes(`app.${name}`)) };
      if (fate !== 'unknown') expect(what).toMatchObject({ found: [{ at: fate, ids: rows }] });
      else if (rows.length > 0) expect(what).toMatchObject({ found: [{ ids: rows }] });
      else expect(found.length).toBeLessThanOrEqual(1);
    }
  }

  const removalsOf = ({ proxy }: Place) =>
    proxy.lines.filter(({ event }) => event === 'removal').map(({ id }) => String(id));

  test('removes each once, also if the member that collects is killed', async () => {
    await startPlaces('1s');
    const left = [...fates].filter(([, { fate }]) => fate === 'live').map(([name]) => name);
    expect(left.length).toBeGreaterThan(1);
    const all = () => places.flatMap(removalsOf);
    for (const [at, name] of left.entries()) {
      await say(`DROP TABLE app.${name}`, false);
      if (at !== Math.floor(left.length / 2)) continue;
      await until(() => all().length > 0, 'one collects', COLLECTED_WITHIN_MS);
      const leader = places.find((place) => removalsOf(place).length > 0);
      if (leader !== undefined) startMishap(leader);
    }
    await lastMishap;
    await until(async () => (await countDue()) === 0, 'all is collected', COLLECTED_WITHIN_MS);
    expect(all().filter((id, at) => all().indexOf(id) !== at)).toEqual([]);
    for (const [name] of [...fates].filter(([, { fate }]) => fate === 'live')) fates.delete(name);
    for (const member of group.members) await expectFates(member);

    async function countDue(): Promise<number> {
      const [member] = group.members;
      if (member === undefined) throw new Error('it has members');
      const due = await query(
        member,
        `SELECT 1 FROM _undrop.ledger WHERE state <> 'removed' AND state <> 'restored'
         AND hold_until < UTC_TIMESTAMP() + INTERVAL 1 MINUTE`,
      );
      return due.length;
    }
  });
});

function isReadOnly(error: unknown): boolean {
  return (error as { readonly errno?: number }).errno === 1290;
}

describe('a group with a primary', () => {
  const { keep, open } = inHooks();
  const group = open(() => startGroup({ isMultiPrimary: false }));

  /** The one that may be written to; null: none, for the moment. */
  async function primaryOf(live: readonly GroupMember[]): Promise<GroupMember | null> {
    for (const member of live) {
      const asked = query<{ readOnly: number }>(member, 'SELECT @@super_read_only AS readOnly');
      const [row] = await asked.catch(() => []);
      if (row !== undefined && Number(row.readOnly) === 0) return member;
    }
    return null;
  }

  /** Dropped through a proxy in front of that member, which collects it. */
  async function isCollected(member: GroupMember, table: string): Promise<void> {
    const proxy = keep(await spawnProxy(member, { ...SETTINGS, HOLD: '1s' }));
    await query(proxy, `CREATE TABLE app.${table} (id INT PRIMARY KEY)`, `DROP TABLE app.${table}`);
    const isRemoved = () => proxy.lines.some(({ event }) => event === 'removal');
    await until(isRemoved, 'it is removed', 120_000);
  }

  test('is collected on its primary, and on the next when that is gone', async () => {
    const first = await primaryOf(group.members);
    if (first === null) throw new Error('a new group has a primary');
    await query(first, 'CREATE DATABASE app');
    await isCollected(first, 'one');
    await first.kill();
    const live = group.members.filter((member) => member !== first);
    await until(async () => (await primaryOf(live)) !== null, 'another is the primary', 120_000);
    const next = await primaryOf(live);
    if (next === null) throw new Error('it has a primary');
    await isCollected(next, 'two');
    const held = await query(next, "SELECT 1 FROM _undrop.ledger WHERE state <> 'removed'");
    expect(held).toEqual([]);
  });
});
