/**
 * Texts above 256 KiB on real servers: what is innocent gets through as it is and with bounded
 * memory, and a drop in it is held, wherever it stands.
 */
import { EventEmitter } from 'node:events';
import { readFile } from 'node:fs/promises';
import type { RowDataPacket } from 'mysql2/promise';
import { countRows } from '../collector/collecting.js';
import { onServers, withPacketBytesMax } from '../support/on-servers.js';
import { spawnProxy, workerPids } from '../support/proxy.js';
import { CLIENT, frame, MODERN, RawClient } from '../support/raw-client.js';
import { sample } from '../support/sample.js';
import { connect, query, type Session } from '../support/servers.js';
import { openPeer } from '../support/wire-talk.js';

const MIB = 1024 * 1024;
/** What the collector of garbage needs for a while. */
const GROWTH_BYTES_MAX = 40 * MIB;

/** Rows of about 100 bytes with the words in their strings. */
function insertOf(bytes: number): string {
  const rows: string[] = [];
  for (let size = 0, id = 1; size < bytes; id++) {
    const row = `(${id}, 'it\\'s a; drop table live; "${id}" -- /* ${'x'.repeat(60)}')`;
    rows.push(row);
    size += row.length + 1;
  }
  return `INSERT INTO texts VALUES ${rows.join(',')}`;
}

onServers('long statements on $name', (server, on) => {
  const { beforeAll, beforeEach, test } = on;
  const schema = on.schema().name;
  withPacketBytesMax(server, on, 64 * MIB);
  const tracksSessions = server.name !== 'mysql-5.6';
  /** MariaDB says nothing behind an error of what was changed before it. */
  const owesReports = server.name === 'mysql-9.7';

  beforeAll(async () => {
    await query(
      server,
      `CREATE TABLE ${schema}.texts (id INT PRIMARY KEY, text VARCHAR(200))`,
      `CREATE TABLE ${schema}.live (id INT)`,
      `CREATE PROCEDURE ${schema}.fill() INSERT INTO ${schema}.texts VALUES (1, 'called')`,
    );
  });
  const proxy = on.open(() => spawnProxy(server));

  beforeEach(() => query(server, `TRUNCATE TABLE ${schema}.texts`));

  async function using<T>(multipleStatements: boolean, use: (connection: Session) => Promise<T>) {
    const connection = await connect(proxy, { database: schema, multipleStatements });
    connection.on('error', () => undefined);
    // libmysqlclient ends a session whose packets are out of order; mysql2 tells it, and goes on.
    const outOfOrder: string[] = [];
    const inner: unknown = Reflect.get(connection, 'connection');
    if (!(inner instanceof EventEmitter)) throw new Error('mysql2 has no connection any more.');
    inner.on('warn', ({ message }: Error) => outOfOrder.push(message));
    try {
      const used = await use(connection);
      expect(outOfOrder).toEqual([]);
      return used;
    } finally {
      connection.destroy();
    }
  }

  const countTexts = () => countRows(server, `${schema}.texts`);
  const expectLive = async () =>
    expect(await query(server, `SHOW TABLES FROM ${schema} LIKE 'live'`)).toHaveLength(1);

  async function memory(field: 'VmRSS' | 'VmHWM'): Promise<number> {
    const status = await readFile(`/proc/${workerPids(proxy)[0]}/status`, 'utf8');
    return Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(status)?.[1]) * 1024;
  }

  describe.each([false, true])('with several statements in a text: %s', (isMulti) => {
    const sizes = sample(isMulti ? [5, 20] : [5, 20, 60], { name: `sizes ${isMulti}`, count: 1 });
    test.each(sizes)('%d MB pass untouched, in bounded memory (wire 17)', async (size) => {
      const text = insertOf(size * MIB);
      await using(isMulti, async (connection) => {
        await connection.run(insertOf(2 * MIB), 'TRUNCATE TABLE texts');
        const before = await memory('VmRSS');
        await connection.query(text);
        // One that might hold several statements is kept whole, and copied to be sent.
        const kept = isMulti ? 5 * text.length : 0;
        expect((await memory('VmHWM')) - before).toBeLessThan(GROWTH_BYTES_MAX + kept);
        const rows = await connection.rows(
          'SELECT COUNT(*) AS count, MIN(text) AS first, SUM(LENGTH(text)) AS bytes FROM texts',
        );
        const values = [...text.matchAll(/, '(.*?x)'\)/g)].map(([, value]) =>
          (value ?? '').replace("\\'", "'"),
        );
        expect(rows[0]).toMatchObject({ count: values.length, first: values.sort()[0] });
        expect(Number(rows[0]?.['bytes'])).toBe(values.join('').length);
      });
      await expectLive();
    });

    test('a DROP of 2 MB is refused, and the session goes on (wire 17)', async () => {
      await using(isMulti, async (connection) => {
        const text = `DROP TABLE /* ${'x'.repeat(2 * MIB)} */ live`;
        await expect(connection.query(text)).rejects.toMatchObject({
          errno: 1235,
          message: expect.stringContaining('UNDROP_NOT_UNDERSTOOD'),
        });
        const [rows] = await connection.query('SELECT 1 AS one');
        expect(rows).toEqual([{ one: 1 }]);
      });
      await expectLive();
    });

    test('a prepared text of 2 MB passes, a prepared DROP of that length does not', async () => {
      await using(isMulti, async (connection) => {
        const [rows] = await connection.execute<RowDataPacket[]>(
          `SELECT LENGTH('drop table live; ${'x'.repeat(2 * MIB)}') AS bytes`,
        );
        expect(rows[0]?.['bytes']).toBe(2 * MIB + 17);
        const text = `DROP TABLE /* ${'x'.repeat(2 * MIB)} */ live`;
        await expect(connection.prepare(text)).rejects.toMatchObject({ errno: 1235 });
        await connection.ping();
      });
      await expectLive();
    });
  });

  async function expectHeld(): Promise<void> {
    expect(await query(server, `SHOW TABLES FROM ${schema} LIKE 'live'`)).toEqual([]);
    await query(server, `CREATE TABLE ${schema}.live (id INT)`);
  }

  test('behind 20 MB of INSERT a DROP is held, as it is before them (wire 16)', async () => {
    const insert = insertOf(20 * MIB);
    for (const text of [`${insert}; SELECT 1; DROP TABLE live`, `DROP TABLE live; ${insert}`]) {
      await using(true, async (connection) => {
        await connection.query(text);
        const [rows] = await connection.query('SELECT 1 AS one');
        expect(rows).toEqual([{ one: 1 }]);
      });
      await expectHeld();
      expect(await countTexts()).toBe(insert.split('),(').length);
      await query(server, `TRUNCATE TABLE ${schema}.texts`);
    }
  });

  test('a dump of a table in one text is loaded, and what was there is held', async () => {
    await using(true, async (connection) => {
      await connection.query(
        [
          '/*!40101 SET NAMES utf8mb4 */; SET FOREIGN_KEY_CHECKS = 0',
          'DROP TABLE IF EXISTS `live`; CREATE TABLE `live` (id INT); LOCK TABLES texts WRITE',
          ...[insertOf(2 * MIB), 'UNLOCK TABLES; SET FOREIGN_KEY_CHECKS = 1;'],
        ].join(';\n'),
      );
    });
    await expectLive();
    expect(await countTexts()).toBeGreaterThan(0);
  });

  test('where the server says how the rest is read, it is asked for that', async () => {
    await using(true, async (connection) => {
      const text = `CALL fill(); SELECT '${'x'.repeat(2 * MIB)}'; SELECT 'drop table live'`;
      await connection.query(text);
    });
    await expectLive();
    expect(await countTexts()).toBe(1);
  });

  test('an UPDATE of a client that sends no several statements is held, and passes', async () => {
    await using(false, async (connection) => {
      await connection.query("INSERT INTO texts VALUES (1, 'drop table live')");
      const filled = `drop table live; ${'x'.repeat(2 * MIB)}`;
      await connection.query(`UPDATE texts SET text = LENGTH('${filled}')`);
      const [rows] = await connection.query('SELECT text FROM texts');
      expect(rows).toEqual([{ text: String(filled.length) }]);
    });
  });

  test('above 64 MiB a text ends the session, and none of it is executed', async () => {
    const filler = `DO '${'x'.repeat(65 * MIB)}'`;
    for (const text of [`${filler}; DROP TABLE live`, `DROP TABLE live; ${filler}`]) {
      await using(true, (connection) => expect(connection.query(text)).rejects.toThrow());
    }
    const alone = `DROP TABLE live /* ${'x'.repeat(65 * MIB)} */`;
    await using(false, (connection) => expect(connection.query(alone)).rejects.toThrow());
    await using(false, (connection) => expect(connection.prepare(alone)).rejects.toThrow());
    await using(true, (connection) => connection.ping());
    await expectLive();
  });

  test('what session tracking owes behind a CALL that failed comes with the answer', async () => {
    await query(
      server,
      `CREATE PROCEDURE ${schema}.fails() BEGIN SET SESSION div_precision_increment = 7;` +
        ` SIGNAL SQLSTATE '45000'; END`,
    );
    const heard = [server, proxy].map(async ({ host, port, user }) => {
      const flags = MODERN | CLIENT.MULTI_STATEMENTS;
      const client = await RawClient.open({ host, port, user }, { schema, flags });
      if (tracksSessions) {
        await client.query("SET session_track_system_variables = 'div_precision_increment'");
      }
      const { results } = await client.query('CALL fails()');
      expect(results).toMatchObject([{ kind: 'err', errno: 1644 }]);
      const { packets } = await client.query(`DO 1; DO ' ${'x'.repeat(MIB)}'`);
      client.close();
      return packets.map(({ payload }) => payload.toString('latin1'));
    });
    const [direct = [], through] = await Promise.all(heard);
    expect(direct[0]?.includes('div_precision_increment')).toBe(owesReports);
    expect(through).toEqual(direct);
  });

  test('the session’s own settings don’t keep a long text from being read', async () => {
    const text = `INSERT INTO texts SELECT 1, 'drop table live' FROM DUAL WHERE LENGTH('${'x'.repeat(MIB)}') > 1; DO 0`;
    for (const setting of ['sql_buffer_result = 1', 'max_join_size = 1, sql_big_selects = 0']) {
      await using(true, (connection) => connection.run(`SET ${setting}`, text));
      expect(await countTexts()).toBe(1);
      await query(server, `TRUNCATE TABLE ${schema}.texts`);
    }
  });

  if (server.name === 'mysql-9.7') {
    test('a GTID of the session’s own is there for a long text', async () => {
      await using(true, async (connection) => {
        await connection.query("SET GTID_NEXT = '3e11fa47-71ca-11e1-9e33-c80aa9429562:77'");
        await connection.query(`INSERT INTO texts VALUES (7, 'x' /* ${'x'.repeat(MIB)} */)`);
        await connection.query("SET GTID_NEXT = 'AUTOMATIC'");
      });
      const gtids = await query<{ set: string }>(server, 'SELECT @@GLOBAL.gtid_executed AS `set`');
      expect([await countTexts(), gtids[0]?.set]).toEqual([1, expect.stringContaining('9562:77')]);
    });
  }

  test('a hint, and a text for PREPARE, of 60 MB are read no further than they can be', async () => {
    await using(false, async (connection) => {
      const sentBytes = async () => {
        const [row] = await connection.rows("SHOW SESSION STATUS LIKE 'Bytes_sent'");
        return Number(row?.['Value']);
      };
      await connection.query("SET @undrop = REPEAT(' ', 60000000), @text = REPEAT(' ', 60000000)");
      const before = await sentBytes();
      const errors = [
        await connection.errorOf('DROP TABLE live'),
        await connection.errorOf('PREPARE p FROM @text'),
      ];
      expect(errors).toMatchObject([
        { message: expect.stringContaining('UNDROP_HINT') },
        { message: expect.stringMatching(/UNDROP_NOT_UNDERSTOOD: .*longer than 1048576 bytes/) },
      ]);
      expect((await sentBytes()) - before).toBeLessThan(3 * MIB);
    });
    await expectLive();
  });

  test('prepared statements of undrop take the memory of their texts', async () => {
    const names = Array.from({ length: 100 }, () => 'x'.repeat(60)).join(', ');
    await using(false, async (connection) => {
      const before = await memory('VmRSS');
      for (let count = 0; count < 300; count++) {
        await connection.prepare(`UNDROP TABLE ${names}, y${count}`);
      }
      expect((await memory('VmRSS')) - before).toBeLessThan(200 * MIB);
    });
  });

  test('in a pipeline the error comes at its place, in sequence (wire 16)', async () => {
    const { peer } = await openPeer(server.name, proxy);
    const ping = frame(Buffer.from([0x0e]), 0);
    // COM_SET_OPTION: several statements in a text.
    peer.send(frame(Buffer.from([0x1b, 0, 0]), 0));
    await peer.packet();
    const padding = ' '.repeat(2 * MIB);
    const text = `DO 1; ${padding} DO 2; DROP TABLE ${schema}.live /* ${padding} */; DO 3`;
    peer.send(ping, frame(Buffer.from(`\x03${text}`), 0), ping);
    const packets = [];
    for (let count = 0; count < 5; count++) packets.push(await peer.packet());
    expect(packets.map((packet) => [packet[3], packet[4]])).toEqual([
      [1, 0x00],
      [1, 0x00],
      [2, 0x00],
      [3, 0xff],
      [1, 0x00],
    ]);
    expect(packets[3]?.toString()).toContain('UNDROP_NOT_UNDERSTOOD');
    peer.end();
    await expectLive();
  });
});
