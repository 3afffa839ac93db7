/**
 * `undrop list` prints what is held and until when; `undrop restore <table|id> [--to name]` brings
 * a held table back, whole, by one RENAME.
 */
import {
  formatHeldList,
  formatRestoreReport,
  heldListJson,
  restoreReportJson,
} from '../../undo/format.js';
import { listAll } from '../../undo/list.js';
import { restore } from '../../undo/run-restore.js';
import type { AccountSettings } from '../settings.js';
import { type Out, withPool } from './with-pool.js';

export function runList(
  settings: AccountSettings,
  options: { readonly json: boolean },
  out: Out,
): Promise<number> {
  return withPool(settings, async (pool) => {
    const held = await listAll(pool);
    const text = options.json ? JSON.stringify(heldListJson(held), null, 2) : formatHeldList(held);
    out.write(`${text.trimEnd()}\n`);
    return 0;
  });
}

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
