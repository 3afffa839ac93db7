/**
 * A session has read a table of a family in a transaction that stays open, while another drops a
 * parent or a child without checks: whoever goes on beside a native drop goes on beside ours, the
 * drop is answered when the native one is, but for that of a parent whose child is read: it waits
 * for seconds, and is refused.
 */
import { onServersAtOnce } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { RawClient } from '../support/raw-client.js';
import type { Target } from '../support/servers.js';
import { ledgerRowOf } from './service-fixture.js';

const ROWS = 3;
/** UNDROP_HOLD_FAILED: the table has its own name again. */
const REFUSED = '1105';
/** Others do this meanwhile; they wait for a lock for a few seconds, as a server may be slow. */
const OTHERS = ['SELECT COUNT(*) FROM p', 'SELECT COUNT(*) FROM c', 'SELECT COUNT(*) FROM beside'];
const TIMES = 5;

onServersAtOnce('a parent dropped beside readers on $name', (server, on) => {
  const { test } = on;

  const proxy = on.proxy({ COLLECT: 'on', HOLD: '1h' });
  const schema = on.schema('readers');
  const root = on.session({ schema });

  async function make(): Promise<void> {
    const values = (count: number) => Array.from({ length: count }, (_, id) => `(${id}, 1)`);
    await root.run(
      'SET foreign_key_checks = 0',
      'DROP TABLE IF EXISTS c, p, beside',
      'SET foreign_key_checks = 1',
      'CREATE TABLE p (id INT PRIMARY KEY, n INT)',
      `CREATE TABLE c (id INT PRIMARY KEY, pid INT,
         CONSTRAINT fk1 FOREIGN KEY (pid) REFERENCES p (id))`,
      'CREATE TABLE beside (id INT PRIMARY KEY, n INT)',
      `INSERT INTO p VALUES ${values(ROWS)}`,
      `INSERT INTO c VALUES ${values(ROWS)}`,
    );
  }

  async function open(target: Target, before: readonly string[]): Promise<RawClient> {
    const client = await RawClient.open(target, { schema: schema.name });
    await client.run(before);
    return client;
  }

  const isWaiting = ({ threadId }: RawClient) =>
    root.hasProcess(`ID = ${threadId} AND COMMAND = 'Query' AND STATE LIKE '%lock%'`);

  /** The answer, whether it came before the reader's end, and what `OTHERS` got. */
  async function dropBeside(target: Target, drop: string, read: string) {
    await make();
    await using reader = await open(server, ['BEGIN', `SELECT * FROM ${read}`]);
    await using dropper = await open(target, ['SET foreign_key_checks = 0']);
    await using other = await open(server, ['SET lock_wait_timeout = 5']);
    let isAnswered = false;
    const answering = outcomeOf(dropper, drop).finally(() => {
      isAnswered = true;
    });
    try {
      const goesOn = async () => isAnswered || (await isWaiting(dropper));
      await until(goesOn, 'the drop is done, or waits');
      const others = new Set<string>();
      for (let times = 0; times < (isAnswered ? TIMES : 1); times++) {
        for (const text of OTHERS) others.add(`${text}: ${await outcomeOf(other, text)}`);
      }
      const isBeforeTheEnd = isAnswered;
      // Its own reading goes on as well.
      await reader.run([`SELECT * FROM ${read}`, 'COMMIT']);
      return { isBeforeTheEnd, answer: await answering, others: [...others].sort() };
    } finally {
      await answering;
    }
  }

  test.each([
    ['a parent, and its child is read', 'DROP TABLE p', 'c'],
    ['a parent that is read', 'DROP TABLE p', 'p'],
    ['a child, and its parent is read', 'DROP TABLE c', 'p'],
    ['a child that is read', 'DROP TABLE c', 'c'],
  ])('beside a drop of %s nobody waits who does not natively', async (_what, drop, read) => {
    const direct = await dropBeside(server, drop, read);
    const proxied = await dropBeside(proxy, drop, read);
    const { isBeforeTheEnd } = direct;
    // The key of a child that is read can't be led home, and none may lead to a held table.
    const isRefused = isBeforeTheEnd && drop === 'DROP TABLE p' && read === 'c';
    const answer = isRefused ? REFUSED : direct.answer;
    expect({ ...proxied, others: [] }).toEqual({ isBeforeTheEnd, answer, others: [] });
    // Those who wait natively may find it done.
    const isBack = (told: string) => isRefused && told.startsWith('SELECT COUNT(*) FROM p:');
    const free = direct.others.filter((told) => !told.endsWith(LOCK_WAIT) && !isBack(told));
    expect(proxied.others).toEqual(expect.arrayContaining(free));
    const waits = (told: string) => told.endsWith(LOCK_WAIT);
    expect(direct.others).toEqual(expect.arrayContaining(proxied.others.filter(waits)));
    if (!isRefused) return expectPaid(drop.slice(-1));
    expect(await root.count('p')).toBe(ROWS);
    expect(await root.show('c')).toContain('REFERENCES `p` (`id`)');
  });

  /** In the recycle schema with all rows, nothing bound to it, and the child led home. */
  async function expectPaid(table: string): Promise<void> {
    let name = '';
    const isPaid = async () => {
      const row = await ledgerRowOf(root, { schema: schema.name, table });
      name = `${row?.['hold_schema']}.${row?.['hold_name']}`;
      return row?.['state'] === 'HOLD' && row['relocated'] === 1;
    };
    await until(isPaid, 'the debt is paid');
    expect(await root.count(name)).toBe(ROWS);
    const definition = await root.show(table === 'p' ? 'c' : name);
    if (table === 'p') expect(definition).toContain('REFERENCES `p` (`id`)');
    else expect(definition).not.toContain('FOREIGN KEY');
  }
});

const LOCK_WAIT = '1205';

async function outcomeOf(client: RawClient, text: string): Promise<string> {
  const [result] = (await client.query(text)).results;
  return result?.kind === 'err' ? String(result.errno) : 'OK';
}
