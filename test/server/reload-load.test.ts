/**
 * A service is reloaded again and again under load, with other settings and with other programs.
 * Clients must not notice: no session is cut, no connection refused, no statement fails, sessions
 * keep all that they have, and what is dropped is held, restored, or collected once.
 */
import { PassThrough } from 'node:stream';
import type { Connection as CallbackConnection } from 'mysql2';
import { heldRows } from '../support/client-held.js';
import { goOn, startLoad } from '../support/load.js';
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { rounds } from '../support/sample.js';
import { connect, query, type Session } from '../support/servers.js';
import { type Service, startService } from '../support/service.js';

const RELOADS = rounds(6, 4);
/** The server waits 30 s for an upload by itself, and 60 s for a reader. */
const PATIENT = 'SET net_read_timeout = 3600, net_write_timeout = 3600';
/** What the large result set has, many times what the sockets hold. */
const [ROWS, ROW_BYTES] = [1_000, 60_000];

/** What a session does, a step for each reload; rejects if anything is not as it has to be. */
interface Acts {
  step?(round: number): Promise<unknown>;
  end?(): Promise<void>;
}

type Begin = (session: Session, schema: string) => Promise<Acts>;

const BEGIN: Readonly<Record<string, Begin>> = {
  idle: async (session) => ({
    end: async () => {
      expect(await session.column('SELECT CONNECTION_ID()')).toEqual([session.threadId]);
    },
  }),
  transaction: async (session) => {
    await session.run('BEGIN', 'INSERT INTO of_transaction VALUES (0)');
    return {
      step: (round) => session.run(`INSERT INTO of_transaction VALUES (${round})`),
      end: async () => {
        await session.run('COMMIT');
        expect(await session.count('of_transaction')).toBe(RELOADS + 1);
      },
    };
  },
  prepared: async (session) => {
    const statement = await session.prepare('SELECT ? + 1 AS next, CONNECTION_ID() AS id');
    return {
      step: async (round) => {
        const [rows] = await statement.execute([round]);
        expect(rows).toEqual([{ next: round + 1, id: session.threadId }]);
      },
    };
  },
  temporary: async (session) => {
    await session.run('CREATE TEMPORARY TABLE own (a INT)', 'SET @mine = 7');
    return {
      step: async (round) => {
        await session.run(`INSERT INTO own VALUES (${round})`);
        expect(await session.column('SELECT @mine + COUNT(*) AS n FROM own')).toEqual([7 + round]);
      },
      end: () => session.run('DROP TEMPORARY TABLE own'),
    };
  },
  lock: async (session, database) => {
    await session.column(`SELECT GET_LOCK('${database}', 0)`);
    const holder = `SELECT IS_USED_LOCK('${database}') AS id`;
    return { step: async () => expect(await session.column(holder)).toEqual([session.threadId]) };
  },
  'large result': async (session) => {
    await session.run(PATIENT);
    const { connection } = session as unknown as { readonly connection: CallbackConnection };
    const digits = ['a', 'b', 'c'].map((name) => `digits ${name}`).join(', ');
    const text = `SELECT REPEAT('x', ${ROW_BYTES}) AS x FROM ${digits}`;
    const rows = connection.query(text).stream({ highWaterMark: 4 })[Symbol.asyncIterator]();
    let read = 0;
    const readUpTo = async (count: number) => {
      for (; read < count; read++) {
        const { value } = (await rows.next()) as { readonly value: { readonly x: string } };
        expect(value.x).toHaveLength(ROW_BYTES);
      }
    };
    return {
      step: (round) => readUpTo(Math.floor((round * ROWS) / (RELOADS + 1))),
      end: async () => {
        await readUpTo(ROWS);
        expect((await rows.next()).done).toBe(true);
      },
    };
  },
  upload: async (session) => {
    await session.run(PATIENT);
    const data = new PassThrough();
    const sql = "LOAD DATA LOCAL INFILE 'data' INTO TABLE of_upload (a)";
    const loaded = session.query({ sql, infileStreamFactory: () => data });
    return {
      step: async (round) => data.write(`${round}\n`),
      end: async () => {
        data.end('0\n');
        await loaded;
        expect(await session.count('of_upload')).toBe(RELOADS + 1);
      },
    };
  },
};

onServers('a service under load on $name', (server, on) => {
  const { name: schema } = on.schema();

  on.testOnEach('is reloaded again and again, and no client notices', async () => {
    await query(
      server,
      'SET GLOBAL local_infile = 1',
      ...['of_transaction', 'of_upload', 'digits'].map(
        (table) => `CREATE TABLE ${schema}.${table} (a INT) ENGINE=InnoDB`,
      ),
      `INSERT INTO ${schema}.digits VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)`,
    );
    const often = { COLLECT: 'auto', LIFECYCLE: 'hold,drop', WORKERS: '2', CHECK_INTERVAL: '1s' };
    const settings = (round: number) => ({
      rules: [`${schema}.at_once_*: now`, ...(isNative(round) ? [`${schema}.rule_*: native`] : [])],
    });
    await using service = await startService(server, settings(0), often);
    const { proxy } = service;
    const begun = Object.values(BEGIN).map(async (begin) => {
      const session = await connect(proxy, { database: schema });
      return { session, ...(await begin(session, schema)) };
    });
    const actors = await Promise.all(begun);
    const old = await connect(proxy, { database: schema });
    const load = startLoad(proxy, schema);
    const native: string[] = [];
    for (let round = 1; round <= RELOADS; round++) {
      if (round % 2 === 0) await service.install(`1.0.${round}`);
      else await service.set(settings(round));
      // By a signal it is the same.
      if (round % 3 === 0) proxy.kill('SIGHUP');
      else expect(await service.command('reload')).toMatchObject({ code: 0, stderr: '' });
      await service.says({ event: 'reload', level: 30 }, round);
      // The policy applies to the sessions of the first processes from now on.
      const table = `rule_${round}`;
      await old.run(`CREATE TABLE ${table} (a INT)`, `DROP TABLE ${table}`);
      if (isNative(round)) native.push(table);
      for (const actor of actors) await actor.step?.(round);
      await goOn(load);
    }
    for (const { end, session } of actors) {
      await end?.();
      await session.end();
    }
    const [, , drops] = await Promise.all(load.map((part) => part.end().then(() => part.count)));
    await old.end();

    await onceRemoved(service, schema, drops ?? 0);
    const held = await heldRows(server, schema);
    const rules = Object.keys(held).filter((table) => table.startsWith('rule_'));
    expect(rules).toHaveLength(RELOADS - native.length);
    expect(rules.filter((table) => native.includes(table))).toEqual([]);
    expect(service.logged({ event: 'reload', level: 30 })).toHaveLength(RELOADS);
    // A slow server is a warning, and a drop that it is too late for an error.
    const isBad = ({ level, msg, err }: (typeof proxy.lines)[number]) =>
      Number(level) >= 50 && !/did not answer/.test(JSON.stringify([msg, err]));
    expect(proxy.lines.filter(isBad)).toEqual([]);
    expect(service.logged({ event: 'ready' }).length).toBe(RELOADS + 1);
  });
});

/** The settings change at each odd reload. */
function isNative(round: number): boolean {
  return round % 4 === 1 || round % 4 === 2;
}

/** Every table that was due at once has been removed once, by whichever process collected. */
async function onceRemoved(service: Service, schema: string, drops: number): Promise<void> {
  const removed = () =>
    service
      .logged({ event: 'removal', schema })
      .map(({ table }) => String(table))
      .filter((table) => table.startsWith('at_once_'));
  await until(() => removed().length >= drops, `${drops} tables are removed`);
  expect(removed().length).toBe(drops);
  expect(new Set(removed()).size).toBe(drops);
}
