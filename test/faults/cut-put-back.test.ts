/**
 * A CREATE OR REPLACE that fails behind its RENAME, and breaks while the old table, due at once by
 * a rule, is put back: connections cut, the account refused, the proxy or the server killed.
 * Afterwards the table is under its own name or held for UNDROP_HOLD at least, whole, and never
 * collected; what the client was told is true; a restore brings all of it back.
 *
 * A run takes a part of the cells with each fault, a long run each event with each fault.
 */
import { isDeepStrictEqual } from 'node:util';
import { ledgerRows } from '../support/ledger-rows.js';
import { until } from '../support/poll.js';
import { sample } from '../support/sample.js';
import { connect } from '../support/servers.js';
import type { TapEvent } from '../support/wire-tap.js';
import { isComplete, isMeant } from './cells.js';
import { CUTS, type Fault, type FaultRig, openFaultRig } from './fault-rig.js';
import { say } from './say-drop.js';

/** At events of the put-back, and at those of its RENAME alone. */
const [CELLS, OF_RENAME] = [5, 3];
/** With fewer events it was not the put-back that was struck. */
const EVENTS_MIN = 20;
const VARIABLES = {
  PROTECT: 'drop-table,create-or-replace',
  RULES: '*.soon*: now',
  LIFECYCLE: 'hold,drop',
  CHECK_INTERVAL: '1s',
  HOLD: '1h',
};
/** By which it gets its later due time; what follows it is struck. */
const KEEPS = /RENAME \/\* undrop renew/;
const PUTS_BACK = /RENAME \/\* undrop put-back/;
/** Natively: its source is the table itself. Where that stays held: there is no such table. */
const [OWN_SOURCE, NO_SUCH_TABLE] = [1093, 1146];
/** UNDROP_FATE_UNKNOWN: nobody could ask in time whether it has its name. */
const UNKNOWN = 1105;
const WHOLE = { rows: 3, hasKey: true, triggers: 1 };

/** `at`: from 1, among the events of the put-back. */
type Cell = { readonly fault: Fault; readonly at: number; readonly name: string };

let rig: FaultRig;
let tables = 0;

test('a put-back that breaks off leaves the old table live or held, wherever', async () => {
  rig = await openFaultRig('mariadb-11.8', VARIABLES);
  try {
    await run('CREATE TABLE p (id INT PRIMARY KEY) ENGINE=InnoDB', 'INSERT INTO p VALUES (1)');
    expect(await strikeAll()).toEqual([]);
  } finally {
    await rig.close();
  }
}, 1_200_000);

/** What is wrong, of each cell. */
async function strikeAll(): Promise<readonly string[]> {
  const { table, events, outcome } = await replace(null, () => false);
  expect(outcome).toMatchObject({ kind: 'error', errno: OWN_SOURCE });
  expect(await shown(table)).toEqual(WHOLE);
  expect(events.length).toBeGreaterThan(EVENTS_MIN);
  const failures: string[] = [];
  const struck: (readonly [Cell, string])[] = [];
  const ends = new Map<string, number>();
  for (const cell of cellsOf(events).filter(isMeant)) {
    try {
      const done = await strike(cell);
      struck.push([cell, done.table]);
      ends.set(done.end, (ends.get(done.end) ?? 0) + 1);
    } catch (error) {
      failures.push(`${cell.name}: ${error}`);
    }
  }
  const said = [...ends].map(([end, count]) => `${count} ${end}`).join(', ');
  process.stdout.write(`${rig.server.name}: a put-back, ${events.length} events; ${said}\n`);
  await collected();
  for (const [{ name }, own] of struck) {
    const now = await restoredAtLast(own).catch(String);
    if (!isDeepStrictEqual(now, WHOLE)) failures.push(`${name}: ${JSON.stringify(now)}`);
  }
  return failures;
}

function cellsOf(events: readonly TapEvent[]): readonly Cell[] {
  const all = events.flatMap(({ moment, command }, index) => {
    const text = command.toString('latin1');
    const what = /\/\* undrop [a-z -]+/.exec(text)?.[0] ?? text.slice(1, 30);
    const isRename = PUTS_BACK.test(text);
    const faults: readonly Fault[] = isRename ? [...CUTS, 'server killed'] : CUTS;
    const at = index + 1;
    return faults.map((fault) => {
      const name = `${fault} / ${at} / ${moment} of ${what}`;
      return { fault, at, name, isRename };
    });
  });
  if (isComplete) return all;
  const kind = ({ fault }: Cell) => fault;
  const others = all.filter(({ isRename }) => !isRename);
  const renames = all.filter(({ isRename }) => isRename);
  return [
    ...sample(others, { name: 'events', count: CELLS, kind }),
    ...sample(renames, { name: 'renames', count: OF_RENAME }),
  ];
}

/** Rejects where the table is lost, or due too soon, or the answer isn't true. */
async function strike({ fault, at }: Cell): Promise<{ readonly table: string; end: string }> {
  // As a hold name has its due time.
  const [soonest = ''] = await rig.direct.column(
    "SELECT DATE_FORMAT(UTC_TIMESTAMP() + INTERVAL 1 HOUR, '%Y%m%d%H%i%s') AS due",
  );
  let count = 0;
  const { table, outcome } = await replace(fault, () => ++count === at);
  const live = (await rig.direct.tables()).includes(table);
  const held = await heldOf(table);
  const soon = held.filter((name) => name.slice(-14) < soonest);
  expect({ live, held: held.length, soon }).toEqual({ live, held: live ? 0 : 1, soon: [] });
  expect(await rig.direct.count(held[0] ?? table)).toBe(WHOLE.rows);
  const said = outcome.kind === 'error' ? outcome.errno : outcome.kind;
  expect(['lost', OWN_SOURCE, NO_SUCH_TABLE, UNKNOWN]).toContain(said);
  if (said === OWN_SOURCE) expect(live).toBe(true);
  if (said === NO_SUCH_TABLE) expect(live).toBe(false);
  return { table, end: `${said}/${live ? 'live' : 'held'}` };
}

/**
 * Replaces a new table by itself; struck at the event of its put-back of which this is true. The
 * events are those of the put-back, up to the answer.
 */
async function replace(fault: Fault | null, isAt: () => boolean) {
  const table = `soon${tables++}`;
  await run(
    `CREATE TABLE ${table} (id INT PRIMARY KEY, pid INT,
      CONSTRAINT own_${table} FOREIGN KEY (pid) REFERENCES p (id)) ENGINE=InnoDB`,
    `INSERT INTO ${table} VALUES (1, 1), (2, 1), (3, NULL)`,
    `CREATE TRIGGER t_${table} BEFORE INSERT ON ${table} FOR EACH ROW SET NEW.pid = 1`,
  );
  const events: TapEvent[] = [];
  let isKept = false;
  rig.arm(fault, (event) => {
    const text = event.command.toString('latin1');
    isKept ||= PUTS_BACK.test(text);
    const counts = event.moment === 'before statement' || event.moment === 'before answer';
    if (isKept && counts) events.push(event);
    const isStruck = isKept && counts && isAt();
    isKept ||= event.moment === 'after answer' && KEEPS.test(text);
    return isStruck;
  });
  const text = `CREATE OR REPLACE TABLE ${table} AS SELECT * FROM ${table}`;
  const { outcome, leave } = await say(rig, [text]);
  const told = [...events];
  await rig.settled({ orStruck: true });
  rig.disarm();
  await rig.mend();
  await rig.settled();
  leave();
  return { table, outcome, events: told };
}

/** Where it is, in whatever state. */
async function heldOf(table: string): Promise<string[]> {
  return rig.direct.column(
    `SELECT CONCAT(tables.TABLE_SCHEMA, '.', tables.TABLE_NAME) AS name
     FROM _undrop.ledger AS ledger JOIN information_schema.TABLES AS tables
       ON tables.TABLE_NAME LIKE CONCAT('\\_vt\\_%\\_', ledger.id, '\\_%')
     WHERE ledger.schema_name = '${rig.schema}' AND ledger.table_name = '${table}'`,
  );
}

/** What was due before is removed by now, if the collector takes it. */
async function collected(): Promise<void> {
  await run('CREATE TABLE soon_canary (id INT)');
  await using client = await connect(rig.proxy, { database: rig.schema });
  await client.query('DROP TABLE soon_canary');
  const canary = { schema: rig.schema, table: 'soon_canary', state: 'removed' };
  const isRemoved = async () => (await ledgerRows(rig.direct, canary)).length > 0;
  await until(isRemoved, 'the canary is removed');
}

/** As whoever misses it brings it back. */
async function restoredAtLast(table: string): Promise<typeof WHOLE> {
  await rig.restore(`${rig.schema}.${table}`).catch((error: unknown) => {
    if (Reflect.get(error as Error, 'code') !== 'UNDROP_NO_SUCH_HELD') throw error;
  });
  return shown(table);
}

async function shown(table: string): Promise<typeof WHOLE> {
  const { direct } = rig;
  const hasKey = (await direct.show(table)).includes(`CONSTRAINT \`own_${table}\``);
  const triggers = await direct.rows(`SHOW TRIGGERS WHERE \`Table\` = '${table}'`);
  return { rows: await direct.count(table), hasKey, triggers: triggers.length };
}

async function run(...texts: readonly string[]): Promise<void> {
  await rig.direct.run(`USE ${rig.schema}`, ...texts);
}
