/** `undrop list`: what is held, until when, and what becomes of it. */
import { formatHeldList, heldListJson } from '../../undo/format.js';
import { listAll } from '../../undo/list.js';
import type { Out } from '../shell.js';
import type { AccountSettings } from './account-settings.js';
import { withPool } from './with-pool.js';

export function runList(
  settings: AccountSettings,
  options: { readonly json: boolean },
  out: Out,
): Promise<number> {
  return withPool(settings, async (pool) => {
    const held = await listAll(pool);
    const width = out.isTTY ? (out.columns ?? null) : null;
    const text = options.json
      ? JSON.stringify(heldListJson(held), null, 2)
      : formatHeldList(held, width);
    out.write(`${text.trimEnd()}\n`);
    return 0;
  });
}
