/**
 * `undrop uninstall`: shows what is held, restores or removes it if that is asked for, and drops
 * undrop's own schemas.
 *
 * Invariant: no schema is dropped before the ledger is out of reach of every proxy, and was found
 * without work after that: a drop is either in that ledger, or refused.
 */
import { missingSchemas, readSchemas } from '../../account/examine.js';
import type { Settings } from '../../config/schema.js';
import { UndropError } from '../../errors.js';
import { findWithoutTriggers } from '../../held/triggers/reattach-triggers.js';
import { hasSource } from '../../ledger/owner.js';
import { closeLedger, isLedgerIdle, reopenLedger } from '../../ledger/retire.js';
import { findDroppedSchemas, readDetails } from '../../ledger/schema-restores.js';
import { readServices } from '../../ledger/services.js';
import { mayUnlog } from '../../ledger/tables.js';
import { READ_ONLY, REPLICATES } from '../../lifecycle/figures.js';
import { readLockState } from '../../lifecycle/leader/collector-lock.js';
import { whyResting } from '../../lifecycle/once.js';
import { newThrottle } from '../../lifecycle/throttle/throttle.js';
import { isLocalSchema, isRecycleSchema, RECYCLE_SCHEMA } from '../../names/names.js';
import { findUnfinishedRestores } from '../../recovery/reconcile.js';
import { listAll } from '../../restore/held-tables.js';
import { formatSize, sizeOf } from '../../restore/print-list.js';
import { findLacking, lastDrops } from '../../restore/schema/restore-schema.js';
import { unlessRefused } from '../../service/errors.js';
import type { ServicePool } from '../../service/pool/pools.js';
import { readServerFacts } from '../../service/server-facts.js';
import { ident, note, sql, textOf, valueList } from '../../service/sql.js';
import { ABSENT_TABLE } from '../../wire/server-errors.js';
import { type GC_KEYS, type HOLD_KEYS, throttleSettings } from '../settings.js';
import { type Flags, type Shell, wrongUsage } from '../shell.js';
import { runRemove } from './change-holds.js';
import { runGc } from './gc.js';
import { runRestore } from './restore.js';
import { reportServices } from './status/services.js';
import { withPool } from './with-pool.js';

type UninstallSettings = Pick<Settings, (typeof GC_KEYS)[number] | (typeof HOLD_KEYS)[number]>;

/** Before the first drop that undrop can have held. */
const ALWAYS = { since: '2000-01-01T00:00' } as const;
const CONFIRMATION = 'uninstall';

export async function runUninstall(
  settings: UninstallSettings,
  flags: Flags,
  shell: Shell,
): Promise<number> {
  const [restores, removes] = [flags['restore'] === true, flags['remove'] === true];
  if (restores && removes) throw wrongUsage('Expected --restore or --remove; found both.');
  const { left, lost } = await withPool(settings, async (pool) => {
    await reopenLedger(pool);
    await assertAlone(pool, settings, { removes });
    return readLeft(pool);
  });
  for (const line of left) shell.stdout.write(`${line}\n`);
  if (left.length > 0 && !restores && !removes) {
    shell.stdout.write(
      '`undrop list --all` names the tables. `undrop uninstall --restore` brings back what is held, ' +
        '`undrop uninstall --remove` removes it for good, with what the ledger has of the rest.\n',
    );
    return 1;
  }
  if (!(await isConfirmed({ left, restores }, flags, shell))) return 1;
  if (restores) await restoreEverything(settings, lost, shell);
  if (removes) await removeEverything(settings, shell);
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
  { left, restores }: { readonly left: readonly string[]; readonly restores: boolean },
  flags: Flags,
  { ask, stdout }: Shell,
): Promise<boolean> {
  if (flags['yes'] === true) return true;
  if (ask === undefined) throw wrongUsage('Expected --yes, because there is no terminal.');
  const all = restores ? 'All of it is restored.' : 'All of it is removed for good.';
  const what = left.length === 0 ? 'Nothing is held.' : all;
  const then = `${what} Then the schema ${RECYCLE_SCHEMA} is dropped, with its history.`;
  if ((await ask(`${then}\nType ${CONFIRMATION} to go on: `)) === CONFIRMATION) return true;
  stdout.write('Nothing was done.\n');
  return false;
}

/** Rejects if this isn't the server, or not the time. */
async function assertAlone(
  pool: ServicePool,
  settings: UninstallSettings,
  { removes }: { readonly removes: boolean },
): Promise<void> {
  const server = await readServerFacts(pool);
  const running = await findRunning(pool);
  const problems = [
    ...(server.readOnly ? [READ_ONLY] : []),
    ...((await hasSource(pool, server)) ? [REPLICATES] : []),
    ...(running.length === 0 ? [] : [`these proxies run; stop them: ${running.join(', ')}`]),
  ];
  if (removes && problems.length === 0) {
    const throttle = newThrottle(
      { pool, settings: { throttle: throttleSettings(settings) }, replicas: [] },
      () => performance.now(),
    );
    const resting = await whyResting(pool, server, { settings: { collect: 'on' }, throttle });
    if (resting !== null) problems.push(resting);
  }
  if (problems.length > 0) {
    throw new UndropError('UNDROP_NOT_UNINSTALLED', { cause: problems.join('; ') });
  }
}

/** The services that run, or a proxy that collects without a row of its own. */
async function findRunning(pool: ServicePool): Promise<readonly string[]> {
  const server = await readServerFacts(pool);
  const { leader, row } = await readLockState(pool, server);
  const found = await readServices(pool);
  const { services } = reportServices(found, { now: server.utcNow, leaderId: leader });
  const running = services.filter(({ isRunning }) => isRunning);
  const named = running.map(({ host, listen }) => `${host} (${listen})`);
  return named.length > 0 || leader === null ? named : [row?.holder ?? `connection ${leader}`];
}

/** Sentences on what would be lost with the ledger; `tables`: on rows of users. */
async function readLeft(pool: ServicePool) {
  const held = await listAll(pool);
  const unknown = held.filter(({ origin }) => origin === null);
  const isThere = async <T>(read: Promise<readonly T[]>) =>
    unlessRefused(read, [] as readonly T[], ...ABSENT_TABLE);
  const dropped = await isThere(findDroppedSchemas(pool, 'all'));
  const unfinished = await isThere(findUnfinishedRestores(pool));
  const triggers = await isThere(findWithoutTriggers(pool));
  const names = [
    ...held.flatMap(({ origin }) => origin?.schema ?? []),
    ...(await withDefinitions(pool, dropped)),
  ];
  const lost = await missingSchemas(pool, [...new Set(names)], await readSchemas(pool));
  const lacking = await findLacking(pool, lastDrops(dropped));
  const open = dropped.filter(({ isOpen }) => isOpen).map(({ schema }) => schema);
  const tables = [
    ...(held.length === 0 ? [] : [`Held: ${formatSize(sizeOf(held))}.`]),
    ...unknown.map(({ id }) => `The ledger lacks ${id}: restore or remove it by this id.`),
    ...open.map((schema) => `The DROP DATABASE of ${schema} has not ended.`),
  ];
  return {
    tables,
    lost: [...lost, ...lacking.map(({ schema }) => schema)],
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
  const found: string[] = [];
  for (const { id, schema, restoredAs, isRestoring } of dropped) {
    if (restoredAs !== null && !isRestoring) continue;
    if ((await readDetails(pool, id)).parts.length > 0) found.push(schema);
  }
  return found;
}

/** The commands report what they could not do, which is left then. */
async function restoreEverything(
  settings: UninstallSettings,
  lost: readonly string[],
  shell: Shell,
): Promise<void> {
  for (const schema of lost) await runRestore(settings, { schema }, shell);
  if (await holdsAny(settings)) await runRestore(settings, ALWAYS, shell);
}

async function removeEverything(settings: UninstallSettings, shell: Shell): Promise<void> {
  if (!(await holdsAny(settings))) return;
  if ((await runRemove(settings, { ...ALWAYS, yes: true }, shell)) !== 0) return;
  // Their pages may stay in the buffer pool, and nobody comes back for them.
  await runGc({ ...settings, evac: 0, grace: 0 }, { once: true }, shell);
}

function holdsAny(settings: UninstallSettings): Promise<boolean> {
  return withPool(settings, async (pool) => (await listAll(pool)).length > 0);
}

/** Returns the exit code. */
async function dropSchemas(pool: ServicePool, { stdout, stderr }: Shell): Promise<number> {
  const [found = []] = await pool.run(
    sql`SELECT ${note('look')} SCHEMA_NAME AS name FROM information_schema.SCHEMATA`,
  );
  // The spare ones, too. The schema with the version that no proxy knows goes last: until then no
  // table can come into another.
  const all = found.map((row) => textOf(row, 'name')).filter(isRecycleSchema);
  const isLast = (schema: string) => schema === RECYCLE_SCHEMA;
  const schemas = [...all.filter((schema) => !isLast(schema)), ...all.filter(isLast)];
  const unlogs = await mayUnlog(pool);
  await closeLedger(pool);
  const others = await readStrangers(pool, schemas);
  if (others.length > 0 || !(await isLedgerIdle(pool))) {
    await reopenLedger(pool);
    const what = others.length > 0 ? others.join(', ') : 'a drop that has come meanwhile';
    stderr.write(`undrop: expected only tables of undrop in its schemas, found ${what}.\n`);
    return 1;
  }
  const kept: string[] = [];
  for (const schema of schemas) {
    // Replicas may hold tables of their own there.
    const logged = !isLocalSchema(schema);
    if (!logged && !unlogs) kept.push(schema);
    else {
      const drop = sql`DROP ${note('uninstall')} DATABASE IF EXISTS ${ident(schema)}`;
      await pool.run(drop, { logged });
    }
  }
  const [[row = {}] = []] = await pool.run(sql`SELECT CURRENT_USER() AS account`);
  const [user = '', host = ''] = textOf(row, 'account').split(/@(?=[^@]*$)/);
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
    .map((row) => ({ schema: textOf(row, 'place'), name: textOf(row, 'name') }))
    .filter(({ schema, name }) => !isOwn(schema, name))
    .map(({ schema, name }) => `${schema}.${name}`);
}

const OWN_TABLES: ReadonlySet<string> = new Set([
  'ledger',
  'ledger_retired',
  'ledger_version',
  'history',
  'proxies',
  'control',
  'collector',
  'leader',
]);
