/**
 * `undrop list` and `show`: the held tables, and the details, rows or restore script of one dropped
 * table. They change nothing.
 */
import { parseTime, TIME_EXPECTED } from '../../duration.js';
import { readUses } from '../../ledger/history.js';
import { jsonText } from '../../printer.js';
import { readNow } from '../../restore/change-hold.js';
import { type DropFilter, filterDrops } from '../../restore/find-dropped.js';
import { listAll, listEnded, SORTS, sortDrops } from '../../restore/held-tables.js';
import {
  formatHeldList,
  formatHeldRows,
  formatShown,
  heldListJson,
  shownJson,
} from '../../restore/print-held.js';
import { readHeldRows, showTable } from '../../restore/show.js';
import type { ServicePool } from '../../service/pool/pools.js';
import type { AccountSettings } from '../settings.js';
import { type Flags, flagText, type Shell, wrongFlag } from '../shell.js';
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

/** Times are compared with those in the ledger, which are of the server's clock. */
export async function readFilter(pool: ServicePool, flags: Flags): Promise<DropFilter> {
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
