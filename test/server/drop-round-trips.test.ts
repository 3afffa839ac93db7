/**
 * What a DROP TABLE costs between proxy and server, counted by a tap on the wire: how many round
 * trips one after another until the client has its answer, and which statements. The same on a
 * server that has many tables with foreign keys.
 *
 * KEYED_TABLES is how many of these; making 2,000 takes minutes.
 */
import * as com from '../../src/wire/commands.js';
import { freshLedger } from '../support/fresh-ledger.js';
import { onServers } from '../support/on-servers.js';
import { RawClient } from '../support/raw-client.js';
import { intentsSettled } from '../support/settled.js';
import { type TapEvent, wireTap } from '../support/wire-tap.js';

const KEYED_TABLES = Number(process.env['KEYED_TABLES'] ?? '200');

/** Into some of them a periodic statement may fall. */
const TRIES = 10;
/** Children of one parent: natively each one more takes longer to make. */
const FAMILY = 20;

/** From the client's statement to its answer. */
type Cost = ReturnType<DropMeter['stop']>;

/**
 * Follows statements and answers on all connections of a proxy.
 *
 * Invariant: an answer on any connection counts as a reason for what is sent after it, so there are
 * never more round trips than it says.
 */
class DropMeter {
  #isOn = false;
  /** How many answers, one after another, are behind what is sent now. */
  #depth = 0;
  #deepest = 0;
  /** Of each connection: the depths of what has no answer yet. */
  readonly #open = new Map<number, number[]>();
  readonly #commands: Buffer[] = [];

  see({ moment, connection, command }: TapEvent): boolean {
    if (!this.#isOn || isBehindTheAnswer(command)) return true;
    const open = this.#open.get(connection) ?? [];
    this.#open.set(connection, open);
    if (moment === 'before statement') {
      this.#commands.push(command);
      // It has no answer.
      if (command[0] === com.COM_STMT_CLOSE) return true;
      open.push(this.#depth + 1);
      this.#deepest = Math.max(this.#deepest, this.#depth + 1);
    }
    if (moment === 'after answer') this.#depth = Math.max(this.#depth, open.shift() ?? 0);
    return true;
  }

  start(): void {
    this.#isOn = true;
    [this.#depth, this.#deepest] = [0, 0];
    this.#open.clear();
    this.#commands.length = 0;
  }

  stop() {
    this.#isOn = false;
    const texts = this.#commands
      .filter((command) => command[0] === com.COM_QUERY)
      .flatMap((command) => command.toString('latin1', 1).split(/;\n|^/m))
      .map((text) => text.trim());
    return {
      /** One after another: each sent when the answer to another was there. */
      roundTrips: this.#deepest,
      /** Statements that change the schema; those that write rows, each of them a transaction. */
      changes: texts.filter((text) => /^(ALTER|CREATE|DROP|RENAME|TRUNCATE)\b/.test(text)),
      writes: texts.filter((text) => /^(INSERT|UPDATE|DELETE|REPLACE|COMMIT)\b/.test(text)),
      statements: this.#commands.length,
    };
  }
}

/**
 * The outcome is written when the client has its answer, or about to; and nobody waits for a look
 * whether another statement waits, unless it does.
 */
function isBehindTheAnswer(command: Buffer): boolean {
  return /undrop (outcome|define|forget|waits|history)/.test(command.toString('latin1'));
}

onServers('round trips of a drop on $name', (server, on) => {
  const { beforeAll, test } = on;
  const meter = new DropMeter();
  // A proxy's start is busy with what others have left.
  beforeAll(() => freshLedger(server));
  const root = on.session({ multipleStatements: true });
  const schema = on.schema('trips');
  const tap = on.open(() => wireTap(server, (event) => meter.see(event)));
  const proxy = on.proxy({}, { upstream: tap });

  /** Of a drop on connections that are open already: the first ones asked what doesn't change. */
  async function costOf(text: string, tables: readonly string[]): Promise<Cost> {
    await using client = await RawClient.open(proxy, { schema: schema.name });
    const make = async () => {
      for (const table of tables) await root.query(`CREATE TABLE ${schema.name}.${table} (id INT)`);
    };
    let cost: Cost | null = null;
    for (let times = 0; times < TRIES; times++) {
      await make();
      meter.start();
      const { results } = await client.query(text);
      const measured = meter.stop();
      // The meter may count too many, beside another statement, but never too few.
      if (cost === null || isLess(measured, cost)) cost = measured;
      expect(results).toMatchObject([{ kind: 'ok', warnings: 0 }]);
      await intentsSettled(root, [schema.name]);
    }
    if (cost === null) throw new Error('nothing was dropped');
    return cost;
  }

  const isLess = (one: Cost, other: Cost) =>
    one.roundTrips === other.roundTrips
      ? one.statements < other.statements
      : one.roundTrips < other.roundTrips;

  const words = (texts: readonly string[]) => texts.map((text) => text.split(' ')[0]);

  const expectPlain = ({ roundTrips, changes, writes }: Cost, tables: number) => {
    const asked = Array.from({ length: tables }, () => 'ALTER');
    expect(words(changes)).toEqual([...asked, 'RENAME']);
    // The service connection that renames owns the intents.
    expect(words(writes)).toEqual(['INSERT', 'UPDATE']);
    expect(roundTrips).toBeLessThanOrEqual(3 + tables);
  };

  test('a drop of one table takes four round trips, one RENAME and two commits to its answer', async () => {
    expectPlain(await costOf('DROP TABLE one', ['one']), 1);
  });

  test('so does one of four tables', async () => {
    expectPlain(await costOf('DROP TABLE a, b, c, d', ['a', 'b', 'c', 'd']), 4);
  });

  test(`so does one on a server with ${KEYED_TABLES} tables with foreign keys`, async () => {
    const before = await costOf('DROP TABLE one', ['one']);
    await root.query(`USE ${schema.name}`);
    for (let made = 0; made < KEYED_TABLES; made += FAMILY) {
      const children = Array.from({ length: FAMILY }, (_, index) => {
        const key = `FOREIGN KEY (id) REFERENCES parent_${made} (id)`;
        return `CREATE TABLE child_${made + index} (id INT, ${key})`;
      });
      const texts = [`CREATE TABLE parent_${made} (id INT PRIMARY KEY)`, ...children];
      await root.query(texts.join('; '));
    }
    const cost = await costOf('DROP TABLE one', ['one']);
    expectPlain(cost, 1);
    expect(cost.statements).toBe(before.statements);
  });
});
