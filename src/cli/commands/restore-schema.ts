/**
 * `undrop restore --schema d [--to d2]` brings a dropped schema back. Exit code 1 if something of
 * it is not back, which is printed; then the same command tries that again.
 */

import { formatSchemaReport, schemaReportJson } from '../../undo/schema/format-schema.js';
import { restoreSchema } from '../../undo/schema/restore-schema.js';
import type { Flags } from '../command-line.js';
import type { AccountSettings } from '../settings.js';
import { textOf } from '../undo-commands.js';
import { tellAll } from './tell-history.js';
import { type Out, withPool } from './with-pool.js';

export function runRestoreSchema(
  settings: AccountSettings,
  schema: string,
  { flags, out }: { readonly flags: Flags; readonly out: Out },
): Promise<number> {
  const to = textOf(flags, 'to');
  const isJson = flags['json'] === true;
  return withPool(settings, async (pool) => {
    const report = await restoreSchema(pool, {
      schema,
      ...(to === null ? {} : { to }),
      onProgress: (line) => (isJson ? undefined : out.write(`${line}\n`)),
    });
    const { groupId: dropId, restoredAs } = report;
    const restored = report.tables.filter(({ outcome }) => outcome === 'restored');
    const events = restored.map(({ id, table }) => {
      const what = { id, dropId, schema: report.schema, table };
      return { event: 'restored' as const, ...what, restoredAs: `${restoredAs}.${table}` };
    });
    await tellAll(pool, settings, events);
    const text = isJson
      ? `${JSON.stringify(schemaReportJson(report), null, 2)}\n`
      : formatSchemaReport(report);
    out.write(text);
    return report.isComplete ? 0 : 1;
  });
}
