/**
 * `undrop list`, `show` and `restore`: lists held tables, shows the details of one table, and
 * restores one or many, each by one RENAME.
 */

import { parseTime, TIME_EXPECTED } from '../../duration.js';
import { readUses } from '../../ledger/history.js';
import type { QualifiedTable } from '../../names/names.js';
import { jsonText } from '../../printer.js';
import { readNow } from '../../restore/change-hold.js';
import { type DropFilter, filterDrops } from '../../restore/find-dropped.js';
import { listAll, listEnded, SORTS, sortDrops } from '../../restore/held-tables.js';
import type { RestorePlan } from '../../restore/plan-restore.js';
import {
  formatHeldList,
  formatHeldRows,
  formatShown,
  heldListJson,
  shownJson,
} from '../../restore/print-held.js';
import {
  formatFailures,
  formatPreview,
  formatRestoreReport,
  formatResult,
  manyJson,
  previewJson,
  restoreReportJson,
} from '../../restore/print-report.js';
import {
  choose,
  type ManyReport,
  type ManyRequest,
  previewing,
  restoreAll,
} from '../../restore/restore.js';
import { restoreTable } from '../../restore/restore-table.js';
import { findSchemaDropsById } from '../../restore/schema/restore-schema.js';
import { readHeldRows, showTable } from '../../restore/show.js';
import { type SwapBy, swap } from '../../restore/swap.js';
import type { ServicePool } from '../../service/pool/pools.js';
import { quoteIdentifier } from '../../service/sql.js';
import { type AccountSettings, type HoldSettings, holdMsOf } from '../settings.js';
import { type Flags, flagText, type Out, type Shell, wrongFlag, wrongUsage } from '../shell.js';
import { runRestoreSchema } from './restore-schema.js';
import { commandLog, tellHistory, whatOf, whoIs } from './tell-history.js';
import { withPool } from './with-pool.js';

export function runList(
  settings: AccountSettings,
  flags: Flags,
  { stdout: out }: Shell,
): Promise<number> {
  const sort = SORTS.find((one) => one === flags['sort']);
  if (sort === undefined) throw wrongFlag('sort', SORTS.join(', '), `"${flags['sort']}"`);
  return withPool(settings, async (pool) => {
    const held = await listAll(pool);
    const all = flags['all'] === true ? [...held, ...(await listEnded(pool))] : held;
    const shown = sortDrops(filterDrops(all, await readFilter(pool, flags)), sort);
    const uses = await readUses(pool);
    if (flags['json'] === true) out.write(jsonText(heldListJson(shown, uses)));
    else if (shown.length > 0 || all.length === 0) out.write(formatHeldList(shown, uses));
    else out.write(`0 of ${all.length} tables match these flags.\n`);
    return 0;
  });
}

const ROWS_MAX = 1_000;
const NO_SCRIPT = 'The ledger has no restore script for it';

export function runShow(
  settings: AccountSettings,
  flags: Flags,
  { stdout: out, stderr }: Shell,
): Promise<number> {
  const wanted = flagText(flags, 'rows');
  const rowsMax = wanted === null ? 0 : Number(/^\d{1,4}$/.test(wanted) ? wanted : 0);
  if (wanted !== null && (rowsMax < 1 || rowsMax > ROWS_MAX)) {
    throw wrongFlag('rows', `a number from 1 to ${ROWS_MAX}`, `"${wanted}"`);
  }
  return withPool(settings, async (pool) => {
    const shown = await showTable(pool, String(flags['target']));
    const { held, script, row } = shown;
    if (flags['sql'] === true) {
      if (script !== null) out.write(script);
      const why = script === null ? NO_SCRIPT : 'The table is no longer held';
      // For a table that lacks triggers, the script contains them.
      const isMeant = held !== null || row?.failure?.todo === 'triggers';
      if (script === null || !isMeant) stderr.write(`undrop: ${why}.\n`);
      return script === null ? 1 : 0;
    }
    const rows = held === null || wanted === null ? null : await readHeldRows(pool, held, rowsMax);
    if (flags['json'] === true) out.write(jsonText(shownJson(shown, rows)));
    else if (wanted === null) out.write(formatShown(shown));
    else out.write(rows === null ? 'The table is no longer held.\n' : formatHeldRows(rows));
    return 0;
  });
}

/** A single named table gets its usual report; several, or a selection, get a summary. */
export function runRestore(
  settings: AccountSettings & HoldSettings,
  flags: Flags,
  { stdout, stderr }: Shell,
): Promise<number> {
  const targets = (flags['targets'] as readonly string[] | undefined) ?? [];
  const alone = assertSelection(targets, flags);
  const isJson = flags['json'] === true;
  const to = flagText(flags, 'to') ?? undefined;
  return withPool(settings, async (pool) => {
    const schema = await schemaMeant(pool, flags['swap'] === true ? null : alone);
    if (schema !== null) {
      return runRestoreSchema(pool, settings, { schema, flags, out: stdout });
    }
    const request: ManyRequest =
      targets.length > 0 ? { by: 'name', targets, to } : await readSelection(pool, flags);
    const choices = await choose(pool, request);
    const swaps = flags['swap'] === true;
    if (flags['dry-run'] === true) {
      const preview = await restoreAll(pool, choices, { restoreOne: previewing(pool, { swaps }) });
      stdout.write(isJson ? jsonText(previewJson(preview)) : formatPreview(preview, { swaps }));
      return endOf(preview, { stderr, isDryRun: true });
    }
    const restoreOne = async (plan: RestorePlan) => {
      const report =
        swaps && !plan.wasBack
          ? await swap(pool, { target: plan.table.id, by: swapBy(settings, plan.to) })
          : await restoreTable(pool, plan);
      const { schema, table } = report.restoredAs;
      const what = { ...whatOf(plan.table), restoredAs: `${schema}.${table}` };
      await tellHistory(pool, settings, {
        table: plan.table,
        event: { event: 'restored', ...what },
      });
      return report;
    };
    const isNamedAlone = targets.length === 1;
    const report = await restoreAll(pool, choices, {
      restoreOne,
      onResult: (result, at) => {
        if (!isJson && !isNamedAlone) stdout.write(formatResult(result, at));
      },
    });
    const [done] = report.done;
    if (isNamedAlone && done !== undefined) {
      stdout.write(isJson ? jsonText(restoreReportJson(done)) : formatRestoreReport(done));
      return 0;
    }
    for (const { error } of isNamedAlone ? report.failed : []) throw error;
    stdout.write(isJson ? jsonText(manyJson(report)) : `Restored: ${report.done.length}.\n`);
    return endOf(report, { stderr, isDryRun: false });
  });
}

/** The actor that drops the live table, for the ledger. */
function swapBy(
  settings: AccountSettings & HoldSettings,
  { schema, table }: QualifiedTable,
): SwapBy {
  const { osUser, host, account: user } = whoIs(settings);
  return {
    proxyId: `command ${process.pid}`,
    user,
    clientAddress: `${osUser}@${host}`.slice(0, 255),
    statementText: `UNDROP TABLE ${quoteIdentifier(schema)}.${quoteIdentifier(table)} SWAP`,
    hold: holdMsOf(settings),
    log: commandLog(settings),
  };
}

/** Prints the failures; returns the exit code. */
function endOf(
  report: ManyReport<unknown>,
  { stderr, isDryRun }: { readonly stderr: Out; readonly isDryRun: boolean },
): number {
  const failures = formatFailures(report, { isDryRun });
  stderr.write(failures);
  return failures === '' ? 0 : 1;
}

const SELECTORS = ['drop', 'user', 'since', 'until', 'schema'] as const;

interface Alone {
  readonly by: 'schema' | 'drop';
  readonly value: string;
}

/** The schema to restore if a drop was a DROP DATABASE. Null: tables are restored. */
async function schemaMeant(pool: ServicePool, alone: Alone | null): Promise<string | null> {
  if (alone === null || alone.by === 'schema') return alone?.value ?? null;
  const found = await findSchemaDropsById(pool, alone.value);
  return found.length > 0 ? alone.value : null;
}

/** Accepts either tables, or a selection; a schema or drop alone is returned. */
function assertSelection(targets: readonly string[], flags: Flags): Alone | null {
  const given = SELECTORS.filter((name) => flags[name] !== undefined);
  const [selector] = given;
  const only = targets.length === 0 && given.length === 1 ? selector : undefined;
  const by = only === 'schema' || only === 'drop' ? only : null;
  const schema = by === 'schema' ? flagText(flags, 'schema') : null;
  if (targets.length === 0 && selector === undefined) {
    throw wrongUsage(
      'Expected a table, an id, --drop, --schema, or --user with --since; found none of them.',
    );
  }
  if (targets.length > 0 && selector !== undefined) {
    throw wrongUsage(`Expected tables by name or id, or --${selector}; found both.`);
  }
  const isTimed = flags['since'] !== undefined || flags['until'] !== undefined;
  if (flags['user'] !== undefined && !isTimed && flags['dry-run'] !== true) {
    throw wrongUsage('--user: expected --since or --until beside it, or --dry-run; found neither.');
  }
  if (flags['swap'] === true && (flags['to'] !== undefined || schema !== null)) {
    throw wrongUsage('--swap: expected tables that get their own names; found --to or --schema.');
  }
  if (targets.length !== 1 && flags['to'] !== undefined && schema === null) {
    throw wrongUsage(`--to: expected one table or id with it, found ${targets.length}.`);
  }
  return by === null ? null : { by, value: flagText(flags, by) ?? '' };
}

async function readSelection(pool: ServicePool, flags: Flags): Promise<ManyRequest> {
  const text = SELECTORS.flatMap((name) => {
    const value = flagText(flags, name);
    return value === null ? [] : [`--${name} ${value}`];
  }).join(' ');
  const filter = await readFilter(pool, flags);
  return { by: 'drop', drop: flagText(flags, 'drop'), filter, text };
}

/** Times are compared with those in the ledger, which are of the server's clock. */
async function readFilter(pool: ServicePool, flags: Flags): Promise<DropFilter> {
  const isTimed = flags['since'] !== undefined || flags['until'] !== undefined;
  const now = isTimed ? await readNow(pool) : new Date(0);
  return {
    schema: flagText(flags, 'schema'),
    user: flagText(flags, 'user'),
    since: readTime(flags, 'since', now),
    until: readTime(flags, 'until', now),
  };
}

function readTime(flags: Flags, name: string, now: Date): Date | null {
  const text = flagText(flags, name);
  if (text === null) return null;
  const time = parseTime(text, now);
  if (time === null) throw wrongFlag(name, TIME_EXPECTED, JSON.stringify(text));
  return time;
}
