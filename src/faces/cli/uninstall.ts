/**
 * `undrop uninstall` drops undrop's own schemas. While anything is held it only shows that, unless
 * it is told to remove it for good.
 *
 * Invariant: no schema is dropped before the ledger is out of reach of every proxy, and was found
 * without work after that: a drop is either in that ledger, or refused.
 */
import { missingSchemas, readSchemas } from '../../account/examine.js';
import { systemClock } from '../../clock.js';
import { pauseText, READ_ONLY, REPLICATES } from '../../collector/figures.js';
import { readLockState } from '../../collector/leader/collector-lock.js';
import { collectOnce } from '../../collector/once.js';
import { findUnfinishedRestores, finishing, reconcile } from '../../collector/reconcile.js';
import { unlessRefused } from '../../connections/errors.js';
import { readRecycleSchemas } from '../../connections/hold-tables.js';
import type { ServicePool } from '../../connections/sql.js';
import { col, ident, note, readServerFacts, sql, valueList } from '../../connections/sql.js';
import { timeText } from '../../duration.js';
import { UndropError } from '../../errors.js';
import { findWithoutTriggers } from '../../held/triggers/reattach-triggers.js';
import { readControl } from '../../ledger/control.js';
import { hasSource } from '../../ledger/owner.js';
import { findDroppedSchemas, readDetails } from '../../ledger/schema-restores.js';
import { isServiceRunning, readServices } from '../../ledger/services.js';
import * as ledger from '../../ledger/tables.js';
import { isLocalSchema, RECYCLE_SCHEMA } from '../../names/names.js';
import { listAll } from '../../recycle/held-tables.js';
import { nameWithId } from '../../recycle/print/print-report.js';
import { findLacking, lastDrops } from '../../recycle/schema/restore-schema.js';
import * as ER from '../../wire/server-errors.js';
import { formatChosen, runRemove } from './change-holds.js';
import { commandLog, whoIs } from './report-events.js';
import type { Flags, Shell, StatusSettings } from './settings.js';
import { requestedLifecycle, wrongUsage } from './settings.js';
import { withPool, withServers } from './with-pool.js';

/** Before the first drop that undrop can have held. */
const ALWAYS = '2000-01-01';
const INSTEAD =
  '`undrop restore --schema` brings back a dropped schema, ' +
  `\`undrop restore --since ${ALWAYS}\` all tables. ` +
  '`undrop uninstall --remove` removes all of it for good.\n';
const CONFIRMATION = 'uninstall';

export async function runUninstall(
  settings: StatusSettings,
  flags: Flags,
  shell: Shell,
): Promise<number> {
  const removes = flags['remove'] === true;
  const { left, isHeld } = await withPool(settings, async (pool) => {
    await ledger.reopenLedger(pool);
    await assertAlone(pool);
    await assertUnlocked(pool);
    return readLeft(pool);
  });
  shell.stdout.write(lines(left));
  if (left.length > 0 && !removes) {
    shell.stdout.write(INSTEAD);
    return 1;
  }
  if (!(await isConfirmed(left, flags, shell))) return 1;
  if (isHeld) await removeEverything(settings, shell);
  return withPool(settings, async (pool) => {
    const still = await readLeft(pool);
    const blocking = removes ? still.tables : still.left;
    if (blocking.length > 0) {
      shell.stderr.write(`undrop: not uninstalled, because this is left:\n${lines(blocking)}`);
      return 1;
    }
    return dropSchemas(pool, shell);
  });
}

function lines(texts: readonly string[]): string {
  return texts.map((text) => `${text}\n`).join('');
}

async function isConfirmed(
  left: readonly string[],
  flags: Flags,
  { ask, stdout }: Shell,
): Promise<boolean> {
  if (flags['yes'] === true) return true;
  if (ask === undefined) throw wrongUsage('Expected --yes, because there is no terminal.');
  const what = left.length === 0 ? 'Nothing is held.' : 'All of it is removed for good.';
  const then = `${what} Then the schema ${RECYCLE_SCHEMA} is dropped, with its history.`;
  if ((await ask(`${then}\nType ${CONFIRMATION} to go on: `)) === CONFIRMATION) return true;
  stdout.write('Nothing was done.\n');
  return false;
}

/** Rejects if this isn't the server, or not the time. */
async function assertAlone(pool: ServicePool): Promise<void> {
  const server = await readServerFacts(pool);
  const running = await findRunning(pool);
  const { pause } = await readControl(pool);
  const problems = [
    ...(server.readOnly ? [READ_ONLY] : []),
    ...((await hasSource(pool, server)) ? [REPLICATES] : []),
    ...(running.length === 0 ? [] : [`these proxies run; stop them: ${running.join(', ')}`]),
    ...(pause === null ? [] : [pauseText(pause)]),
  ];
  if (problems.length > 0) {
    throw new UndropError('UNDROP_NOT_UNINSTALLED', { cause: problems.join('; ') });
  }
}

/** Rejects while a table is locked: not even --remove ends its hold. */
async function assertUnlocked(pool: ServicePool): Promise<void> {
  const { utcNow } = await readServerFacts(pool);
  const held = (await listAll(pool)).flatMap((table) => {
    const { state, lockedUntil } = table;
    return state === 'HOLD' && lockedUntil !== null && lockedUntil > utcNow
      ? [{ table, lockedUntil }]
      : [];
  });
  const [first] = held.toSorted((one, other) => +other.lockedUntil - +one.lockedUntil);
  if (first === undefined) return;
  const name = nameWithId(first.table);
  const cause = `${held.length} held tables are locked, the last, ${name}, until ${timeText(first.lockedUntil)}`;
  throw new UndropError('UNDROP_NOT_UNINSTALLED', { cause });
}

/** The services that run, or a proxy that collects without a row of its own. */
async function findRunning(pool: ServicePool): Promise<readonly string[]> {
  const server = await readServerFacts(pool);
  const { leader, row } = await readLockState(pool, server);
  const services = await readServices(pool);
  const running = services.filter((service) => isServiceRunning(service, server.utcNow));
  const named = running.map(({ host, listen }) => `${host} (${listen})`);
  return named.length > 0 || leader === null ? named : [row?.holder ?? `connection ${leader}`];
}

/** Sentences on what would be lost with the ledger; `tables`: on rows of users. */
async function readLeft(pool: ServicePool) {
  const held = await listAll(pool);
  const unknown = held.filter(({ origin }) => origin === null);
  const isThere = async <T>(read: Promise<readonly T[]>) =>
    unlessRefused(read, [] as readonly T[], ...ER.ABSENT_TABLE);
  const dropped = await isThere(findDroppedSchemas(pool, 'all'));
  const unfinished = await isThere(findUnfinishedRestores(pool));
  const triggers = await isThere(findWithoutTriggers(pool));
  const defined = await withDefinitions(pool, dropped);
  const lost = await missingSchemas(pool, defined, await readSchemas(pool));
  const lacking = await findLacking(pool, lastDrops(dropped));
  const open = dropped.filter(({ isOpen }) => isOpen).map(({ schema }) => schema);
  const tables = [
    ...(held.length === 0 ? [] : [`Held:\n${formatChosen(held).trimEnd()}`]),
    ...unknown.map(({ id }) => `The ledger lacks ${id}: restore or remove it by this id.`),
    ...open.map((schema) => `The DROP DATABASE of ${schema} has not ended.`),
  ];
  return {
    isHeld: held.length > 0,
    tables,
    left: [
      ...tables,
      ...lost.map((schema) => `The schema ${schema} was dropped, and can be restored.`),
      ...lacking.map(
        ({ schema, parts }) => `Only the ledger has, of ${schema}: ${parts.join(', ')}.`,
      ),
      ...unfinished.map(({ what, missing }) => `${what} is not restored whole: ${missing}`),
      ...triggers,
    ],
  };
}

/** Schemas whose views, routines or events only the ledger has. */
async function withDefinitions(
  pool: ServicePool,
  dropped: Awaited<ReturnType<typeof findDroppedSchemas>>,
): Promise<readonly string[]> {
  const found = new Set<string>();
  const away = dropped.filter((one) => one.restoredAs === null || one.isRestoring);
  for (const { id, schema } of away) {
    if ((await readDetails(pool, id)).parts.length > 0) found.add(schema);
  }
  return [...found];
}

/** The commands report what they could not do, which is left then. */
async function removeEverything(settings: StatusSettings, shell: Shell): Promise<void> {
  if ((await runRemove(settings, { since: ALWAYS, yes: true }, shell)) !== 0) return;
  // Their pages may stay in the buffer pool, and nobody comes back for them.
  const now = { ...settings, evac: 0, grace: 0 };
  const { osUser, host } = whoIs(settings);
  const resting = await withServers(now, (pool, replicas) =>
    collectOnce({
      ...{ pool, replicas, clock: systemClock, log: commandLog(settings) },
      settings: requestedLifecycle(now),
      proxyId: `uninstall by ${osUser}@${host}`,
      reconcile: finishing(pool, reconcile),
    }),
  );
  if (resting !== null) shell.stderr.write(`undrop: collected nothing: ${resting}.\n`);
}

/** Returns the exit code. */
async function dropSchemas(pool: ServicePool, { stdout, stderr }: Shell): Promise<number> {
  // The spare ones, too. The schema with the version that no proxy knows goes last: until then no
  // table can come into another.
  const others = (await readRecycleSchemas(pool)).filter((schema) => schema !== RECYCLE_SCHEMA);
  const schemas = [...others, RECYCLE_SCHEMA];
  const unlogs = await ledger.mayUnlog(pool);
  await ledger.closeLedger(pool);
  const strangers = await readStrangers(pool, schemas);
  if (strangers.length > 0 || !(await ledger.isLedgerIdle(pool))) {
    await ledger.reopenLedger(pool);
    const what = strangers.length > 0 ? strangers.join(', ') : 'a drop that has come meanwhile';
    stderr.write(`undrop: expected only tables of undrop in its schemas, found ${what}.\n`);
    return 1;
  }
  // Replicas may hold tables of their own there.
  const kept = unlogs ? [] : schemas.filter(isLocalSchema);
  for (const schema of schemas.filter((one) => !kept.includes(one))) {
    const drop = sql`DROP ${note('uninstall')} DATABASE IF EXISTS ${ident(schema)}`;
    await pool.logging(!isLocalSchema(schema)).run(drop);
  }
  const [[row = {}] = []] = await pool.run(sql`SELECT CURRENT_USER() AS account`);
  const [user = '', host = ''] = col.text(row, 'account').split(/@(?=[^@]*$)/);
  const empty = kept.map((schema) => `${schema} is empty and stays; drop it with sql_log_bin=0.\n`);
  stdout.write(
    `The schemas of undrop are gone. Its account, and what was granted to it, goes with:\n` +
      `DROP USER '${user}'@'${host}';\n${empty.join('')}` +
      'Applications connect to the server itself from now on.\n',
  );
  return 0;
}

/** Tables in these schemas that aren't undrop's own. */
async function readStrangers(
  pool: ServicePool,
  schemas: readonly string[],
): Promise<readonly string[]> {
  const [rows = []] = await pool.run(
    sql`SELECT ${note('look')} TABLE_SCHEMA AS place, TABLE_NAME AS name
        FROM information_schema.TABLES WHERE TABLE_SCHEMA IN (${valueList(schemas)})`,
  );
  const isOwn = (schema: string, name: string) => schema === RECYCLE_SCHEMA && OWN_TABLES.has(name);
  return rows
    .map((row) => ({ schema: col.text(row, 'place'), name: col.text(row, 'name') }))
    .filter(({ schema, name }) => !isOwn(schema, name))
    .map(({ schema, name }) => `${schema}.${name}`);
}

const OWN_TABLES: ReadonlySet<string> = new Set([
  ...['ledger', ledger.RETIRED_TABLE, ledger.VERSION_TABLE_BEFORE, 'dropped_tables'],
  // An earlier undrop made `collector`.
  ...['history', 'proxies', 'control', 'collector', 'leader'],
]);
