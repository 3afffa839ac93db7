/**
 * Foreign keys and triggers that are taken off held tables by two at once (the recoveries of two
 * proxies), one of which may die in the middle: what the one has written down or led back the other
 * leaves, and everything comes back. The key of a live child that is led back to its parent's own
 * name keeps its index, and the binary log has of it what it has of the parent's drop. Keys that
 * others make meanwhile: late-renames.
 *
 * Imports what takes them off from src: nothing else can stop one of the two between two statements
 * while the other goes on.
 */
import { jest } from '@jest/globals';
import { readServerFacts, type ServicePool } from '../../src/connections/sql.js';
import { repointForeignKey } from '../../src/held/foreign-keys/add-keys.js';
import { detach } from '../../src/held/foreign-keys/detach.js';
import { detachAndRelocate } from '../../src/held/relocate/relocate.js';
import { dropTriggers } from '../../src/held/triggers/detach-triggers.js';
import type { HeldTrigger } from '../../src/ledger/detached/detached.js';
import { ensureLedger } from '../../src/ledger/tables.js';
import { recordOutcome } from '../../src/ledger/write.js';
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { connect } from '../support/servers.js';
import { tappedPool } from '../support/tapped-pool.js';
import { restored } from '../support/undrop-cli.js';
import * as service from './service-fixture.js';

type Between = (text: string) => Promise<void>;

/** A pool with something to happen before and behind each of its texts. */
function interposed(pool: ServicePool, { before = none, behind = none }): ServicePool {
  return tappedPool(pool, async (send, texts) => {
    const text = texts.join('; ');
    await before(text);
    const answers = await send();
    await behind(text);
    return answers;
  });
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
  const { afterEach, beforeAll, beforeEach, test } = on;
  let family: readonly string[];

  const pool = on.pool(6);
  beforeAll(() => ensureLedger(pool));
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
    const drop = await service.intend(pool, session, { schema: schema.name, tables: [table] });
    await session.query('SET foreign_key_checks = 0');
    await service.renameAway(session, drop);
    await service.endSession(server, session);
    const [{ id } = { id: '' }] = drop.facts.tables;
    const [holdName = ''] = drop.holdNames;
    const held = { id, fromSchema: schema.name, holdName, table };
    return (through: ServicePool) => detachAndRelocate(through, [held]);
  }

  const recover = () => service.recoverOnce(pool);
  const makeKid = () =>
    direct.run(
      'CREATE TABLE b (id INT PRIMARY KEY)',
      'CREATE TABLE kid (pid INT, CONSTRAINT kid_key FOREIGN KEY (pid) REFERENCES b (id))',
    );
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
    const id = service.newId();
    const holdName = `_vt_HOLD_${id}_20260101000000`;
    await direct.query(`CREATE TABLE ${holdName} (id INT)`);
    const held = { id, fromSchema: schema.name, holdName, table: 'x' };
    const recorded: HeldTrigger = {
      ...{ name: 'tr', event: 'AFTER INSERT', order: 1, definer: 'a@b', sqlMode: '', quote: '`' },
      ...{ head: '', tail: '', shownHead: '', shownTail: '', databaseCollation: 'utf8mb4_bin' },
      ...{ characterSetClient: 'utf8mb4', collationConnection: 'utf8mb4_bin' },
    };
    expect(await dropTriggers(pool, held, { triggers: [recorded] })).toBe(null);
    expect(await show()).toEqual(family);
  });

  test('a key of a child is led back as it was where another takes it off right before', async () => {
    await direct.run(
      'CREATE TABLE b (id INT PRIMARY KEY)',
      'CREATE TABLE kid (bid INT, FOREIGN KEY (bid) REFERENCES b (id))',
    );
    const before = await direct.show('kid');
    await direct.query('RENAME TABLE b TO away');
    const between = tappedPool(pool, async (send, texts) => {
      const alters = texts.some((text) => text.startsWith('ALTER TABLE'));
      if (alters && (await direct.show('kid')).includes('`away`')) {
        await direct.query('ALTER TABLE kid DROP FOREIGN KEY kid_ibfk_1');
      }
      return send();
    });
    const key = {
      ...{ name: 'kid_ibfk_1', columns: ['bid'], parentSchema: schema.name, parentTable: 'b' },
      ...{ parentColumns: ['id'], onDelete: null, onUpdate: null, index: 'bid' },
    };
    const child = { childSchema: schema.name, childTable: 'kid', key, isDone: false };
    const away = { schema: schema.name, table: 'away' };
    const facts = await readServerFacts(pool);
    await repointForeignKey(between, child, { id: service.newId(), away, server: facts });
    expect(await direct.show('kid')).toBe(before);
  });

  test.each([
    { sqlLogBin: 1, holdSchema: '_undrop', steps: ['DROP FOREIGN KEY', 'ADD CONSTRAINT'] },
    { sqlLogBin: 0, holdSchema: '_undrop_local', steps: [] },
  ])(
    'a key of a child is in the binary log as its parent was dropped in it: sql_log_bin=$sqlLogBin',
    async ({ sqlLogBin, holdSchema, steps }) => {
      await makeKid();
      const drop = { schema: schema.name, tables: ['b'], sqlLogBin: sqlLogBin === 1 };
      const { facts, holdNames } = await service.intend(pool, direct, drop);
      const [[{ id } = { id: '' }], [holdName = '']] = [facts.tables, holdNames];
      await direct.query(`SET sql_log_bin = ${sqlLogBin}`);
      await direct.run(`RENAME TABLE b TO ${holdSchema}.${holdName}`, 'SET sql_log_bin = 1');
      const held = { id, holdSchema, holdName, relocated: true };
      await recordOutcome(pool, { tables: [held] });
      expect(await direct.show('kid')).toContain(`REFERENCES \`${holdSchema}\`.\`${holdName}\``);
      const before = await service.binlogEnd(direct);
      // On a busy machine its time may be over before it has begun.
      const isRestored = async () => {
        const table = { id, fromSchema: holdSchema, holdName, table: 'b' };
        await detach(pool.logging(sqlLogBin === 1), [table]);
        return (await direct.show('kid')).includes('REFERENCES `b` (`id`)');
      };
      await until(isRestored, 'the key is led back');
      const written = (await service.binlogSince(direct, before)).map((row) => String(row['Info']));
      expect(written.length > 0).toBe(sqlLogBin === 1);
      const isWritten = (step: string) => written.some((text) => text.includes(step));
      expect(['DROP FOREIGN KEY', 'ADD CONSTRAINT'].filter(isWritten)).toEqual(steps);
    },
  );

  test('a key of a child is led back by a debt’s payer however long the looks before it took', async () => {
    await makeKid();
    const drop = await service.intend(pool, direct, { schema: schema.name, tables: ['b'] });
    await service.renameAway(direct, drop);
    const [{ id } = { id: '' }] = drop.facts.tables;
    const [holdName = ''] = drop.holdNames;
    const now = performance.now.bind(performance);
    let lateMs = 0;
    const clock = jest.spyOn(performance, 'now').mockImplementation(() => now() + lateMs);
    const slow = tappedPool(pool, async (send, texts) => {
      const answer = await send();
      if (texts.some((text) => text.includes('information_schema.TRIGGERS'))) lateMs = 5_000;
      return answer;
    });
    try {
      const table = { id, fromSchema: schema.name, holdName, table: 'b' };
      expect(await detach(slow, [table])).toEqual([null]);
      expect(lateMs).toBe(5_000);
    } finally {
      clock.mockRestore();
    }
    expect(await direct.show('kid')).toContain('REFERENCES `b` (`id`)');
  });
});
