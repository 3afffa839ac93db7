/**
 * `undrop restore --schema d [--to d2]` brings a dropped schema back. Exit code 1 if something of
 * it is not back, which is printed; then the same command tries that again.
 */
import { formatSchemaReport, schemaReportJson } from '../../undo/format-schema.js';
import { restoreSchema } from '../../undo/restore-schema.js';
import type { AccountSettings } from '../settings.js';
import { type Out, withPool } from './with-pool.js';

export function runRestoreSchema(
  settings: AccountSettings,
  options: { readonly schema: string; readonly to: string | null; readonly json: boolean },
  out: Out,
): Promise<number> {
  return withPool(settings, async (pool) => {
    const { schema, to, json } = options;
    const report = await restoreSchema(pool, {
      schema,
      ...(to === null ? {} : { to }),
      onProgress: (line) => (json ? undefined : out.write(`${line}\n`)),
    });
    out.write(
      json ? `${JSON.stringify(schemaReportJson(report), null, 2)}\n` : formatSchemaReport(report),
    );
    return report.isComplete ? 0 : 1;
  });
}
