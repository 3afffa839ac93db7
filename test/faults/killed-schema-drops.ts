/**
 * kill -9 of the proxy in the middle of a DROP DATABASE, at its statements and answers, seen by a
 * tap on the wire between proxy and server, on all its connections. Afterwards the schema is as it
 * was, with every table whole, or it is gone and every table is held and can be restored.
 *
 * In a second test another session creates and fills tables in the schema all the while: none that
 * it was told of is lost.
 */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Connection, RowDataPacket } from 'mysql2/promise';
import { ensureLedger } from '../../src/ledger/tables.js';
import { silentLog } from '../../src/log.js';
import { reconcile } from '../../src/recovery/reconcile.js';
import type { ServicePool } from '../../src/service/pools.js';
import { restore } from '../../src/undo/run-restore.js';
import { Dice, seededRandom } from '../support/dice.js';
import { until } from '../support/poll.js';
import { type ProxyProcess, spawnProxy } from '../support/proxy.js';
import { connect, testServer } from '../support/servers.js';
import { poolOn } from '../support/service-pool.js';
import { type TapEvent, type WireTap, wireTap } from '../support/wire-tap.js';

/** Every so many events; 1: at each. */
const EVERY = Number(process.env['KILL_SCHEMA_EVERY'] ?? '8');
/** Kills while another session creates. */
const RIVAL_KILLS = Number(process.env['KILL_SCHEMA_RIVAL'] ?? '4');
const SEED = Number(process.env['KILL_SCHEMA_SEED'] ?? '1');
/** Of a rival; then the drop has its way. */
const TABLES_MAX = 150;
/** More events than a drop has: reaching it means that the run never came to its end. */
const EVENTS_MAX = 600;
/** What decides whether the schema goes. */
const AT_THE_GATE = [
  ...['/* undrop emptied ', '/* undrop schema ', '/* undrop schema-look ', 'undrop_gate'],
  ...['KILL QUERY', '/* undrop schema-gone '],
];
const SETTLED_MS = 60_000;
const SCHEMA = 'kill_schema';
const WHOLE = { 'a`b': 3, child: 2, ünïcode: 1 };

/** The tests on one server of the set. */
export function killedSchemaDrops(name: string): void {
  killedSchemas(name, `DROP DATABASE ${SCHEMA}`);
}

/** The first of them, of what MariaDB replaces. */
export function killedSchemaReplacements(name: string): void {
  killedSchemas(name, `CREATE OR REPLACE DATABASE ${SCHEMA} CHARACTER SET latin1`);
}

function killedSchemas(name: string, statement: string): void {
  const replaces = statement.startsWith('CREATE');
  describe(`a proxy killed in the middle of ${statement} on ${name}`, () => {
    const server = testServer(name);
    const dice = new Dice(seededRandom(SEED));
    let pool: ServicePool;
    let direct: Connection;

    beforeAll(async () => {
      pool = poolOn(server);
      await ensureLedger(pool);
      direct = await connect(server, { charset: 'utf8mb4' });
    });

    afterAll(async () => {
      await direct.query(`DROP DATABASE IF EXISTS ${SCHEMA}`);
      await direct.end();
      await pool.dispose();
    });

    test('leaves the schema as it was, or all its tables held', async () => {
      let isDone = false;
      const ends: string[] = [];
      const every = replaces ? 2 * EVERY : EVERY;
      for (let at = 1 + dice.below(every); !isDone; at += every) {
        expect(at).toBeLessThan(EVENTS_MAX);
        await make();
        const killed = await dropAndKill(at);
        try {
          await settled();
          const end = await whatIsLeft(WHOLE);
          if (killed === null) expect(end).toBe('gone');
          ends.push(end);
        } catch (error) {
          throw new Error(`killed at ${at}: ${killed?.moment} of ${killed?.text}`, {
            cause: error,
          });
        }
        isDone = killed === null;
      }
      process.stdout.write(`${name}: ${ends.length} kills, then ${countOf(ends)}\n`);
      expect(new Set(ends)).toEqual(new Set(['back', 'gone']));
    }, 1_800_000);

    if (replaces) return;
    test('loses no table that another session creates meanwhile', async () => {
      const ends: string[] = [];
      let tables = 0;
      for (let round = 0; round < RIVAL_KILLS; round++) {
        await make();
        // The faster it is, the later the drop comes to its end.
        const rival = new Rival(await connect(server), dice.below(60));
        const running = rival.run();
        // The events of a drop with a rival are not the same each time. From the first DROP on.
        const at = 1 + dice.below(120);
        const killed = await dropAndKill(at, AT_THE_GATE);
        rival.stop();
        await running;
        tables += rival.made.size;
        try {
          await settled();
          ends.push(await whatIsLeft({ ...WHOLE, ...Object.fromEntries(rival.made) }));
        } catch (error) {
          throw new Error(`killed at ${at}: ${killed?.moment} of ${killed?.text}`, {
            cause: error,
          });
        }
      }
      process.stdout.write(
        `${name}: ${RIVAL_KILLS} kills beside a rival with ${tables} tables, then ${countOf(ends)}\n`,
      );
    }, 1_800_000);

    async function make(): Promise<void> {
      for (const text of [
        `DROP DATABASE IF EXISTS ${SCHEMA}`,
        `CREATE DATABASE ${SCHEMA} CHARACTER SET utf8mb4`,
        `USE ${SCHEMA}`,
        'CREATE TABLE `a``b` (a INT PRIMARY KEY) ENGINE=InnoDB',
        'INSERT INTO `a``b` VALUES (1), (2), (3)',
        `CREATE TABLE child (a INT PRIMARY KEY, b INT, CONSTRAINT up FOREIGN KEY (b)
          REFERENCES \`a\`\`b\` (a)) ENGINE=InnoDB`,
        'INSERT INTO child VALUES (1, 1), (2, 2)',
        'CREATE TABLE ünïcode (a INT PRIMARY KEY) ENGINE=InnoDB',
        'INSERT INTO ünïcode VALUES (1)',
        'CREATE TRIGGER writes AFTER INSERT ON ünïcode FOR EACH ROW SET @written = NEW.a',
        'CREATE VIEW seen AS SELECT a FROM child',
      ]) {
        await direct.query(text);
      }
    }

    /** The event at which the proxy was killed; null: the drop came to its end. */
    async function dropAndKill(
      at: number,
      counted: readonly string[] = [''],
    ): Promise<TapEvent | null> {
      let [count, deadline] = [0, Number.POSITIVE_INFINITY];
      let killed: TapEvent | null = null;
      let proxy: ProxyProcess | null = null;
      const tap: WireTap = await wireTap(server, (event) => {
        if (event.moment !== 'before statement' && event.moment !== 'before answer') {
          return killed === null;
        }
        if (!counted.some((part) => event.command.includes(part))) return killed === null;
        count++;
        if (count < deadline) return true;
        killed = event;
        proxy?.kill('SIGKILL');
        return false;
      });
      const running = await spawnProxy(tap);
      proxy = running;
      try {
        const isReady = () => running.lines.some((line) => line['event'] === 'ledger');
        await until(isReady, 'the ledger is ready', SETTLED_MS);
        [count, deadline] = [0, at];
        const problem = await dropThrough(running);
        if (killed === null) {
          // What the rival did not let happen is put back.
          if (problem !== null) process.stdout.write(`${name}: ${problem}\n`);
          await running.stop();
        }
        await running.ended;
        return killed;
      } finally {
        await tap.close();
      }
    }

    /** What the error of an answer was; null: it was dropped, or the connection has ended. */
    async function dropThrough(proxy: ProxyProcess): Promise<string | null> {
      try {
        const client = await connect(proxy, { database: SCHEMA });
        client.on('error', () => undefined);
        try {
          await client.query('SET lock_wait_timeout = 1');
          await client.query(statement);
          return null;
        } finally {
          client.destroy();
        }
      } catch (error) {
        const { code, message } = error as { readonly code?: string; readonly message: string };
        if (code === 'PROTOCOL_CONNECTION_LOST' || code === 'ECONNRESET') return null;
        return message;
      }
    }

    /** Recovery, again and again, as a proxy has it. */
    async function settled(): Promise<void> {
      await until(
        async () => {
          await reconcile(pool, { proxyId: 'test', activeIds: new Set(), log: silentLog });
          const [rows] = await direct.query<RowDataPacket[]>(
            `SELECT id FROM _undrop.ledger
             WHERE schema_name = ? AND state IN ('intent', 'emptying', 'emptied')`,
            [SCHEMA],
          );
          return rows.length === 0;
        },
        'recovery has come to an end',
        SETTLED_MS,
      );
    }

    async function whatIsLeft(expected: Readonly<Record<string, number>>): Promise<string> {
      const [found] = await direct.query<RowDataPacket[]>(
        `SELECT 1 FROM information_schema.SCHEMATA
         WHERE SCHEMA_NAME = ? AND DEFAULT_CHARACTER_SET_NAME = 'utf8mb4'`,
        [SCHEMA],
      );
      if (found.length === 0 && !replaces)
        await direct.query(`CREATE DATABASE ${SCHEMA} CHARACTER SET utf8mb4`);
      await direct.query(`USE ${SCHEMA}`);
      if (found.length > 0) {
        const [views] = await direct.query<RowDataPacket[]>('SELECT * FROM seen');
        expect(views).toHaveLength(2);
      } else {
        expect(await rowsOf()).toEqual({});
        const [held] = await direct.query<RowDataPacket[]>(
          "SELECT id FROM _undrop.ledger WHERE schema_name = ? AND state = 'HOLD'",
          [SCHEMA],
        );
        for (const { id } of held) await restore(pool, { target: String(id) });
      }
      expect(await rowsOf()).toEqual(expected);
      const [[child]] = (await direct.query('SHOW CREATE TABLE child')) as unknown as [
        [{ readonly 'Create Table': string }],
      ];
      expect(child['Create Table']).toContain('REFERENCES `a``b` (`a`)');
      const [triggers] = await direct.query<RowDataPacket[]>('SHOW TRIGGERS');
      expect(triggers.map((row) => row['Trigger'])).toEqual(['writes']);
      return found.length > 0 ? 'back' : 'gone';
    }

    async function rowsOf(): Promise<Readonly<Record<string, number>>> {
      const [tables] = await direct.query<RowDataPacket[]>(
        `SELECT TABLE_NAME AS name FROM information_schema.TABLES
         WHERE TABLE_SCHEMA = ? AND TABLE_TYPE = 'BASE TABLE'`,
        [SCHEMA],
      );
      const counts: Record<string, number> = {};
      for (const { name: table } of tables) {
        const [[row]] = (await direct.query(
          `SELECT COUNT(*) AS n FROM \`${String(table).replaceAll('`', '``')}\``,
        )) as unknown as [[{ readonly n: number }]];
        counts[String(table)] = row.n;
      }
      return counts;
    }
  });
}

/** Creates tables, each with a row, until it is told to stop. */
class Rival {
  readonly #session: Connection;
  readonly #pauseMs: number;
  #stopped = false;
  /** Those that it was told are there, with their rows. */
  readonly made = new Map<string, number>();

  constructor(session: Connection, pauseMs: number) {
    this.#session = session;
    this.#pauseMs = pauseMs;
    session.on('error', () => undefined);
  }

  async run(): Promise<void> {
    await this.#session.query('SET lock_wait_timeout = 3');
    for (let n = 1; !this.#stopped && n <= TABLES_MAX; n++) {
      const table = `rival_${n}`;
      await this.#session.query(`DO SLEEP(${this.#pauseMs / 1_000})`);
      if (!(await this.#did(`CREATE TABLE ${SCHEMA}.${table} (a INT) ENGINE=InnoDB`))) continue;
      this.made.set(table, 0);
      // It may be held by now; then its row is not there either.
      if (await this.#did(`INSERT INTO ${SCHEMA}.${table} VALUES (1)`)) this.made.set(table, 1);
    }
    await this.#session.end();
  }

  stop(): void {
    this.#stopped = true;
  }

  async #did(text: string): Promise<boolean> {
    try {
      await this.#session.query(text);
      return true;
    } catch (error) {
      if (typeof (error as { readonly errno?: number }).errno !== 'number') throw error;
      return false;
    }
  }
}

function countOf(ends: readonly string[]): string {
  const back = ends.filter((end) => end === 'back').length;
  return `${back} back, ${ends.length - back} gone`;
}
