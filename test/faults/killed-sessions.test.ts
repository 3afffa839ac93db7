/**
 * KILL QUERY and KILL CONNECTION of a session at every statement and every answer of its drop, seen
 * and held by a tap on the wire between proxy and server: the client hears what it would natively,
 * that it was done, interrupted, or the end of its connection, and never an error of ours. What it
 * heard is true, each table is live or held with all its rows, and no intent is left.
 */
import { Dice, seededRandom } from '../support/dice.js';
import { onServersAtOnce } from '../support/on-servers.js';
import { RawClient } from '../support/raw-client.js';
import { rounds, seedFor } from '../support/sample.js';
import { intentsSettled } from '../support/settled.js';
import { Survival } from '../support/survival.js';
import { type TapEvent, wireTap } from '../support/wire-tap.js';

/** More events than a drop has: reaching it means that the run never came to its end. */
const EVENTS_MAX = 400;
/** At one of so many events; odd, so that each kind has its turn. */
const EVERY = rounds(3, 25);
/** The session, or its connection, was killed. */
const KILLED = new Set([1317, 1053, 1927, 3169]);
const NO_SUCH_SESSION = 1094;
const MINE = 'DO /* mine */ 0';

/** Tables a and b are dropped, by a user who has these rights on the schema; null: root. */
const SCENES = [
  { what: 'two tables', grants: null, child: '', before: [] },
  { what: 'two tables by a user with DROP alone', grants: 'DROP', child: '', before: [] },
  { what: 'locked tables', grants: null, child: '', before: ['LOCK TABLES a WRITE, b WRITE'] },
  {
    what: 'a parent and a child, and another child stays',
    grants: null,
    child: 'REFERENCES a (id)',
    before: ['SET foreign_key_checks = 0'],
  },
] as const;

type Scene = (typeof SCENES)[number];
type Kill = 'QUERY' | 'CONNECTION';

onServersAtOnce('sessions that are killed on $name', (server, on) => {
  const { testOnEach: test } = on;
  let onEvent: (event: TapEvent) => Promise<void> = async () => undefined;

  const schema = on.schema('killed').name;
  const root = on.session({ schema });
  const survival = new Survival(root, [schema]);
  const tap = on.open(() =>
    wireTap(server, async (event) => {
      await onEvent(event);
      return true;
    }),
  );
  const proxy = on.proxy({ COLLECT: 'on' }, { upstream: tap });
  const user = `u_${schema.slice(-8)}`;
  on.account(user, { grants: [`DROP ON ${schema}.*`] });

  /** Other names than before: a drop whose client is lost may go on for a moment. */
  async function make({ child }: Scene, at: number): Promise<void> {
    await root.run('SET foreign_key_checks = 0');
    for (const table of await live()) await root.query(`DROP TABLE IF EXISTS ${table}`);
    await root.query(`CREATE TABLE a${at} (id INT PRIMARY KEY)`);
    const key = child === '' ? '' : `, FOREIGN KEY (id) ${of(child, at)}`;
    for (const table of ['b', 'c']) await root.query(`CREATE TABLE ${table}${at} (id INT ${key})`);
    for (const table of ['a', 'b', 'c'])
      await root.query(`INSERT INTO ${table}${at} VALUES (1), (2)`);
    await survival.remember();
  }

  const live = async () => (await root.tables()).filter((name) => !name.startsWith('_vt_'));

  /** What the client hears: OK, an errno, or `lost`. Null: the drop had fewer events. */
  async function dropAndKill(kill: Kill, scene: Scene, at: number) {
    await make(scene, at);
    const as = scene.grants === null ? {} : { user };
    const client = await RawClient.open(proxy, { schema, ...as });
    let [own, count] = [0, 0];
    let where: string | null = null;
    onEvent = async ({ text, connection }) => {
      if (text.includes(MINE)) own = connection;
    };
    await client.run([MINE, ...scene.before.map((text) => of(text, at))]);
    onEvent = async ({ moment, text, connection, command }) => {
      // On other connections the session's own state is the same before and after.
      if (connection !== own && moment !== 'before answer') return;
      count++;
      if (count !== at) return;
      where = `${moment} of ${command[0]} ${text}`;
      try {
        await root.query(`KILL ${kill} ${client.threadId}`);
      } catch (error) {
        // The client had its answer, and has left meanwhile.
        if ((error as { readonly errno: number }).errno !== NO_SUCH_SESSION) throw error;
      }
    };
    const heard = await hear(client, of('DROP TABLE a, b', at));
    onEvent = async () => undefined;
    if (heard !== 'lost') await client.quit();
    return where === null ? null : { heard, where };
  }

  async function killAtEach(kill: Kill, scene: Scene): Promise<void> {
    const told: string[] = [];
    const seed = seedFor(`${server.name} ${kill} ${scene.what}`);
    const first = 1 + new Dice(seededRandom(seed)).below(EVERY);
    for (let at = first; ; at += EVERY) {
      expect(at).toBeLessThan(EVENTS_MAX);
      const killed = await dropAndKill(kill, scene, at);
      await intentsSettled(root, [schema]);
      const left = await live();
      const [a, b, c] = [`a${at}`, `b${at}`, `c${at}`];
      const isDropped = !left.includes(a) && !left.includes(b);
      const isComplete = left.includes(a) && left.includes(b);
      const lost = await survival.findLost();
      if (killed === null) break;
      const { heard, where } = killed;
      // Under LOCK TABLES all servers but MySQL 8 and later drop one by one, and so do we.
      const isAnyhow = scene.what === 'locked tables' && server.name !== 'mysql-9.7';
      const isOne =
        heard === 'OK' ? isDropped : heard === 'lost' ? isDropped || isComplete : isComplete;
      const isTrue = isOne || (isAnyhow && heard !== 'OK');
      const isNative = heard === 'OK' || heard === 'lost' || KILLED.has(Number.parseInt(heard, 10));
      if (!isTrue || !isNative || lost.length > 0 || !left.includes(c)) {
        told.push(`${at}: killed ${where}: ${heard}; live: ${left.join(', ')} ${lost.join(', ')}`);
      }
    }
    expect(told).toEqual([]);
  }

  for (const kill of ['QUERY', 'CONNECTION'] as const) {
    for (const scene of SCENES) {
      const name = `KILL ${kill} in the middle of a drop of ${scene.what} is heard as natively`;
      test(name, () => killAtEach(kill, scene));
    }
  }
});

/** The tables of a text, with the names of this time. */
function of(text: string, at: number): string {
  return text.replaceAll(/\b[ab]\b/g, (name) => `${name}${at}`);
}

async function hear(client: RawClient, drop: string): Promise<string> {
  try {
    const { results } = await client.query(drop);
    const [result] = results;
    return result?.kind === 'err' ? `${result.errno} ${result.message}` : 'OK';
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    return 'lost';
  }
}
