/**
 * `undrop uninstall`: shows what is held, restores or removes it if that is asked for, and drops
 * undrop's own schemas once they hold nothing but its own tables.
 *
 * Invariant: no schema is dropped while a proxy runs, or while it has a table that isn't undrop's
 * own.
 */
import { missingSchemas, readSchemas } from '../../account/examine.js';
import type { Settings } from '../../config/schema.js';
import { readServices } from '../../ledger/services.js';
import { readLockState } from '../../lifecycle/leader/collector-lock.js';
import { isRecycleSchema, RECYCLE_SCHEMA } from '../../names/names.js';
import { listAll, listUnknown } from '../../restore/held-tables.js';
import { formatSize, sizeOf } from '../../restore/print-list.js';
import { unlessRefused } from '../../service/errors.js';
import type { ServicePool } from '../../service/pool/pools.js';
import { readServerFacts } from '../../service/server-facts.js';
import { ident, note, sql, textOf, valueList } from '../../service/sql.js';
import { ACCESS_DENIED } from '../../wire/server-errors.js';
import type { GC_KEYS, HOLD_KEYS } from '../settings.js';
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
  const how = ['restore', 'remove'].filter((name) => flags[name] === true);
  if (how.length > 1) throw wrongUsage('Expected --restore or --remove; found both.');
  const { running, left, lost } = await withPool(settings, async (pool) => {
    return { running: await findRunning(pool), ...(await readHeld(pool)) };
  });
  if (running.length > 0) {
    const all = running.join(', ');
    shell.stderr.write(`undrop: expected that no proxy runs, found ${all}: stop it first.\n`);
    return 1;
  }
  if (left.length > 0) {
    shell.stdout.write(`Held: ${formatSize(sizeOf(left))}.\n`);
    if (how.length === 0) {
      shell.stdout.write(
        '`undrop list --tables` names them. `undrop uninstall --restore` brings all of them back, ' +
          '`undrop uninstall --remove` removes them for good.\n',
      );
      return 1;
    }
    const isDone =
      flags['restore'] === true
        ? await restoreEverything(settings, lost, shell)
        : await removeEverything(settings, flags, shell);
    if (!isDone) return 1;
  }
  return withPool(settings, (pool) => dropSchemas(pool, flags, shell));
}

/** The services that run, and a proxy that collects without a row of its own. */
async function findRunning(pool: ServicePool): Promise<readonly string[]> {
  const server = await readServerFacts(pool);
  const { leader, row } = await readLockState(pool, server);
  const found = await readServices(pool);
  const { services } = reportServices(found, { now: server.utcNow, leaderId: leader });
  const running = services.filter(({ isRunning }) => isRunning);
  const named = running.map(({ host, listen }) => `${host} (${listen})`);
  return named.length > 0 || leader === null ? named : [row?.holder ?? `connection ${leader}`];
}

/** True: nothing is held any more. */
async function restoreEverything(
  settings: UninstallSettings,
  lost: readonly string[],
  shell: Shell,
): Promise<boolean> {
  let isComplete = true;
  for (const schema of lost)
    isComplete = (await runRestore(settings, { schema }, shell)) === 0 && isComplete;
  const { left } = await withPool(settings, readHeld);
  if (left.length > 0) isComplete = (await runRestore(settings, ALWAYS, shell)) === 0 && isComplete;
  return isComplete;
}

async function removeEverything(
  settings: UninstallSettings,
  flags: Flags,
  shell: Shell,
): Promise<boolean> {
  const { yes } = flags;
  if ((await runRemove(settings, { ...ALWAYS, yes }, shell)) !== 0) return false;
  // Their pages may stay in the buffer pool, and nobody comes back for them.
  return (await runGc({ ...settings, evac: 0, grace: 0 }, { once: true }, shell)) === 0;
}

async function readHeld(pool: ServicePool) {
  const left = [...(await listAll(pool)), ...(await listUnknown(pool))];
  const origins = new Set(left.flatMap(({ origin }) => origin?.schema ?? []));
  return { left, lost: await missingSchemas(pool, [...origins], await readSchemas(pool)) };
}

/** Returns the exit code. */
async function dropSchemas(
  pool: ServicePool,
  flags: Flags,
  { stdout, stderr, ask }: Shell,
): Promise<number> {
  const [found = []] = await pool.run(
    sql`SELECT ${note('look')} SCHEMA_NAME AS name FROM information_schema.SCHEMATA`,
  );
  // The spare ones, too.
  const schemas = found.map((row) => textOf(row, 'name')).filter(isRecycleSchema);
  const [rows = []] = await pool.run(
    sql`SELECT ${note('look')} TABLE_SCHEMA AS place, TABLE_NAME AS name
        FROM information_schema.TABLES WHERE TABLE_SCHEMA IN (${valueList(schemas)})`,
  );
  const tables = rows.map((row) => ({ schema: textOf(row, 'place'), name: textOf(row, 'name') }));
  const others = tables.filter(({ name }) => !OWN_TABLES.has(name));
  if (others.length > 0) {
    const names = others.map(({ schema, name }) => `${schema}.${name}`).join(', ');
    stderr.write(`undrop: expected only tables of undrop in its schemas, found ${names}.\n`);
    return 1;
  }
  if (flags['yes'] !== true) {
    if (ask === undefined) throw wrongUsage('Expected --yes, because there is no terminal.');
    const what = `Nothing is held. The schema ${RECYCLE_SCHEMA} is dropped, with its history.\n`;
    if ((await ask(`${what}Type ${CONFIRMATION} to go on: `)) !== CONFIRMATION) return 1;
  }
  // Without tables, so that a table which comes at this moment isn't lost.
  for (const { schema, name } of tables) {
    await pool.run(sql`DROP ${note('uninstall')} TABLE IF EXISTS ${ident(schema, name)}`);
  }
  for (const schema of schemas) {
    const drop = sql`DROP ${note('uninstall')} DATABASE IF EXISTS ${ident(schema)}`;
    await unlessRefused(pool.run(drop), [], ...ACCESS_DENIED);
  }
  const [[row = {}] = []] = await pool.run(sql`SELECT CURRENT_USER() AS account`);
  const [user = '', host = ''] = textOf(row, 'account').split(/@(?=[^@]*$)/);
  stdout.write(
    `The schemas of undrop are gone. Its account, and what was granted to it, goes with:\n` +
      `DROP USER '${user}'@'${host}';\n` +
      'Applications connect to the server itself from now on.\n',
  );
  return 0;
}

const OWN_TABLES: ReadonlySet<string> = new Set([
  'ledger',
  'ledger_version',
  'history',
  'proxies',
  'control',
  'collector',
  'leader',
]);
