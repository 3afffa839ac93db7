/**
 * A TRUNCATE, a CREATE OR REPLACE, a DROP or TRUNCATE PARTITION or a DROP DATABASE, in the middle
 * of which the proxy is killed, connections are cut, or the service account is refused, at a
 * statement or an answer on the wire.
 * Afterwards everything is as it was, or all is held; the client's answer is true; who lives on
 * serves the next client and finishes what was left.
 *
 * Every run takes KIN_FAULTS_EACH (1) of each scene, fault and server, by KIN_FAULTS_SEED (1);
 * KIN_FAULTS=all takes each event in turn, KIN_FAULTS_EVERY (1) of them; KIN_FAULTS_ONLY is a
 * pattern of cells, as a failure names them.
 */
import { describe, expect, test } from '@jest/globals';
import type { Connection, RowDataPacket } from 'mysql2/promise';
import { Dice, seededRandom } from '../support/dice.js';
import { until } from '../support/poll.js';
import { connect } from '../support/servers.js';
import type { TapEvent } from '../support/wire-tap.js';
import { type Fault, type FaultRig, openFaultRig } from './fault-rig.js';
import { type End, KIN_SCENES, type KinScene, type Place, schemasOf } from './kin-scenes.js';
import { type Outcome, outcomeOf } from './say-drop.js';

const KIN_FAULTS: readonly Fault[] = [
  'connection cut',
  'all connections cut',
  'account refused',
  'proxy killed',
];

const EACH = Number(process.env['KIN_FAULTS_EACH'] ?? '1');
const EVERY = Number(process.env['KIN_FAULTS_EVERY'] ?? '1');
const SEED = Number(process.env['KIN_FAULTS_SEED'] ?? '1');
const ONLY = new RegExp(process.env['KIN_FAULTS_ONLY'] ?? '');
const SETTLED_MS = 60_000;
const PROTECT = { PROTECT: 'drop-table,drop-database,create-or-replace,truncate,drop-partition' };
/** Reaching it means that it never came to its end. */
const EVENTS_MAX = 600;
/** Of statements that have no answer yet: the server is not done with them. */
const OURS = "INFO LIKE '%/* undrop %'";

/** The test on one server of the set. */
export function kinFaults(name: string): void {
  describe(`the kin of a drop, in the middle of which something breaks, on ${name}`, () => {
    test('leaves all as it was, or all held, whatever breaks and wherever', async () => {
      const cells = new Cells(name);
      try {
        await cells.open();
        await cells.run();
        expect(cells.failures).toEqual([]);
      } finally {
        await cells.close();
      }
    }, 7_200_000);
  });
}

class Cells {
  readonly failures: string[] = [];
  readonly #name: string;
  readonly #ends = new Map<string, number>();
  #rig: FaultRig | null = null;

  constructor(name: string) {
    this.#name = name;
  }

  async open(): Promise<void> {
    this.#rig = await openFaultRig(this.#name, PROTECT);
  }

  async close(): Promise<void> {
    await this.#rig?.close();
  }

  async run(): Promise<void> {
    const dice = new Dice(seededRandom(SEED));
    const isWhole = process.env['KIN_FAULTS'] === 'all';
    for (const scene of KIN_SCENES.filter(({ on }) => on.test(this.#name))) {
      const events = await this.#countEvents(scene);
      for (const fault of KIN_FAULTS) {
        const chosen = Array.from({ length: EACH }, () => 1 + dice.below(events));
        const first = 1 + dice.below(EVERY);
        for (let at = isWhole ? first : 0; at < EVENTS_MAX; at += EVERY) {
          const place = isWhole ? at : chosen[at / EVERY];
          if (place === undefined || !(await this.#cell(scene, fault, place))) break;
        }
      }
      const ends = [...this.#ends].map(([end, count]) => `${count} ${end}`).join(', ');
      process.stdout.write(`${this.#name}: ${scene.title}, ${events} events; ${ends}\n`);
      this.#ends.clear();
    }
  }

  /** Events of one that comes to its end, as they are counted. */
  async #countEvents(scene: KinScene): Promise<number> {
    const rig = this.#there;
    await scene.make(this.#place);
    rig.arm(null, () => false);
    const { outcome, leave } = await this.#say(scene);
    await this.#settled();
    leave();
    expect(outcome).toEqual({ kind: 'ok' });
    const { seen } = rig.disarm();
    expect(await scene.end(this.#place)).toBe('done');
    return seen.filter(isCounted).length;
  }

  /** False where nothing struck: it came to its end before. */
  async #cell(scene: KinScene, fault: Fault, at: number): Promise<boolean> {
    const name = `${scene.title} / ${fault} / ${at}`;
    if (!ONLY.test(name)) return true;
    const rig = this.#there;
    let leave: () => void = () => undefined;
    try {
      await scene.make(this.#place);
      let count = 0;
      rig.arm(fault, (event) => isCounted(event) && ++count === at);
      const said = await this.#say(scene);
      ({ leave } = said);
      // What follows the answer is struck as well.
      await this.#settled({ orStruck: true });
      const { struck } = rig.disarm();
      await rig.mend();
      await this.#settled();
      this.#check(said.outcome, struck, await scene.end(this.#place));
      const next = await connect(rig.proxy, { database: rig.schema });
      await next.query('SELECT 1');
      await next.end();
      return struck !== null;
    } catch (error) {
      const where = `${rig.struck?.moment} of ${rig.struck?.command.toString('latin1', 0, 400)}`;
      const why = error instanceof Error ? (error.stack ?? error.message) : String(error);
      this.failures.push(`${name}, ${where}: ${why}`);
      process.stdout.write(`${this.#name}: ${this.failures.at(-1)}\n`);
      await this.close();
      await this.open();
      return true;
    } finally {
      leave();
    }
  }

  #check(outcome: Outcome, struck: TapEvent | null, end: End): void {
    const isUnknown = outcome.kind === 'error' && /^UNDROP_FATE_UNKNOWN/.test(outcome.message);
    const found = { outcome, end };
    if (struck === null || outcome.kind === 'ok') {
      expect(found).toEqual({ outcome: { kind: 'ok' }, end: 'done' });
    }
    if (outcome.kind === 'error' && !isUnknown) expect(found).toEqual({ outcome, end: 'whole' });
    // Who does not answer has not told the client that anything is there.
    if (end === 'between') expect(['lost', 'error']).toContain(outcome.kind);
    const said = isUnknown ? 'unknown' : outcome.kind;
    const key = `${said}/${end}`;
    this.#ends.set(key, (this.#ends.get(key) ?? 0) + 1);
  }

  async #say(scene: KinScene): Promise<{ readonly outcome: Outcome; leave(): void }> {
    const { proxy, schema } = this.#there;
    let client: Connection | null = null;
    const outcome = await outcomeOf(async () => {
      client = await connect(proxy, { database: schema });
      client.on('error', () => undefined);
      for (const text of scene.texts(schema)) await client.query(text);
    });
    return { outcome, leave: () => client?.destroy() };
  }

  async #settled({ orStruck = false } = {}): Promise<void> {
    const { direct, schema } = this.#there;
    let looks = 0;
    const isSettled = async () => {
      if (orStruck && this.#there.struck !== null) return true;
      const [busy] = await direct.query<RowDataPacket[]>(
        `SELECT ID FROM information_schema.PROCESSLIST WHERE ID <> CONNECTION_ID() AND ${OURS}`,
      );
      const [rows] = await direct.query<RowDataPacket[]>(
        `SELECT id FROM _undrop.ledger WHERE schema_name IN (?)
         AND (state IN ('intent', 'emptying', 'emptied') OR state = 'HOLD' AND NOT relocated)`,
        [schemasOf(schema)],
      );
      // What it wrote last has its answer, too, by the next look.
      looks = busy.length === 0 && rows.length === 0 ? looks + 1 : 0;
      return looks > 1;
    };
    await until(isSettled, 'intents are settled and debts are paid', SETTLED_MS);
  }

  get #place(): Place {
    const { direct, pool, schema } = this.#there;
    return { direct, pool, schema };
  }

  get #there(): FaultRig {
    if (this.#rig === null) throw new Error('the rig is not open');
    return this.#rig;
  }
}

function isCounted({ moment }: TapEvent): boolean {
  return moment === 'before statement' || moment === 'before answer';
}
