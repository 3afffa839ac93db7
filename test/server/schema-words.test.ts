/**
 * What DROP DATABASE says where it drops nothing is true, and what is no schema of the server's own
 * is dropped: a name that differs from one of those in case alone.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import type { RowDataPacket } from 'mysql2/promise';
import { onServers } from '../support/on-servers.js';
import { proxyInFront } from '../support/proxy.js';
import { allTestServers, connect, testServers } from '../support/servers.js';

onServers('words for schemas on $name', (server, on) => {
  const root = on.session();
  const proxy = on.proxy();
  const client = on.session({ to: proxy });

  test('a schema that differs in case from one of the server’s own is a user’s', async () => {
    for (const name of ['MYSQL', 'Sys']) {
      await root.run(`DROP DATABASE IF EXISTS ${name}`, `CREATE DATABASE ${name}`);
      await root.query(`CREATE TABLE ${name}.t (id INT PRIMARY KEY)`);
      await client.query(`DROP DATABASE ${name}`);
      const left = await root.rows('SHOW DATABASES');
      expect(left.map((row) => String(row['Database']))).not.toContain(name);
    }
    await expect(client.query('DROP DATABASE mysql')).rejects.toThrow(
      'a schema of the server itself',
    );
  });

  const has97 = server.name === 'mysql-9.7';
  test('where mysql.proc or mysql.event has another shape', async () => {
    // It has none of them.
    if (has97) return;
    await root.run('DROP DATABASE IF EXISTS shapes', 'CREATE DATABASE shapes');
    await root.query('CREATE TABLE shapes.t (id INT PRIMARY KEY)');
    await root.query('CREATE TRIGGER shapes.tr BEFORE INSERT ON shapes.t FOR EACH ROW SET @a = 1');
    for (const table of ['event', 'proc']) {
      await root.query(`RENAME TABLE mysql.${table} TO mysql.${table}_whole`);
      await root.query(`CREATE TABLE mysql.${table} (id INT)`);
      try {
        const dropping = client.query('DROP DATABASE shapes');
        await expect(dropping).rejects.toThrow(/upgrade these \(mariadb-upgrade/);
      } finally {
        await root.query(`DROP TABLE mysql.${table}`);
        await root.query(`RENAME TABLE mysql.${table}_whole TO mysql.${table}`);
      }
    }
    await root.query('DROP DATABASE IF EXISTS shapes');
  });
});

// Elsewhere the names of keys may be longer than of other things.
describe.each(allTestServers().filter(({ name }) => name === 'mysql-9.7'))('on $name', (server) => {
  test('where a RENAME fails for another reason than rights, none is asked for', async () => {
    await using root = await connect(server);
    await using proxy = await proxyInFront(server);
    await using client = await connect(proxy);
    await root.run('DROP DATABASE IF EXISTS long_keys', 'CREATE DATABASE long_keys');
    // It is named after its table, and becomes too long with it; MyISAM can't lose it in place.
    const check = 'CONSTRAINT t_chk_1234567 CHECK (id > 1)';
    await root.query(`CREATE TABLE long_keys.t (id INT PRIMARY KEY, ${check}) ENGINE=MyISAM`);
    await expect(client.query('DROP DATABASE long_keys')).rejects.toThrow(
      /cannot rename t: ALGORITHM=INPLACE is not supported .* \(1845\)\. Fix the error of that table/,
    );
    await root.query('DROP DATABASE long_keys');
  });
});

// MySQL 8 and later keep a trigger where no test can spoil it.
describe.each(testServers().filter(({ name }) => name !== 'mysql-9.7'))('on $name', (server) => {
  test('where a trigger can’t be read any more, it is said to be dropped first', async () => {
    await using root = await connect(server);
    await using proxy = await proxyInFront(server);
    await using client = await connect(proxy);
    await root.run('DROP DATABASE IF EXISTS spoilt', 'CREATE DATABASE spoilt');
    await root.query('CREATE TABLE spoilt.t (id INT PRIMARY KEY)');
    await root.query('CREATE TRIGGER spoilt.tr BEFORE INSERT ON spoilt.t FOR EACH ROW SET @a = 1');
    const [[{ folder } = { folder: '' }]] = await root.query<
      (RowDataPacket & { folder: string })[]
    >('SELECT @@datadir AS folder');
    const file = join(folder, 'spoilt', 't.TRG');
    await writeFile(file, (await readFile(file, 'utf8')).replace('SET @a = 1', 'SET @a : 1'));
    await root.query('FLUSH TABLES');
    const mending = /error in its body.*\. Repair the cause .*: DROP TRIGGER/s;
    await expect(client.query('DROP TABLE spoilt.t')).rejects.toThrow(mending);
    const ofSchema = /error in its body.*\. Fix the error of that table/s;
    await expect(client.query('DROP DATABASE spoilt')).rejects.toThrow(ofSchema);
    expect((await root.query('SELECT * FROM spoilt.t'))[0]).toEqual([]);
    await client.run('DROP TRIGGER spoilt.tr', 'DROP DATABASE spoilt');
  });
});
