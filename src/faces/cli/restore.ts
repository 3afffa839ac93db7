/**
 * `undrop restore`: which tables the arguments mean, or which schema, and the report on each. With
 * `--dry-run` it only prints what it would do.
 */

import { quoteIdentifier, type ServicePool } from '../../connections/sql.js';
import type { QualifiedTable } from '../../names/names.js';
import { jsonText } from '../../printer.js';
import { restoredEvent } from '../../recycle/held-tables.js';
import { previewAll, withoutRefused } from '../../recycle/preview.js';
import * as print from '../../recycle/print/print-report.js';
import { choose, type ManyRequest, restoreAll } from '../../recycle/restore.js';
import {
  findSchemaDropsById,
  previewSchema,
  restoredEvents,
  restoreSchema,
} from '../../recycle/schema/restore-schema.js';
import type { SwapBy } from '../../recycle/swap.js';
import { endWith, readChosen, readSelection } from './list.js';
import { commandLog, reportEvents, whoIs } from './report-events.js';
import type { AccountSettings, Flags, HoldSettings, Out, Shell } from './settings.js';
import { flagText, holdMsOf, wrongUsage } from './settings.js';
import { withPool } from './with-pool.js';

/** A single named table gets its usual report; several, or a selection, get a summary. */
export function runRestore(
  settings: AccountSettings & HoldSettings,
  flags: Flags,
  shell: Shell,
): Promise<number> {
  const { stdout } = shell;
  const { targets, alone, text } = readRequest(flags);
  const isJson = flags['json'] === true;
  const to = flagText(flags, 'to') ?? undefined;
  const swaps = flags['swap'] === true;
  const anyParent = flags['keys'] === true;
  return withPool(settings, async (pool) => {
    const schema = await schemaMeant(pool, swaps ? null : alone);
    if (schema !== null) {
      return runRestoreSchema(pool, settings, { schema, flags, out: stdout });
    }
    const request: ManyRequest =
      targets.length > 0
        ? { by: 'name', targets, to, swaps }
        : { by: 'selection', selection: await readSelection(pool, flags), text };
    const choices = await choose(pool, request);
    if (flags['dry-run'] === true) {
      const preview = withoutRefused(await previewAll(pool, choices, { swaps, anyParent }));
      stdout.write(isJson ? jsonText(print.previewJson(preview)) : print.formatPreview(preview));
      return endWith(print.formatFailures(preview, { verb: 'would not be restored' }), shell);
    }
    const isNamedAlone = targets.length === 1;
    const report = await restoreAll(pool, choices, {
      anyParent,
      ...(swaps && { swapBy: (live) => swapBy(settings, live) }),
      onResult: (result, at) => {
        if (!isJson && !isNamedAlone) stdout.write(print.formatResult(result, at));
      },
    });
    await reportEvents(
      { pool, settings },
      report.done.map((one) => restoredEvent(one, one.restoredAs)),
    );
    const [done] = report.done;
    if (isNamedAlone && done !== undefined) {
      stdout.write(
        isJson ? jsonText(print.restoreReportJson(done)) : print.formatRestoreReport(done),
      );
      return endWith(print.formatMissing(report.done), shell);
    }
    for (const { error } of isNamedAlone ? report.failed : []) throw error;
    stdout.write(isJson ? jsonText(print.manyJson(report)) : `Restored: ${report.done.length}.\n`);
    const failures = print.formatFailures(report, { verb: 'were not restored' });
    return endWith(failures + print.formatMissing(report.done), shell);
  });
}

const SELECTORS = ['drop', 'dropped-by', 'since', 'until', 'schema'] as const;

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

/** Either tables, or a selection; `alone`: a schema or drop without other flags. */
function readRequest(flags: Flags) {
  const expected = '--drop, --schema, or --dropped-by with --since';
  const { targets, given, text } = readChosen(flags, SELECTORS, expected);
  const [only] = given.length === 1 ? given : [];
  const by = only === 'schema' || only === 'drop' ? only : null;
  const alone: Alone | null = by && { by, value: flagText(flags, by) ?? '' };
  const isTimed = flags['since'] !== undefined || flags['until'] !== undefined;
  if (flags['dropped-by'] !== undefined && !isTimed && flags['dry-run'] !== true) {
    throw wrongUsage(
      '--dropped-by: expected --since or --until beside it, or --dry-run; found neither.',
    );
  }
  if (flags['swap'] === true && (flags['to'] !== undefined || by === 'schema')) {
    throw wrongUsage('--swap: expected tables that get their own names; found --to or --schema.');
  }
  if (targets.length !== 1 && flags['to'] !== undefined && by !== 'schema') {
    throw wrongUsage(`--to: expected one table or id with it, found ${targets.length}.`);
  }
  return { targets, alone, text };
}

// ── one table, one schema ───────────────────────────────────────────────────────────────────────

/** The actor that drops the live table, for the ledger. */
function swapBy(
  settings: AccountSettings & HoldSettings,
  { schema, table }: QualifiedTable,
): SwapBy {
  const { osUser, host, account: accountName } = whoIs(settings);
  return {
    proxyId: `command ${process.pid}`,
    user: osUser,
    accountName,
    clientAddress: `${osUser}@${host}`.slice(0, 255),
    statementText: `UNDROP TABLE ${quoteIdentifier(schema)}.${quoteIdentifier(table)} SWAP`,
    hold: holdMsOf(settings),
    log: commandLog(settings),
  };
}

/**
 * Restores a dropped schema. Exit code 1 if something is missing, which is printed; then the same
 * command tries that again. `schema`: its name, or the beginning of an id of its drop.
 */
async function runRestoreSchema(
  pool: ServicePool,
  settings: AccountSettings,
  { schema, flags, out }: { readonly schema: string; readonly flags: Flags; readonly out: Out },
): Promise<number> {
  const to = flagText(flags, 'to');
  const isJson = flags['json'] === true;
  const anyParent = flags['keys'] === true;
  const request = { schema, mayBeId: true, anyParent, ...(to === null ? {} : { to }) };
  if (flags['dry-run'] === true) {
    const preview = await previewSchema(pool, request);
    out.write(isJson ? jsonText({ dryRun: true, ...preview }) : print.formatSchemaPreview(preview));
    return 0;
  }
  const report = await restoreSchema(pool, {
    ...request,
    onProgress: (line) => (isJson ? undefined : out.write(`${line}\n`)),
  });
  await reportEvents({ pool, settings }, restoredEvents(report));
  out.write(isJson ? jsonText(report) : print.formatSchemaReport(report));
  return report.isComplete ? 0 : 1;
}
