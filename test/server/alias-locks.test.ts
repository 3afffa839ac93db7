/**
 * A table that is locked under an alias alone, where the server renames under LOCK TABLES nothing
 * but what is locked under its own name: undrop leaves LOCK TABLES before the RENAME only where
 * nobody waits for what is unlocked then. The answers as such are compared in drop-answers.
 */
import { describe, expect, test } from '@jest/globals';
import type { RowDataPacket } from 'mysql2/promise';
import { until } from '../support/poll.js';
import { proxyInFront } from '../support/proxy.js';
import { connect, freshSchema, testServers } from '../support/servers.js';

const servers = testServers().filter(({ name }) => name !== 'mysql-9.7');

describe.each(servers)('on $name', (server) => {
  test('where another session waits for the table the drop is refused, and the locks stay', async () => {
    const schema = await freshSchema(server, 'alias');
    const proxy = await proxyInFront(server);
    const client = await connect(
      { ...server, host: proxy.host, port: proxy.port },
      { database: schema.name },
    );
    const [rival, root] = [await connect(server, { database: schema.name }), await connect(server)];
    await root.query(`CREATE TABLE ${schema.name}.a (id INT)`);
    await client.query('LOCK TABLES a AS x WRITE');
    const renaming = rival.query('RENAME TABLE a TO a_old');
    await until(async () => {
      const [rows] = await root.query<RowDataPacket[]>(
        `SELECT 1 FROM information_schema.PROCESSLIST
         WHERE ID = ? AND STATE = 'Waiting for table metadata lock'`,
        [rival.threadId],
      );
      return rows.length > 0;
    }, 'the other session waits');
    await expect(client.query('DROP TABLE a')).rejects.toThrow(/UNDROP_LOCKED_TABLES/);
    await client.query('SELECT * FROM a AS x');
    await client.query('UNLOCK TABLES');
    await renaming;
    await client.query('LOCK TABLES a_old AS x WRITE');
    await client.query('DROP TABLE a_old');
    await Promise.all([client, rival, root].map((one) => one.end()));
    await proxy.stop();
    await schema.drop();
  });
});
