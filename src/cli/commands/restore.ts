/** `undrop restore <table|id> [--to name]`: a held table comes back, whole, by one RENAME. */
import { formatRestoreReport, restoreReportJson } from '../../undo/format.js';
import { restore } from '../../undo/run-restore.js';
import type { Out } from '../shell.js';
import type { AccountSettings } from './account-settings.js';
import { withPool } from './with-pool.js';

export function runRestore(
  settings: AccountSettings,
  options: { readonly target: string; readonly to: string | null; readonly json: boolean },
  out: Out,
): Promise<number> {
  return withPool(settings, async (pool) => {
    const { target, to } = options;
    const report = await restore(pool, to === null ? { target } : { target, to });
    const text = options.json
      ? JSON.stringify(restoreReportJson(report), null, 2)
      : formatRestoreReport(report);
    out.write(`${text.trimEnd()}\n`);
    return 0;
  });
}
