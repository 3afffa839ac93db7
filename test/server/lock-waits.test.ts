/** Who waits for a lock, as the service sees it before it ends a wait. */
import { until } from '../support/poll.js';
import { connect, freshSchema, query, testServers } from '../support/servers.js';
import { poolOn } from '../support/service-pool.js';

test.each(testServers())('a lock is waited for, and nothing else, on $name', async (server) => {
  const { name: schema, drop } = await freshSchema(server, 'waits');
  const pool = poolOn(server, 2);
  const [was] = await query<{ was: string }>(server, 'SELECT @@GLOBAL.event_scheduler AS was');
  await query(
    server,
    `CREATE EVENT ${schema}.later ON SCHEDULE EVERY 1 DAY STARTS NOW() + INTERVAL 1 DAY DO DO 0`,
    'SET GLOBAL event_scheduler = ON',
    `CREATE TABLE ${schema}.t (id INT)`,
  );
  // It waits for its next event, which no KILL brings.
  const scheduler = await stateOf("USER = 'event_scheduler'");
  expect(scheduler.state).toMatch(/^Waiting for next activation/);
  expect(await pool.isWaiting(scheduler.id)).toBe(false);
  const reader = await connect(server, { database: schema });
  await reader.run('BEGIN', 'SELECT * FROM t');
  const waiter = await connect(server, { database: schema });
  const answered = waiter.query('RENAME TABLE t TO u');
  const locked = await stateOf(`ID = ${waiter.threadId}`);
  expect(locked.state).toMatch(/^Waiting for .* lock/);
  expect(await pool.isWaiting(locked.id)).toBe(true);
  await reader.query('ROLLBACK');
  await answered;
  for (const connection of [reader, waiter]) await connection.end();
  await query(server, `SET GLOBAL event_scheduler = ${was?.was ?? 'OFF'}`);
  await pool.dispose();
  await drop();

  async function stateOf(who: string): Promise<{ readonly id: number; readonly state: string }> {
    let found = { id: 0, state: '' };
    await until(async () => {
      const [row] = await query<{ id: number; state: string }>(
        server,
        `SELECT ID AS id, STATE AS state FROM information_schema.PROCESSLIST
         WHERE ${who} AND STATE LIKE 'Waiting for %'`,
      );
      found = row ?? found;
      return row !== undefined;
    }, `${who} waits`);
    return found;
  }
});
