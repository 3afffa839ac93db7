/** `undrop list`: what is held, until when, and what becomes of it. */
import { formatHeldList, heldListJson } from '../undo/format.js';
import { listAll } from '../undo/list.js';
import type { AccountSettings } from './account-settings.js';
import { withPool } from './with-pool.js';

export function runList(
  settings: AccountSettings,
  options: { readonly json: boolean },
): Promise<number> {
  return withPool(settings, async (pool) => {
    const held = await listAll(pool);
    const width = process.stdout.isTTY ? process.stdout.columns : null;
    const text = options.json
      ? JSON.stringify(heldListJson(held), null, 2)
      : formatHeldList(held, width);
    process.stdout.write(`${text.trimEnd()}\n`);
    return 0;
  });
}
