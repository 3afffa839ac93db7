/**
 * A TRUNCATE, a CREATE OR REPLACE of a table or a schema, or a DROP DATABASE, alone or beside a
 * session that creates tables, in the middle of which the proxy is killed, connections are cut, or
 * the service account is refused, at a statement or an answer on the wire. Afterwards everything is
 * as it was, or all is held; the client's answer is true; a proxy that lives on serves the next
 * client and finishes what was left.
 *
 * A run takes a third of a pairwise part of the cells; a long run all of it, and each event of each
 * scene with one of the faults on one of the servers.
 */
import { isDeepStrictEqual } from 'node:util';
import { describe, expect, test } from '@jest/globals';
import type { RowDataPacket } from 'mysql2/promise';
import { Dice, seededRandom } from '../support/dice.js';
import { pairwise } from '../support/pairs.js';
import { until } from '../support/poll.js';
import { sample, seedFor } from '../support/sample.js';
import { SERVER_NAMES, type ServerName } from '../support/server-set.js';
import { connect } from '../support/servers.js';
import type { TapEvent } from '../support/wire-tap.js';
import { isComplete, isMeant, nth, numbersOf } from './cells.js';
import { type Fault, type FaultRig, openFaultRig } from './fault-rig.js';
import { type End, KIN_SCENES, type KinScene, type Place, schemasOf } from './kin-scenes.js';
import { type Outcome, type Said, say } from './say-drop.js';

const KIN_FAULTS: readonly Fault[] = [
  'connection cut',
  'all connections cut',
  'account refused',
  'proxy killed',
];
/** Of a statement's events from its beginning to its end, in each of which something breaks. */
const QUARTERS = ['1', '2', '3', '4'] as const;
const SETTLED_MS = 60_000;
const PROTECT = { PROTECT: 'drop-table,drop-database,create-or-replace,truncate' };
/** Of statements that have no answer yet: the server is not done with them. */
const OURS = "INFO LIKE '%/* undrop %'";

/** A part of a statement, and what happens in it. */
type Kind = {
  readonly server: ServerName;
  readonly scene: string;
  readonly fault: Fault;
  readonly quarter: (typeof QUARTERS)[number];
};

interface Cell {
  readonly name: string;
  readonly fault: Fault;
  /** Which of the events, from 1. */
  readonly nr: number;
}

describe.each(SERVER_NAMES)(
  'the kin of a drop, in the middle of which something breaks, on %s',
  (name) => {
    test('leaves all as it was, or all held, whatever breaks and wherever', async () => {
      const cells = new Cells(name);
      try {
        await cells.open();
        await cells.run();
        expect(cells.failures).toEqual([]);
      } finally {
        await cells.close();
      }
    }, 14_400_000);
  },
);

class Cells {
  readonly failures: string[] = [];
  readonly #name: ServerName;
  readonly #ends = new Map<string, number>();
  #rig: FaultRig | null = null;

  constructor(name: ServerName) {
    this.#name = name;
  }

  async open(): Promise<void> {
    this.#rig = await openFaultRig(this.#name, PROTECT);
  }

  async close(): Promise<void> {
    await this.#rig?.close();
  }

  async run(): Promise<void> {
    const pairs = pairsOfRun();
    const kinds = (isComplete ? allKinds() : pairs).filter(({ server }) => server === this.#name);
    for (const scene of KIN_SCENES) {
      const ofScene = kinds.filter((kind) => kind.scene === scene.title);
      if (ofScene.length === 0) continue;
      const events = scene.events ?? (await this.#countEvents(scene));
      const cells = ofScene.flatMap((kind) => cellsOf(kind, events, pairs)).filter(isMeant);
      for (const cell of cells) await this.#strike(scene, cell);
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
    return seen.filter(isCounted(scene, null)).length;
  }

  async #strike(scene: KinScene, { name, fault, nr }: Cell): Promise<void> {
    const rig = this.#there;
    let leave: () => void = () => undefined;
    try {
      await scene.make(this.#place);
      const stop = (await scene.meanwhile?.(this.#place)) ?? (async () => undefined);
      rig.arm(fault, nth(nr, isCounted(scene, fault)));
      const said = await this.#say(scene);
      ({ leave } = said);
      await stop();
      // What follows the answer is struck as well.
      await this.#settled({ orStruck: true });
      const { struck } = rig.disarm();
      const live = await this.#liveBefore(scene, struck === null ? null : fault);
      await rig.mend();
      await this.#settled();
      // What lives is renamed by no proxy that comes.
      if (live !== null) expect(await scene.live?.(this.#place)).toBe(live);
      this.#check(scene, said.outcome, struck, await scene.end(this.#place));
      await using next = await connect(rig.proxy, { database: rig.schema });
      await next.query('SELECT 1');
    } catch (error) {
      const where = `${rig.struck?.moment} of ${rig.struck?.command.toString('latin1', 0, 400)}`;
      const why = error instanceof Error ? (error.stack ?? error.message) : String(error);
      this.failures.push(`${name}, ${where}: ${why}`);
      process.stdout.write(`${this.failures.at(-1)}\n`);
      await this.close();
      await this.open();
    } finally {
      leave();
    }
  }

  /** What a proxy that comes finds, where no other is there. */
  async #liveBefore({ live }: KinScene, fault: Fault | null): Promise<string | null> {
    if (live === undefined || fault !== 'proxy killed') return null;
    await until(async () => (await this.#busy()) === 0, 'the sessions are gone', SETTLED_MS);
    return live(this.#place);
  }

  #check(scene: KinScene, outcome: Outcome, struck: TapEvent | null, end: End): void {
    const isUnknown =
      outcome.kind === 'error' && /^UNDROP_(FATE_UNKNOWN|KEYS_LEFT)/.test(outcome.message);
    const found = { outcome, end };
    if (struck === null && scene.meanwhile === undefined) expect(outcome.kind).toBe('ok');
    if (outcome.kind === 'ok') expect(found).toEqual({ outcome, end: 'done' });
    if (outcome.kind === 'error' && !isUnknown) expect(found).toEqual({ outcome, end: 'whole' });
    // Who does not answer has not told the client that anything is there.
    if (end === 'between') expect(['lost', 'error']).toContain(outcome.kind);
    const said = isUnknown ? 'unknown' : outcome.kind;
    const key = `${said}/${end}`;
    this.#ends.set(key, (this.#ends.get(key) ?? 0) + 1);
  }

  #say(scene: KinScene): Promise<Said> {
    return say(this.#there, scene.texts(this.#there.schema));
  }

  async #settled({ orStruck = false } = {}): Promise<void> {
    const { schema } = this.#there;
    let looks = 0;
    const isSettled = async () => {
      if (orStruck && this.#there.struck !== null) return true;
      const busy = await this.#busy();
      const [rows] = await this.#there.direct.query<RowDataPacket[]>(
        `SELECT id FROM _undrop.ledger WHERE schema_name IN (?)
         AND (state IN ('intent', 'emptying', 'emptied', 'dropping')
              OR state = 'HOLD' AND NOT relocated)`,
        [schemasOf(schema)],
      );
      // What it wrote last has its answer, too, by the next look.
      looks = busy === 0 && rows.length === 0 ? looks + 1 : 0;
      return looks > 1;
    };
    await until(isSettled, 'intents are settled and pending relocations are done', SETTLED_MS);
  }

  async #busy(): Promise<number> {
    const [busy] = await this.#there.direct.query<RowDataPacket[]>(
      `SELECT ID FROM information_schema.PROCESSLIST WHERE ID <> CONNECTION_ID() AND ${OURS}`,
    );
    return busy.length;
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

/** A proxy is killed as the server works as well. */
function isCounted({ counts }: KinScene, fault: Fault | null): (event: TapEvent) => boolean {
  return (event) => {
    const { moment } = event;
    const isSent = moment === 'after statement' && fault === 'proxy killed';
    const isMoment = moment === 'before statement' || moment === 'before answer' || isSent;
    return isMoment && (counts === undefined || counts(event));
  };
}

/** A quarter of the pairs, with each value in one of them at least; in a long run all. */
function pairsOfRun(): readonly Kind[] {
  const pairs = pairwise(allKinds(), diceOf('kinds'));
  return sample(pairs, { name: 'kinds', share: 0.25, kind: (kind) => Object.values(kind) });
}

/** Those of all servers. */
function allKinds(): readonly Kind[] {
  return SERVER_NAMES.flatMap((server) =>
    KIN_SCENES.filter(({ on }) => on.test(server)).flatMap(({ title: scene, faults }) =>
      (faults ?? KIN_FAULTS).flatMap((fault) =>
        QUARTERS.map((quarter) => ({ server, scene, fault, quarter })),
      ),
    ),
  );
}

function cellsOf(kind: Kind, events: number, pairs: readonly Kind[]): readonly Cell[] {
  const { server, scene, fault, quarter } = kind;
  const count = fault === 'proxy killed' ? Math.ceil(events * 1.5) : events;
  const size = Math.ceil(count / QUARTERS.length);
  const begin = size * QUARTERS.indexOf(quarter);
  const there = allKinds().filter((one) => one.scene === scene && one.quarter === quarter);
  const isPicked = pairs.some((pair) => isDeepStrictEqual(pair, kind));
  const numbers = numbersOf({
    title: scene,
    events: size,
    turn: there.findIndex((one) => isDeepStrictEqual(one, kind)),
    faults: there.length,
    picked: isPicked ? 1 + diceOf(Object.values(kind).join()).below(size) : null,
  }).map((nr) => begin + nr);
  return numbers.map((nr) => ({ fault, nr, name: `${server} / ${scene} / ${fault} / ${nr}` }));
}

function diceOf(name: string): Dice {
  return new Dice(seededRandom(seedFor(name)));
}
