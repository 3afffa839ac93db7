/**
 * A proxy that is killed (SIGKILL) at a random moment of an UNDROP of a table, of all, or of a
 * schema, with SWAP or without, on real servers: within a minute all is whole, by the proxy that
 * collects, without a person doing anything. Either it did not happen, and the same statement does
 * it, or it is finished.
 */
import { jest } from '@jest/globals';
import { Dice, seededRandom } from '../support/dice.js';
import { freshLedger } from '../support/fresh-ledger.js';
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { type ProxyProcess, spawnProxy } from '../support/proxy.js';
import { rounds, seedFor } from '../support/sample.js';
import { schemaState } from '../support/schema-state.js';
import { connect, type Session } from '../support/servers.js';

jest.setTimeout(3_600_000);

const KILLS = rounds(8, 2);

const TABLE = `CREATE TABLE c (id INT PRIMARY KEY, pid INT,
  CONSTRAINT to_p FOREIGN KEY (pid) REFERENCES p (id))`;
const FAMILY = [
  ...['CREATE TABLE p (id INT PRIMARY KEY)', 'INSERT INTO p VALUES (1)'],
  TABLE,
  'CREATE TABLE kid (id INT PRIMARY KEY, CONSTRAINT to_c FOREIGN KEY (id) REFERENCES c (id))',
  'CREATE TRIGGER on_c BEFORE INSERT ON c FOR EACH ROW SET NEW.pid = NEW.pid',
  ...['INSERT INTO c VALUES (1, 1), (2, 1)', 'CREATE TABLE plain (id INT PRIMARY KEY)'],
  'CREATE VIEW v AS SELECT id FROM c',
];
/** What has the name of a table that was dropped. */
const NEWER = [
  TABLE,
  'CREATE TRIGGER on_c BEFORE INSERT ON c FOR EACH ROW SET NEW.pid = NEW.pid',
  'INSERT INTO c VALUES (1, 1), (2, 1), (3, NULL)',
];
/** Statements, and the last of them is killed. */
const SCENES: Readonly<Record<string, readonly string[]>> = {
  UNDROP: ['DROP TABLE c', 'UNDROP TABLE c'],
  // An older one is held of the same name.
  'UNDROP of the newest': ['DROP TABLE c', ...NEWER, 'DROP TABLE c', 'UNDROP TABLE c'],
  SWAP: ['DROP TABLE c', ...NEWER, 'UNDROP TABLE c SWAP'],
  'UNDROP DATABASE': ['DROP DATABASE $', 'UNDROP DATABASE $'],
  'UNDROP ALL with SWAP': [
    ...['DROP TABLE c, p', 'CREATE TABLE p (id INT PRIMARY KEY)', ...NEWER],
    "UNDROP ALL FROM $ SINCE '1 hour ago' SWAP",
  ],
  'UNDROP DATABASE with SWAP': [
    ...['DROP DATABASE $', 'CREATE DATABASE $', 'USE $', 'CREATE TABLE p (id INT PRIMARY KEY)'],
    ...[...NEWER, 'UNDROP DATABASE $ SWAP'],
  ],
};

/** Of a drop, a restore or a swap. */
const OPEN = `SELECT id FROM _undrop.ledger WHERE relocated = 0 AND state = 'HOLD'
  OR state IN ('intent', 'emptying', 'emptied')`;

onServers('a proxy that is killed on $name', (server, on) => {
  const { afterEach } = on;
  const dice = new Dice(seededRandom(seedFor(server.name)));
  let victim: ProxyProcess | null = null;

  on.freshLedger();
  const collecting = on.proxy({ COLLECT: 'auto' });
  const root = on.session();
  const fresh = on.each.schema('killed');

  afterEach(async () => {
    victim?.kill('SIGKILL');
    await victim?.ended;
    victim = null;
  });

  const rowsOf = (text: string) => root.rows(text);
  const fill = () =>
    root.run(`CREATE DATABASE IF NOT EXISTS ${fresh.name}`, `USE ${fresh.name}`, ...FAMILY);
  const clear = async () => {
    await root.run('SET foreign_key_checks = 0', `DROP DATABASE IF EXISTS ${fresh.name}`);
    await root.query('SET foreign_key_checks = 1');
    await freshLedger(server);
  };
  const settled = async (client: Session, texts: readonly string[]) => {
    for (const text of texts) {
      await until(async () => (await rowsOf(OPEN)).length === 0, 'what came before is settled');
      await client.query(text.replaceAll('$', fresh.name));
    }
  };
  const state = async () => {
    const isThere = (await rowsOf(`SHOW DATABASES LIKE '${fresh.name}'`)).length > 0;
    return isThere ? schemaState(server, fresh.name) : [];
  };
  /** Nothing of a restore or a swap is to be done any more. */
  const isAllDone = async () => (await rowsOf(`${OPEN} OR todo = 'restoring'`)).length === 0;

  test.each(Object.entries(SCENES))(
    `${KILLS} times amid %s leaves nothing to be done by people`,
    async (_scene, texts) => {
      let lastsMs = 0;
      let wanted: readonly string[] = [];
      for (let kill = 0; kill <= KILLS; kill++) {
        await clear();
        await fill();
        victim ??= await spawnProxy(server);
        const client = await connect(victim, { database: fresh.name });
        await client.query('SET foreign_key_checks = 0');
        await settled(client, texts.slice(0, -1));
        const [last = ''] = texts.slice(-1).map((text) => text.replaceAll('$', fresh.name));
        const startMs = performance.now();
        const answered = client.query(last).then(
          () => undefined,
          (error: Error) => error.message,
        );
        if (kill === 0) {
          expect(await answered).toBeUndefined();
          lastsMs = performance.now() - startMs;
          await client.end();
        } else {
          const atMs = startMs + dice.roll() * lastsMs * 1.1;
          await until(() => performance.now() >= atMs, 'the moment has come');
          victim.kill('SIGKILL');
          await victim.ended;
          victim = null;
          await answered;
          client.destroy();
        }
        await until(isAllDone, `${last}: all is whole`);
        if (kill === 0) {
          wanted = await state();
          expect(wanted.join()).toMatch(/CONSTRAINT `to_p`.*CONSTRAINT `to_c`.*TRIGGER `?on_c/);
        } else if ((await state()).join() !== wanted.join()) {
          // It did not happen; whoever says it again is not told that the name is taken.
          const again = await connect(collecting);
          const place = texts[0]?.startsWith('DROP DATABASE') ? 'mysql' : fresh.name;
          await again.run(`USE ${place}`, last);
          await again.end();
          await until(isAllDone, `${last}: all is whole`);
        }
        expect(await state()).toEqual(wanted);
      }
    },
  );
});
