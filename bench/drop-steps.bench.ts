/**
 * Where the milliseconds of a drop go: a table of 100 rows is dropped through the proxy, with a tap
 * on all its connections to the server, in turns with native drops. Each statement is listed with
 * its times since the client sent the DROP, and with what undrop needed before it, since the last
 * answer. The tap is slower than a wire, so the sums are larger than without it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Connection } from 'mysql2/promise';
import * as com from '../src/wire/commands.js';
import { spawnProxy } from '../test/support/proxy.js';
import { SERVER_NAMES } from '../test/support/server-set.js';
import { connect, startServer } from '../test/support/servers.js';
import { type TapEvent, wireTap } from '../test/support/wire-tap.js';
import { machineLoad, report, spread } from './report.js';

const NAMES = (process.env['BENCH_SERVERS'] ?? SERVER_NAMES.join(',')).split(',');
const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? '50');
/** The first ones open connections, and compile. */
const WARM_UP = 5;
const ROWS = 100;
/** What undrop does behind its answer is over. */
const BEHIND_MS = 100;
const VALUES = Array.from({ length: ROWS }, (_, id) => `(${id})`).join(',');

interface Statement {
  readonly name: string;
  readonly sentMs: number;
  /** Since the last answer, or since the client's statement; 0: together with another. */
  readonly beforeMs: number;
  /** Null: it has no answer. */
  answeredMs: number | null;
}

/** Follows the statements of one drop after another. */
class Steps {
  readonly #drops: Statement[][] = [];
  readonly #open = new Map<number, Statement[]>();
  #now: Statement[] | null = null;
  #startMs = 0;
  #lastMs = 0;

  begin(): void {
    this.#now = [];
    this.#open.clear();
    this.#startMs = performance.now();
    this.#lastMs = 0;
  }

  end(): void {
    if (this.#now !== null) this.#drops.push(this.#now);
    this.#now = null;
  }

  see({ moment, connection, command, user }: TapEvent): boolean {
    if (this.#now === null) return true;
    const atMs = performance.now() - this.#startMs;
    const open = this.#open.get(connection) ?? [];
    this.#open.set(connection, open);
    if (moment === 'before statement') {
      const name = `${user === 'client' ? 'U' : 'S'}: ${nameOf(command)}`;
      const statement = { name, sentMs: atMs, beforeMs: atMs - this.#lastMs, answeredMs: null };
      this.#lastMs = atMs;
      this.#now.push(statement);
      if (command[0] !== com.COM_STMT_CLOSE) open.push(statement);
    }
    if (moment === 'after answer') {
      const statement = open.shift();
      if (statement !== undefined) statement.answeredMs = atMs;
      this.#lastMs = atMs;
    }
    return true;
  }

  /** The medians of those that most drops have, in the order in which they are sent. */
  table(): readonly (readonly string[])[] {
    const all = new Map<string, Statement[]>();
    for (const drop of this.#drops) {
      const seen = new Map<string, number>();
      for (const one of drop) {
        const count = (seen.get(one.name) ?? 0) + 1;
        seen.set(one.name, count);
        const key = count === 1 ? one.name : `${one.name} (${count})`;
        all.set(key, [...(all.get(key) ?? []), one]);
      }
    }
    const median = (list: readonly Statement[], of: (one: Statement) => number) =>
      spread(list.map(of)).median;
    return [...all]
      .filter(([, list]) => 2 * list.length > this.#drops.length)
      .map(([name, list]) => ({ name, list, sentMs: median(list, ({ sentMs }) => sentMs) }))
      .sort((one, other) => one.sentMs - other.sentMs)
      .map(({ name, list, sentMs }) => {
        const answered = list.filter(({ answeredMs }) => answeredMs !== null);
        const of = (figure: (one: Statement) => number) =>
          answered.length === 0 ? '–' : median(answered, figure).toFixed(1);
        return [
          name,
          median(list, ({ beforeMs }) => beforeMs).toFixed(1),
          sentMs.toFixed(1),
          of(({ answeredMs }) => answeredMs ?? 0),
          of(({ answeredMs, sentMs: sent }) => (answeredMs ?? 0) - sent),
        ];
      });
  }
}

const rows: string[][] = [];
const loadBefore = machineLoad();
for (const name of NAMES) await measure(name);
report({
  title: 'The steps of a drop',
  how:
    `A table of ${ROWS} rows, ${ROUNDS} rounds in turns, medians in ms since the client sent its ` +
    'statement; the server has its binary log as by default, connections are open. Statements that ' +
    'undrop sends behind its answer are left out. U: the session of the user, S: the service. ' +
    `Load before: ${loadBefore}.`,
  columns: ['server', 'statement', 'undrop before it', 'sent', 'answered', 'the server, ms'],
  rows,
});

async function measure(name: string): Promise<void> {
  const server = await startServer(name, ['--innodb-buffer-pool-size=512M']);
  const steps = new Steps();
  const tap = await wireTap(server, (event) => steps.see(event));
  const root = await connect(server, { multipleStatements: true });
  await root.query(
    "CREATE DATABASE timed; USE timed; CREATE USER client@'%' IDENTIFIED BY 'secret'; " +
      "GRANT ALL ON timed.* TO client@'%'",
  );
  const user = { user: 'client', password: 'secret' };
  const proxy = await spawnProxy(tap, { HOLD: '1d', COLLECT: 'off', WORKERS: '1' });
  const [native, held] = [
    await connect({ ...server, ...user }, { database: 'timed' }),
    await connect({ ...proxy, ...user }, { database: 'timed' }),
  ];
  try {
    const [nativeMs, heldMs]: [number[], number[]] = [[], []];
    for (let round = -WARM_UP; round < ROUNDS; round++) {
      const plain = await timedDrop(root, native);
      const ms = await timedDrop(root, held, round < 0 ? null : steps);
      await sleep(BEHIND_MS);
      if (round < 0) continue;
      nativeMs.push(plain);
      heldMs.push(ms);
    }
    const median = (all: readonly number[]) => spread(all).median.toFixed(1);
    rows.push(
      ...steps.table().map((step) => [name, ...step]),
      [name, '**answered**', '', '', median(heldMs), ''],
      [name, '**native**', '', '', median(nativeMs), ''],
    );
  } finally {
    for (const connection of [native, held, root]) await connection.end();
    await proxy.stop();
    await tap.close();
    await server.stop();
  }
}

async function timedDrop(
  root: Connection,
  client: Connection,
  steps: Steps | null = null,
): Promise<number> {
  await root.query(`CREATE TABLE small (id INT PRIMARY KEY); INSERT INTO small VALUES ${VALUES}`);
  steps?.begin();
  const startMs = performance.now();
  await client.query('DROP TABLE small');
  const ms = performance.now() - startMs;
  steps?.end();
  return ms;
}

/** The first words, and undrop's own note, which says what the statement is for. */
function nameOf(command: Buffer): string {
  if (command[0] === com.COM_STMT_PREPARE) return 'COM_STMT_PREPARE';
  if (command[0] === com.COM_STMT_CLOSE) return 'COM_STMT_CLOSE';
  if (command[0] !== com.COM_QUERY) return `command ${command[0]}`;
  const text = command.toString('latin1', 1);
  if (/^\W*undrop_[0-9a-f]+/.test(text)) return 'marker';
  const [, step = null] = /undrop (\w+)/.exec(text) ?? [];
  const [, verb = ''] = /^\W*(?:SET [^;]*;\s*)*(\w+(?: \w+)?)/.exec(text) ?? [];
  const kib = (command.length / 1_024).toFixed(1);
  return `${verb}${step === null ? '' : ` (${step})`}, ${kib} kB`;
}
