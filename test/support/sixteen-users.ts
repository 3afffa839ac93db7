/**
 * Sixteen users of one proxy: most log in, drop a table, bring it back and count its rows, by
 * queries and by prepared statements, list what they have dropped, and send long UPDATEs. One of
 * them is greedy: he makes, fills and drops tables as fast as he can. One has no right at all and
 * is hostile: he sends the statements of undrop's own with the longest names and patterns, and with
 * the most names, and attacks in turns (hostile-user.ts).
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { RowDataPacket } from 'mysql2/promise';
import { ANYBODYS, attackInTurns, unlessOver } from './hostile-user.js';
import { connect, query, type Session, type Target } from './servers.js';

const PASSWORD = 'only for tests';
const ORDINARY = 14;
const GREEDY = 'crowd_greedy';
const HOSTILE = 'crowd_hostile';
/** Tables that each user has dropped before. */
const KEPT = 5;
const ROWS = 10;
/** Who only waits for the next answer would measure the machine. */
const PAUSE_MS = 100;
const LOCK_WAIT_TIMEOUT = 1205;

const names = Array.from({ length: ORDINARY }, (_, index) => `crowd_user_${index}`);

export const CROWD_TABLES = ORDINARY * KEPT;

/** With what the proxy has to be started, so that the greedy user fills a limit soon. */
export const CROWD_VARIABLES = {
  ...{ MAX_TABLES: '120', MIN_HOLD: '5s', HOLD: '1h', GRACE: '0s' },
  ...{ CHECK_INTERVAL: '2s', COLLECT: 'auto' },
};

const FELT = [
  ...['login', 'select', 'long update', 'drop', 'prepared drop', 'undrop', 'list', 'console'],
] as const;

/** What ordinary users have felt, in milliseconds. */
export type Felt = Readonly<Record<string, number[]>>;

export function newFelt(): Felt {
  return Object.fromEntries(FELT.map((what) => [what, []]));
}

/** On the server itself. */
export async function makeUsers(server: Target): Promise<void> {
  await query(server, `CREATE DATABASE ${ANYBODYS}`, "CREATE USER ''@'%'");
  await query(server, `GRANT ALL ON ${ANYBODYS}.* TO ''@'%'`);
  for (const user of [...names, GREEDY, HOSTILE]) {
    await query(server, `CREATE USER ${user}@'%' IDENTIFIED BY '${passwordOf(user)}'`);
    if (user === HOSTILE) continue;
    const rights = user === GREEDY ? 'CREATE, DROP, INSERT' : 'ALL';
    await query(server, `CREATE DATABASE ${user}`, `GRANT ${rights} ON ${user}.* TO ${user}@'%'`);
  }
}

export async function dropUsers(server: Target): Promise<void> {
  await query(server, `DROP DATABASE IF EXISTS ${ANYBODYS}`, "DROP USER ''@'%'");
  for (const user of [...names, GREEDY, HOSTILE]) {
    await query(server, `DROP DATABASE IF EXISTS ${user}`, `DROP USER ${user}@'%'`);
  }
}

const values = Array.from({ length: ROWS }, (_, index) => `(${index})`).join(', ');

function making(name: string): readonly string[] {
  return [`CREATE TABLE ${name} (id INT PRIMARY KEY)`, `INSERT INTO ${name} VALUES ${values}`];
}

/** Each ordinary user drops tables that nobody has touched for long. */
export async function dropKept(proxy: Target): Promise<void> {
  for (const user of names) {
    for (let index = 0; index < KEPT; index++) {
      const name = `${user}.kept_${index}`;
      await query(as(proxy, user), ...making(name), `DROP TABLE ${name}`);
    }
  }
}

/** How many of these come back whole. */
export async function countKept(proxy: Target): Promise<number> {
  let whole = 0;
  for (const user of names) {
    for (let index = 0; index < KEPT; index++) {
      const name = `${user}.kept_${index}`;
      await query(as(proxy, user), `UNDROP TABLE ${name}`);
      const rows = await query<RowDataPacket>(as(proxy, user), `SELECT * FROM ${name}`);
      if (rows.length === ROWS) whole++;
    }
  }
  return whole;
}

/** All of them at once, until the signal; `beside`: with the greedy and the hostile one. */
export async function liveTogether(
  proxy: Target,
  {
    beside,
    signal,
    admin = null,
    isGreedy = true,
  }: {
    readonly beside: boolean;
    readonly signal: AbortSignal;
    readonly admin?: string | null;
    /** False: the attacker is alone beside the others. */
    readonly isGreedy?: boolean;
  },
): Promise<Felt> {
  const felt = newFelt();
  const hostile = as(proxy, HOSTILE);
  await Promise.all([
    ...names.map((user) => liveOrdinarily(as(proxy, user), { user, felt, signal })),
    ...(admin === null ? [] : [visitConsole(admin, { user: names[0] ?? '', felt, signal })]),
    ...(beside
      ? [
          ...(isGreedy ? [beGreedy(as(proxy, GREEDY), signal), beHostile(hostile, signal)] : []),
          attackInTurns({ proxy: hostile, admin }, signal),
        ]
      : []),
  ]);
  return felt;
}

function as(proxy: Target, user: string): Target {
  return { host: proxy.host, port: proxy.port, user, password: passwordOf(user) };
}

/** A client of the wire (raw-client.ts) has none. */
function passwordOf(user: string): string {
  return user === HOSTILE ? '' : PASSWORD;
}

type Life = { readonly user: string; readonly felt: Felt; readonly signal: AbortSignal };

/** No two tables of a run have one name. */
let tables = 0;

async function liveOrdinarily(proxy: Target, { user, felt: all, signal }: Life): Promise<void> {
  const felt = (what: string) => all[what] ?? [];
  for (let round = 0; round === 0 || !signal.aborted; round++) {
    const name = `${user}.own_${tables++}`;
    const client = await timed(felt('login'), () => connect(proxy));
    await client.run(...making(name));
    await timed(felt('select'), () => client.query('SELECT 1'));
    if (round % LONG_EVERY === 0) {
      const text = 'x'.repeat(round % (4 * LONG_EVERY) === 0 ? LONGEST_BYTES : LONG_BYTES);
      const update = `UPDATE ${name} SET id = id WHERE id < 0 OR '${text}' = ''`;
      await timed(felt('long update'), () => client.query(update));
    }
    await timed(felt('drop'), () => client.query(`DROP TABLE ${name}`));
    await timed(felt('undrop'), () => undrop(client, name));
    await timed(felt('prepared drop'), () => client.execute(`DROP TABLE ${name}`));
    await timed(felt('list'), () => client.query(`SHOW DROPPED TABLES FROM ${user} LIMIT 5`));
    await undrop(client, name);
    const rows = await client.rows(`SELECT * FROM ${name}`);
    if (rows.length !== ROWS) throw new Error(`${name} came back with ${rows.length} rows`);
    await client.end();
    await sleep(PAUSE_MS);
  }
}

const LONG_EVERY = 5;
const LONG_BYTES = 1024 * 1024;
const LONGEST_BYTES = 4 * LONG_BYTES;

/** The API of the console, with each request a sign-in. */
async function visitConsole(admin: string, { user, felt, signal }: Life): Promise<void> {
  const authorization = `Basic ${Buffer.from(`${user}:${PASSWORD}`).toString('base64')}`;
  while (!signal.aborted) {
    const answer = await timed(felt['console'] ?? [], async () => {
      const found = await fetch(`http://${admin}/api/v1/tables?limit=5`, {
        headers: { authorization },
      });
      await found.text();
      return found;
    });
    if (answer.status !== 200) throw new Error(`the console answered ${answer.status}`);
    await sleep(10 * PAUSE_MS);
  }
}

/** Whoever is told that the table is locked tries again: the service may be looking at it. */
async function undrop(client: Session, name: string): Promise<void> {
  for (;;) {
    const error = await client.errorOf(`UNDROP TABLE ${name}`);
    if (error === null) return;
    if (error.errno !== LOCK_WAIT_TIMEOUT) throw new Error(error.message);
  }
}

async function timed<T>(times: number[], work: () => Promise<T>): Promise<T> {
  const beganMs = performance.now();
  const result = await work();
  times.push(performance.now() - beganMs);
  return result;
}

async function beGreedy(proxy: Target, signal: AbortSignal): Promise<void> {
  await using client = await connect(proxy);
  for (let count = 0; !signal.aborted; count++) {
    const name = `${GREEDY}.t${count}`;
    await client.run(...making(name), `DROP TABLE ${name}`);
  }
}

const many = Array.from({ length: 1_000 }, (_, index) => `${GREEDY}.t${index}`).join(', ');

/** All of them are refused, or find nothing. */
const HOSTILITIES: readonly string[] = [
  `SHOW FULL DROPPED TABLES LIKE '${'a%'.repeat(12_000)}'`,
  `SHOW FULL DROPPED TABLES FROM \`${'a'.repeat(250_000)}\``,
  ...[`SHOW FULL DROPPED TABLES LIKE '${'t%'.repeat(120)}x'`, 'SHOW FULL DROPPED TABLES'],
  ...[`UNDROP TABLE ${many}`, "UNDROP TABLE '01'", "UNDROP TABLE '0123'"],
];

async function beHostile(proxy: Target, signal: AbortSignal): Promise<void> {
  await using client = await connect(proxy);
  while (!signal.aborted) {
    for (const text of HOSTILITIES) {
      const { length } = await client.rows(text).catch(unlessOver);
      if (length > 0) throw new Error(`a user without rights was shown ${length} tables`);
    }
  }
}
