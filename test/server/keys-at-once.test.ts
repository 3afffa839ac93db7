/**
 * Foreign keys and triggers that are taken off held tables by two at once (the recoveries of two
 * proxies), one of which may die in the middle: what the one has written down or led back the other
 * leaves, and everything comes back. Keys that others make meanwhile: late-keys.
 *
 * Imports what takes them off from src: nothing else can stop one of the two between two statements
 * while the other goes on.
 */
import { detachAndRelocate } from '../../src/held/relocate/relocate.js';
import { dropTriggers } from '../../src/held/triggers/detach-triggers.js';
import type { HeldTrigger } from '../../src/ledger/detached/detached.js';
import type { ServicePool } from '../../src/service/pool/pools.js';
import { renderText } from '../../src/service/sql.js';
import { onServers } from '../support/on-servers.js';
import { connect } from '../support/servers.js';
import { restored } from '../support/undrop-cli.js';
import { endSession, intend, newId, recoverOnce, renameAway } from './service-fixture.js';

type Between = (text: string) => Promise<void>;

/** A pool with something to happen before and behind each of its texts. */
function interposed(pool: ServicePool, { before = none, behind = none }): ServicePool {
  const around = (run: ServicePool['run']): ServicePool['run'] => {
    return async (query, options) => {
      const queries = Array.isArray(query) ? query : [query];
      const text = renderText(queries, { logged: true }).text.replaceAll(/\s+/g, ' ');
      await before(text);
      const answers = await run(query, options);
      await behind(text);
      return answers;
    };
  };
  return {
    run: around((query, options) => pool.run(query, options)),
    task: (work) =>
      pool.task((connection) =>
        work({
          threadId: connection.threadId,
          discard: () => connection.discard(),
          run: around((query, options) => connection.run(query, options)),
        }),
      ),
    killQuery: (threadId) => pool.killQuery(threadId),
    isWaiting: (threadId) => pool.isWaiting(threadId),
    dispose: () => pool.dispose(),
  };
}

const none: Between = () => Promise.resolve();

/** Words that a test waits for, and that no text had yet. */
const unmet = new Set<string>();

/** Once, at the first text with these words, which has to come. */
function once(words: string, work: () => Promise<unknown>): Between {
  unmet.add(words);
  return async (text) => {
    if (!text.includes(words) || !unmet.delete(words)) return;
    await work();
  };
}

function dies(): Promise<never> {
  return Promise.reject(new Error('The process has died here.'));
}

onServers('at once on $name', (server, on) => {
  const { afterEach, beforeEach, test } = on;
  let family: readonly string[];

  const pool = on.pool(6);
  const schema = on.each.schema('once');
  const direct = on.each.session({ schema });
  beforeEach(async () => {
    await direct.run(
      'CREATE TABLE p (id INT PRIMARY KEY)',
      'CREATE TABLE c (id INT PRIMARY KEY, a INT, b INT, KEY a (a), KEY b (b))',
      'ALTER TABLE c ADD CONSTRAINT fa FOREIGN KEY (a) REFERENCES p (id) ON DELETE CASCADE',
      'CREATE TRIGGER tr AFTER INSERT ON c FOR EACH ROW SET @n = 1',
      'INSERT INTO p VALUES (1), (2)',
      'INSERT INTO c VALUES (1, 1, 1), (2, 2, 2)',
    );
    family = await show();
    unmet.clear();
  });
  afterEach(() => expect([...unmet]).toEqual([]));

  const show = async (): Promise<readonly string[]> => [
    await direct.show('c'),
    ...(await direct.column('SHOW TRIGGERS')),
  ];

  /** The table under its hold name, an intent in the ledger, and nobody in the middle of it. */
  async function interrupted(table: string) {
    const session = await connect(server, { database: schema.name });
    const drop = await intend(pool, session, { schema: schema.name, tables: [table] });
    await session.query('SET foreign_key_checks = 0');
    await renameAway(session, drop);
    await endSession(server, session);
    const [{ id } = { id: '' }] = drop.facts.tables;
    const [holdName = ''] = drop.holdNames;
    const held = { id, fromSchema: schema.name, holdName, table };
    return (through: ServicePool) => detachAndRelocate(through, [held], { logged: true });
  }

  const recover = () => recoverOnce(pool);
  const back = (table: string) => restored(server, `${schema.name}.${table}`);

  test('a key that the one has led back is not dropped again by the other', async () => {
    const finish = await interrupted('p');
    let isDropping = false;
    const before: Between = async (text) => {
      if (isDropping && text.includes('ADD CONSTRAINT')) await dies();
      if (!text.includes('DROP FOREIGN KEY')) return;
      isDropping = true;
      await finish(pool);
    };
    await finish(interposed(pool, { before }));
    expect(isDropping).toBe(true);
    await recover();
    expect(await show()).toEqual(family);
    await back('p');
    expect(await show()).toEqual(family);
  });

  test('what the one has taken off and written down the other does not write over', async () => {
    const finish = await interrupted('c');
    const dying = interposed(pool, { before: once('DROP TRIGGER', dies) });
    const before = once('SHOW CREATE TABLE', () => finish(dying));
    await finish(interposed(pool, { before }));
    await recover();
    await back('c');
    expect(await show()).toEqual(family);
  });

  test('a key is led back by whoever looks while it is off, should the other die', async () => {
    const finish = await interrupted('p');
    let isOff = false;
    const first = interposed(pool, {
      behind: async (text) => {
        isOff ||= text.includes('DROP FOREIGN KEY');
      },
      before: (text) => (isOff && text.includes('ADD CONSTRAINT') ? dies() : none(text)),
    });
    const before = once('AS parentSchema', () => finish(first));
    await finish(interposed(pool, { before }));
    expect(isOff).toBe(true);
    await recover();
    expect(await show()).toEqual(family);
  });

  test('triggers of that name on a live table are never dropped for a held one', async () => {
    const id = newId();
    const holdName = `_vt_HOLD_${id}_20260101000000`;
    await direct.query(`CREATE TABLE ${holdName} (id INT)`);
    const held = { id, fromSchema: schema.name, holdName, table: 'x' };
    const recorded: HeldTrigger = {
      ...{ name: 'tr', event: 'AFTER INSERT', order: 1, definer: 'a@b', sqlMode: '', quote: '`' },
      ...{ head: '', tail: '', shownHead: '', shownTail: '', databaseCollation: 'utf8mb4_bin' },
      ...{ characterSetClient: 'utf8mb4', collationConnection: 'utf8mb4_bin' },
    };
    expect(await dropTriggers(pool, held, { triggers: [recorded], logged: true })).toBe(null);
    expect(await show()).toEqual(family);
  });
});
