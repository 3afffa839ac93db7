/**
 * The whole way of a dropped table through `undrop serve` as it is run in production, by variables
 * alone, read from the server's own general log: which names it had, with which id, and its end.
 */
import { expect } from '@jest/globals';
import { parseHoldName } from '../../src/names/names.js';
import { freshLedger } from '../support/fresh-ledger.js';
import { inLanes } from '../support/lanes.js';
import { until } from '../support/poll.js';
import { spawnProxy } from '../support/proxy.js';
import { sample } from '../support/sample.js';
import { allTestServers, connect, freshSchema, generalLog, query } from '../support/servers.js';

const QUICK = { HOLD: '2s', EVAC: '2s', CHECK_INTERVAL: '1s', GRACE: '0s', COLLECT: 'auto' };

const SLOW = ['mysql-5.6', 'mariadb-10.5'];
/** Servers with a dear DROP have a way of their own; the way of the others is the same. */
const SERVERS = sample(allTestServers(), {
  name: 'servers',
  kind: ({ name }) => (SLOW.includes(name) ? 'slow' : 'fast'),
});

inLanes(SERVERS, 'the whole way on $name', (server, { test }) => {
  const isSlow = SLOW.includes(server.name);
  const states = isSlow ? ['HOLD', 'PURGE', 'EVAC', 'DROP'] : ['HOLD', 'DROP'];

  test(`is ${states.join(', ')} and gone, with one id`, async () => {
    // This proxy would collect what an earlier test has left.
    await freshLedger(server);
    await using schema = await freshSchema(server, 'way');
    await query(
      server,
      `CREATE TABLE ${schema.name}.big (id INT AUTO_INCREMENT PRIMARY KEY, note CHAR(20))`,
      `INSERT INTO ${schema.name}.big (note) VALUES ('x')`,
      // Doubled until there are more than 100,000 rows.
      ...Array.from(
        { length: 17 },
        () => `INSERT INTO ${schema.name}.big (note) SELECT note FROM ${schema.name}.big`,
      ),
    );
    await using log = await generalLog(server);
    await using proxy = await spawnProxy(server, QUICK);
    const client = await connect(proxy, { database: schema.name });
    await client.query('DROP TABLE big');
    await client.end();
    const isRemoved = async () => {
      const [row] = await query<{ readonly state: string }>(
        server,
        `SELECT state FROM _undrop.ledger WHERE schema_name = '${schema.name}'`,
      );
      return row?.state === 'removed';
    };
    await until(isRemoved, 'the table is gone', 90_000);
    const texts = (await log.read()).map(({ text }) => text);
    // MariaDB logs a text of several statements whole and again in parts: each name once.
    const names = new Set(
      texts.flatMap((text) =>
        Array.from(text.matchAll(/RENAME [^;]*? TO (`\w+`\.`_vt_\w+`)/g), ([, name = '']) => name),
      ),
    );
    const held = [...names].flatMap((name) => parseHoldName(name.split('`')[3] ?? '') ?? []);
    // HOLD more than once: under its own schema, moved into ours, and each time that took long.
    const seen = held
      .map(({ state }) => state)
      .filter((state, index, all) => state !== all[index - 1]);
    const ids = new Set(held.map(({ id }) => id));
    const end = texts.find((text) => text.includes('DROP /* undrop remove')) ?? '';
    expect(seen).toEqual(states);
    expect(ids.size).toBe(1);
    expect(end).toContain([...ids][0]);
  });
});
