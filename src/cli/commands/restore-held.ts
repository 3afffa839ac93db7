/**
 * Restores one table, or a dropped schema, for `undrop restore`, and records it in the history.
 */
import type { QualifiedTable } from '../../names/names.js';
import { jsonText } from '../../printer.js';
import type { RestorePlan } from '../../restore/plan-restore.js';
import { formatSchemaPreview, formatSchemaReport } from '../../restore/print-report.js';
import { restoreTable } from '../../restore/restore-table.js';
import { previewSchema, restoreSchema } from '../../restore/schema/restore-schema.js';
import { type SwapBy, swap } from '../../restore/swap.js';
import type { ServicePool } from '../../service/pool/pools.js';
import { quoteIdentifier } from '../../service/sql.js';
import { type AccountSettings, type HoldSettings, holdMsOf } from '../settings.js';
import { type Flags, flagText, type Out } from '../shell.js';
import { commandLog, reportEvents, reportTable, whatOf, whoIs } from './report-events.js';

/** `swaps`: the live table of that name is held in exchange. */
export async function restoreHeld(
  pool: ServicePool,
  settings: AccountSettings & HoldSettings,
  { plan, swaps }: { readonly plan: RestorePlan; readonly swaps: boolean },
) {
  const report =
    swaps && !plan.wasBack
      ? await swap(pool, { target: plan.table.id, by: swapBy(settings, plan.to) })
      : await restoreTable(pool, plan);
  const { schema, table } = report.restoredAs;
  const what = { ...whatOf(plan.table), restoredAs: `${schema}.${table}` };
  const event = { event: 'restored', ...what } as const;
  await reportTable(pool, settings, { table: plan.table, event });
  return report;
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

/**
 * Restores a dropped schema. Exit code 1 if something is missing, which is printed; then the same
 * command tries that again. `schema`: its name, or the beginning of an id of its drop.
 */
export async function runRestoreSchema(
  pool: ServicePool,
  settings: AccountSettings,
  { schema, flags, out }: { readonly schema: string; readonly flags: Flags; readonly out: Out },
): Promise<number> {
  const to = flagText(flags, 'to');
  const isJson = flags['json'] === true;
  const request = { schema, mayBeId: true, ...(to === null ? {} : { to }) };
  if (flags['dry-run'] === true) {
    const preview = await previewSchema(pool, request);
    out.write(isJson ? jsonText({ dryRun: true, ...preview }) : formatSchemaPreview(preview));
    return 0;
  }
  const report = await restoreSchema(pool, {
    ...request,
    onProgress: (line) => (isJson ? undefined : out.write(`${line}\n`)),
  });
  const { groupId: dropId, restoredAs } = report;
  const restored = report.tables.filter(({ outcome }) => outcome === 'restored');
  const events = restored.map(({ id, table }) => {
    const what = { id, dropId, schema: report.schema, table };
    return { event: 'restored' as const, ...what, restoredAs: `${restoredAs}.${table}` };
  });
  await reportEvents({ pool, settings }, events);
  out.write(isJson ? jsonText(report) : formatSchemaReport(report));
  return report.isComplete ? 0 : 1;
}
