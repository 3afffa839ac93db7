/**
 * The matrix of faults: at a statement or an answer on the wire of a drop, a TRUNCATE, a CREATE OR
 * REPLACE or a DROP DATABASE (scenes.ts, kin-scenes.ts) the proxy or the server is killed,
 * connections are cut, or the service account is refused. Afterwards everything is as it was, or
 * held and restored whole, or was torn by the server, and recovery says so; the client's answer is
 * true; a proxy that lives on serves the next client and finishes what was left.
 *
 * A run takes some of the events of each scene on each server, always the same; a long run strikes
 * one of forty with one of the faults, and its seed says which: all of them would take half a day.
 */
import { isLong, sample, seedFor } from '../support/sample.js';
import { SERVER_NAMES, type ServerName } from '../support/server-set.js';
import { connect } from '../support/servers.js';
import type { TapEvent, TapMoment } from '../support/wire-tap.js';
import { isMeant, isNamed, nth } from './cells.js';
import { FAULTS, type Fault, type FaultRig, openFaultRig } from './fault-rig.js';
import { KIN_SCENES } from './kin-scenes.js';
import { type Outcome, say } from './say-drop.js';
import { DROPPER, type End, SCENES_OF_DROP, type Scene, six } from './scenes.js';

const SCENES = [...SCENES_OF_DROP, ...KIN_SCENES];
/** Of each scene on each server, in a run that is not long. */
const CELLS = 2;
/** In a long run, of most scenes. */
const EVENTS_FOR_ONE_STRUCK = 40;
const PROTECT = { PROTECT: 'drop-table,drop-database,create-or-replace,truncate' };
/** The tables may be held behind such an error. */
const IS_OPEN = /^UNDROP_(FATE_UNKNOWN|KEYS_LEFT)/;
/** Of one scene on one server. */
const LONGEST_MS = isNamed ? 14_400_000 : 900_000;

/** An event of a scene: the `nr`th, from 1, of that moment and that step. */
type Spot = { readonly moment: TapMoment; readonly step: string; readonly nr: number };

type Cell = Spot & { readonly fault: Fault; readonly name: string };

describe.each(SERVER_NAMES)('what breaks in the middle of a drop or its kin, on %s', (name) => {
  let matrix: Matrix;

  beforeAll(async () => {
    matrix = new Matrix(name);
    await matrix.open();
  }, 120_000);

  afterAll(() => matrix.close());

  test.each(SCENES.filter(({ on = /./ }) => on.test(name)))(
    '$title leaves all as it was, or held, whatever breaks and wherever',
    async (scene) => expect(await matrix.strikeAll(scene)).toEqual([]),
    LONGEST_MS,
  );

  // Another run of a scene may have fewer events, but not all the time.
  test('faults have struck', () => {
    if (!isNamed) expect(matrix.struck).toBeGreaterThan(SCENES.length / 2);
  });
});

class Matrix {
  readonly #name: ServerName;
  /** How many faults. */
  struck = 0;
  #rig: FaultRig | null = null;

  constructor(name: ServerName) {
    this.#name = name;
  }

  async open(): Promise<void> {
    const rig = await openFaultRig(this.#name, PROTECT);
    this.#rig = rig;
    await rig.direct.run(
      `CREATE USER ${DROPPER}@'%'`,
      `GRANT DROP ON ${rig.schema}.* TO ${DROPPER}@'%'`,
    );
  }

  async close(): Promise<void> {
    await this.#rig?.close();
  }

  /** What is wrong, of each cell. */
  async strikeAll(scene: Scene): Promise<readonly string[]> {
    const spots = await this.#spotsOf(scene);
    const failures: string[] = [];
    const ends: string[] = [];
    for (const cell of cellsOf(this.#name, scene, spots)) {
      try {
        ends.push(await this.#strike(scene, cell));
      } catch (error) {
        const { struck } = this.#there;
        const where = `${struck?.moment} of ${struck?.command.toString('latin1', 0, 400)}`;
        const why = error instanceof Error ? (error.stack ?? error.message) : String(error);
        failures.push(`${cell.name}, ${where}: ${why}`);
        process.stdout.write(`${failures.at(-1)}\n`);
        await this.#reopen();
      }
    }
    const counts = [...new Set(ends)].map(
      (end) => `${ends.filter((one) => one === end).length} ${end}`,
    );
    process.stdout.write(`${this.#name}: ${scene.title}, ${spots.length} events; ${counts}\n`);
    return failures;
  }

  /** The events of one that comes to its end. */
  async #spotsOf(scene: Scene): Promise<readonly Spot[]> {
    const rig = this.#there;
    await scene.make(rig);
    const stop = await scene.meanwhile?.(rig);
    rig.arm(null, () => false);
    const { outcome, leave } = await this.#say(scene);
    await stop?.();
    await this.#settled();
    leave();
    const { seen } = rig.disarm();
    const end = await scene.end(rig, null);
    if (stop === undefined) expect([outcome, end]).toEqual([{ kind: 'ok' }, 'done']);
    const counts = new Map<string, number>();
    return seen
      .filter((event) => scene.counts?.(event) ?? true)
      .map((event) => {
        const spot = { moment: event.moment, step: stepOf(event) };
        const key = `${spot.moment} of ${spot.step}`;
        counts.set(key, (counts.get(key) ?? 0) + 1);
        return { ...spot, nr: counts.get(key) ?? 1 };
      });
  }

  /** How it ended; `not struck`: before that event. */
  async #strike(scene: Scene, { fault, moment, step, nr }: Cell): Promise<string> {
    const rig = this.#there;
    let leave: () => void = () => undefined;
    try {
      await scene.make(rig);
      const stop = await scene.meanwhile?.(rig);
      const isAt = nth(nr, (event) => event.moment === moment && stepOf(event) === step);
      rig.arm(fault, (event) => (scene.counts?.(event) ?? true) && isAt(event));
      const said = await this.#say(scene);
      ({ leave } = said);
      await stop?.();
      // What follows the answer is struck as well.
      await this.#settled({ orStruck: true });
      const isStruck = rig.disarm().struck !== null;
      if (isStruck) this.struck++;
      if (!isStruck && stop === undefined) expect(said.outcome).toEqual({ kind: 'ok' });
      const end = await this.#endOf(scene, said, isStruck ? fault : null);
      await using next = await connect(rig.proxy, { database: rig.schema });
      await next.query('SELECT 1');
      if (end === 'torn') await this.#reopen();
      return isStruck ? `${said.outcome.kind}/${end}` : `not struck/${end}`;
    } finally {
      leave();
    }
  }

  async #endOf(scene: Scene, said: Awaited<ReturnType<typeof say>>, fault: Fault | null) {
    const rig = this.#there;
    const { outcome, leave } = said;
    const isLost = outcome.kind === 'lost';
    const isKilled = fault === 'proxy killed';
    if (fault !== 'server killed') await rig.ended({ isLost, isKilled });
    // What a proxy that comes finds, where no other is there.
    const early = isKilled ? await scene.live?.(rig) : undefined;
    await rig.mend();
    await rig.ended({ isLost, isKilled: false });
    const live = early ?? (scene.resumes ? undefined : await scene.live?.(rig));
    // A session that could not be asked for its locks keeps them, and with them the held tables.
    if (scene.locks && outcome.kind === 'ok') leave();
    await this.#settled();
    if (live !== undefined) expect(await scene.live?.(rig)).toBe(live);
    // A drop that failed under LOCK TABLES leaves the session with its locks.
    leave();
    const end = await scene.end(rig, fault);
    expectTrue(scene, { outcome, end, server: this.#name });
    return end;
  }

  #say(scene: Scene) {
    return say(this.#there, scene.texts(this.#there.schema), scene.as);
  }

  async #settled(how: { readonly orStruck?: boolean } = {}): Promise<void> {
    const rig = this.#there;
    await rig.settled({ ...how, schemas: [rig.schema, six(rig)] });
  }

  async #reopen(): Promise<void> {
    await this.close();
    await this.open();
  }

  get #there(): FaultRig {
    if (this.#rig === null) throw new Error('the matrix is not open');
    return this.#rig;
  }
}

type Ended = { readonly outcome: Outcome; readonly end: End; readonly server: string };

/** The client's answer is true; who was not answered was not told that anything is there. */
function expectTrue({ inTurnOn }: Scene, { outcome, end, server }: Ended): void {
  const found = { outcome, end };
  if (outcome.kind === 'ok') return expect(found).toEqual({ outcome, end: 'done' });
  const isOpen = outcome.kind === 'lost' || end === 'torn' || IS_OPEN.test(outcome.message);
  if (!isOpen && inTurnOn?.test(server) !== true) expect(found).toEqual({ outcome, end: 'whole' });
}

/** The note of undrop's statement, or whose it is. */
function stepOf({ command }: TapEvent): string {
  const text = command.toString('latin1');
  return /\/\* undrop ([a-z-]+)/.exec(text)?.[1] ?? (text === 'login' ? text : 'the client');
}

function cellsOf(server: ServerName, scene: Scene, spots: readonly Spot[]): readonly Cell[] {
  const turn = seedFor(scene.title);
  const all = spots.flatMap((spot, index) => {
    const faults = (scene.faults ?? FAULTS).filter((fault) =>
      momentsOf(fault, server).includes(spot.moment),
    );
    const where = `${spot.moment} of ${spot.step}, ${spot.nr}`;
    const name = (fault: Fault) => `${server} / ${scene.title} / ${fault} / ${where}`;
    const cells = faults.map((fault): Cell => ({ ...spot, fault, name: name(fault) }));
    if (isNamed || !isLong) return cells;
    const nr = turn + SERVER_NAMES.indexOf(server) + index;
    const every = scene.eventsForOneStruck ?? EVENTS_FOR_ONE_STRUCK;
    if (nr % every !== 0) return [];
    const fault = Math.floor(nr / every) % cells.length;
    return cells.filter((_cell, at) => at === fault);
  });
  if (isNamed) return all.filter(isMeant);
  return sample(all, { name: `${server} ${scene.title}`, count: CELLS });
}

/**
 * Before a statement it is not passed on; after it the server has it. A server is killed when it
 * has the statement; but no MySQL 5.6, which may come out of that with another table damaged, as it
 * does by itself.
 */
function momentsOf(fault: Fault, server: ServerName): readonly TapMoment[] {
  if (fault === 'proxy killed') return ['before statement', 'after statement', 'before answer'];
  if (fault !== 'server killed') return ['before statement', 'before answer'];
  return server === 'mysql-5.6' ? [] : ['after statement', 'before answer'];
}
