/**
 * Who else may have the collector's lock, on real servers: GET_LOCK takes no right. Nobody who is
 * no proxy of ours keeps tables from being collected, and whoever tries is named.
 */
import {
  type Collecting,
  holdTable,
  startCollecting,
  until,
  untilGone,
} from '../lifecycle/collecting.js';
import { dropRecycleSchemas, freshLedger } from '../support/fresh-ledger.js';
import { onServersAtOnce } from '../support/on-servers.js';
import { runUndrop } from '../support/proxy.js';
import { connect, query, type Session } from '../support/servers.js';

const KNOWN = 'undrop:collector';
const COLLECTS = 'became the collector of this server';

onServersAtOnce('the collector’s lock on $name', (server, on) => {
  const { afterAll, afterEach, beforeEach, test } = on;
  const running: Collecting[] = [];
  const intruders: Session[] = [];
  afterAll(() => dropRecycleSchemas(server));
  on.account('lock_it', { password: 'l0ck' });
  beforeEach(() => freshLedger(server));
  afterEach(async () => {
    await Promise.all(intruders.splice(0).map((intruder) => intruder.end()));
    await stopAll();
  });

  const collect = () => {
    const one = startCollecting(server, { lifecycle: ['HOLD'] });
    running.push(one);
    return one;
  };
  const stopAll = () => Promise.all(running.splice(0).map((one) => one.stop()));
  const messages = (one: Collecting) => one.said.map(({ message }) => message);
  const leads = (one: Collecting) => until('it collects', () => messages(one).includes(COLLECTS));

  /** A session of an account that may log in, and nothing else; or of our own. */
  async function withLock(name: string, account: object = { user: 'lock_it', password: 'l0ck' }) {
    const intruder = await connect({ ...server, ...account });
    intruders.push(intruder);
    const [rows] = await intruder.query('SELECT GET_LOCK(?, 0) AS got', [name]);
    expect(rows).toEqual([{ got: 1 }]);
    return intruder;
  }

  const secretName = async () => {
    const [row] = await query<{ nonce: string }>(server, 'SELECT nonce FROM _undrop.leader');
    return `${KNOWN}:${row?.nonce}`;
  };

  test('under the name of the last leadership is not waited for either', async () => {
    const first = collect();
    await leads(first);
    const name = await secretName();
    await stopAll();
    const { threadId } = await withLock(name);
    const held = await holdTable(server);
    const next = collect();
    await untilGone(server, held);
    const warning = next.said.find(({ message }) =>
      message.startsWith('ignored the collector lock'),
    );
    expect(warning?.fields['who']).toMatch(new RegExp(`^${threadId} lock_it@\\S+ has ${name}$`));
    expect(await secretName()).not.toBe(name);
    await stopAll();
    await withLock(await secretName());
    expect((await runUndrop(server, ['doctor'])).stdout).toContain(' lock_it@');
    await until('nobody is named any more', async () => {
      await Promise.all(intruders.splice(0).map((intruder) => intruder.end()));
      return !(await runUndrop(server, ['doctor'])).stdout.includes('lock_it@');
    });
  });

  test('has one of several proxies that begin at once, whoever else tries, and then another', async () => {
    await withLock(KNOWN);
    const all = [collect(), collect(), collect(), collect()];
    await until('each has tried', () => all.every(({ said }) => said.length > 0));
    const ends = all.map((one) => messages(one).filter((said) => / collect(s|or of)/.test(said)));
    expect(ends.map(([said]) => said).sort()).toEqual([
      ...Array.from({ length: 3 }, () => 'another proxy collects on this server'),
      COLLECTS,
    ]);
    await all.find((one) => messages(one).includes(COLLECTS))?.stop();
    await until('another takes over', () => {
      return all.filter((one) => messages(one).includes(COLLECTS)).length === 2;
    });
  });

  test('is given up where its row is lost, and had again', async () => {
    const one = collect();
    await leads(one);
    await query(server, 'DROP TABLE _undrop.leader');
    const times = () => messages(one).filter((said) => said === COLLECTS).length;
    await until('it collects again', () => times() === 2);
  });
});
