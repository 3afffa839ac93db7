/**
 * `undrop restore --schema d [--to d2]` restores a dropped schema. Exit code 1 if something is
 * missing, which is printed; then the same command tries that again. With `--dry-run` it only
 * prints what it would do.
 */

import { jsonText } from '../../printer.js';
import { formatSchemaPreview, formatSchemaReport } from '../../restore/print-report.js';
import { previewSchema, restoreSchema } from '../../restore/schema/restore-schema.js';
import type { ServicePool } from '../../service/pool/pools.js';
import type { AccountSettings } from '../settings.js';
import { type Flags, flagText, type Out } from '../shell.js';
import { tellAll } from './tell-history.js';

/** `schema`: its name, or the beginning of an id of its drop. */
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
  await tellAll({ pool, settings }, events);
  out.write(isJson ? jsonText(report) : formatSchemaReport(report));
  return report.isComplete ? 0 : 1;
}
