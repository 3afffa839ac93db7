/**
 * `undrop list` and `show`: the held tables, and the details, rows or restore script of one dropped
 * table. They change nothing.
 */

import { readNow, type ServicePool } from '../../connections/sql.js';
import { parseSince, parseTime, TIME_EXPECTED } from '../../duration.js';
import { readUses, type Uses } from '../../ledger/history.js';
import { countTables } from '../../ledger/overview.js';
import { type Selection, SORTS } from '../../ledger/selection.js';
import { formatCount, jsonText, printable } from '../../printer.js';
import { idDigits, isIdPrefix, parseTableName } from '../../recycle/find-dropped.js';
import { listDroppedTables, listDrops, selectionBy } from '../../recycle/list.js';
import {
  formatHeldRows,
  formatShown,
  heldListJson,
  shownJson,
} from '../../recycle/print/print-held.js';
import { formatList, formatSize, NOTHING_LISTED, sizeOf } from '../../recycle/print/print-list.js';
import { readHeldRows, showTable } from '../../recycle/show.js';
import type { AccountSettings, Flags, Shell } from './settings.js';
import { flagText, wrongFlag, wrongUsage } from './settings.js';
import { withPool } from './with-pool.js';

/** Lines of a list on a screen; --json has no limit of its own. */
const LIMIT = 50;

export function runList(
  settings: AccountSettings,
  flags: Flags,
  shell: Pick<Shell, 'stdout'>,
): Promise<number> {
  const sort = SORTS.find((one) => one === flags['sort']);
  if (sort === undefined) throw wrongFlag('sort', SORTS.join(', '), `"${flags['sort']}"`);
  const isJson = flags['json'] === true;
  const wanted = { sort, limit: readLimit(flags, isJson ? null : LIMIT) };
  return withPool(settings, async (pool) => {
    const selection = await readSelection(pool, flags);
    const uses = await readUses(pool);
    // With `--all`, too, because the tables of one statement may have ended in different ways.
    const isByTable = flags['tables'] === true || flags['all'] === true;
    if (isJson) await printAsJson(listDroppedTables(pool, selection, wanted), uses, shell);
    else await printScreen(pool, { selection, wanted, uses, isByTable }, shell);
    return 0;
  });
}

function readLimit(flags: Flags, fallback: number | null): number | null {
  const text = flagText(flags, 'limit');
  if (text === null) return fallback;
  if (text === 'none') return null;
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw wrongFlag('limit', 'a number from 1 on, or none', JSON.stringify(text));
}

/** A list of any length, in the memory of a page. */
async function printAsJson(
  pages: ReturnType<typeof listDroppedTables>,
  uses: ReadonlyMap<string, Uses>,
  { stdout: out }: Pick<Shell, 'stdout'>,
): Promise<void> {
  let before = '[';
  for await (const page of pages) {
    for (const one of heldListJson(page.lines, uses)) {
      out.write(`${before}\n${JSON.stringify(one, null, 2).replaceAll(/^/gm, '  ')}`);
      before = ',';
    }
  }
  out.write(before === '[' ? '[]\n' : '\n]\n');
}

interface Screen {
  readonly selection: Selection;
  readonly wanted: Parameters<typeof listDrops>[2];
  readonly uses: ReadonlyMap<string, Uses>;
  readonly isByTable: boolean;
}

/** A page is aligned within itself. */
async function printScreen(
  pool: ServicePool,
  { selection, wanted, uses, isByTable }: Screen,
  { stdout: out }: Pick<Shell, 'stdout'>,
): Promise<void> {
  const columns = out.isTTY === true ? (out.columns ?? SCREEN_COLUMNS) : null;
  const view = { now: await readNow(pool), columns, uses };
  const pages = (isByTable ? listDroppedTables : listDrops)(pool, selection, wanted);
  let total = NOTHING_LISTED;
  const read = { lines: 0, tables: 0 };
  let hasSeveral = false;
  for await (const { lines, ledger } of pages) {
    out.write(formatList(lines, view));
    total = sizeOf(lines, total);
    read.lines += ledger.lines;
    read.tables += ledger.tables;
    hasSeveral ||= lines.some((drop) => 'tables' in drop);
  }
  const more = read.lines === wanted.limit ? (await countTables(pool, selection)) - read.tables : 0;
  if (total.tables === 0 && more <= 0) return void out.write(nothing(await countTables(pool, {})));
  if (more <= 0) out.write(`${formatSize(total)}.\n`);
  else
    out.write(
      `And ${formatCount(more)} more tables: --limit ${MORE} shows more, --limit none all.\n`,
    );
  if (hasSeveral) out.write(HINT);
}

const SCREEN_COLUMNS = 80;
const MORE = 4 * LIMIT;
const HINT = 'Several tables: `undrop restore --drop <id>`, `list --tables --drop <id>`.\n';

function nothing(held: number): string {
  return held === 0 ? 'No table is held.\n' : `0 of ${formatCount(held)} held tables match.\n`;
}

const ROWS_MAX = 1_000;
const CONTROLS = 'undrop: control characters are shown as ?; in a file the script is as it is.\n';
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
      // A name may have characters that a terminal obeys.
      const readable = script?.replaceAll(/[^\n\t]+/g, printable) ?? null;
      if (script !== null) out.write(out.isTTY === true ? (readable ?? '') : script);
      if (out.isTTY === true && readable !== script) stderr.write(CONTROLS);
      const why = script === null ? NO_SCRIPT : 'The table is no longer held';
      // For a table that lacks triggers, the script contains them.
      const isMeant = held !== null || row?.pendingWork?.todo === 'triggers';
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

/** Accepts either tables by name or id, or flags that select some; `selectors`: those flags. */
export function readChosen(flags: Flags, selectors: readonly string[], expected: string) {
  const targets = (flags['targets'] as readonly string[] | undefined) ?? [];
  const given = selectors.filter((name) => flags[name] !== undefined);
  const [selector] = given;
  if (targets.length === 0 && selector === undefined) {
    throw wrongUsage(`Expected a table, an id, ${expected}; found none of them.`);
  }
  if (targets.length > 0 && selector !== undefined) {
    throw wrongUsage(`Expected tables by name or id, or --${selector}; found both.`);
  }
  return { targets, given, text: given.map((name) => `--${name} ${flags[name]}`).join(' ') };
}

/** Prints what was not done; returns the exit code. */
export function endWith(problems: string, { stderr }: Pick<Shell, 'stderr'>): number {
  stderr.write(problems);
  return problems === '' ? 0 : 1;
}

/** Which tables the flags mean. Times are compared with those of the server's clock. */
export async function readSelection(pool: ServicePool, flags: Flags): Promise<Selection> {
  const isTimed = flags['since'] !== undefined || flags['until'] !== undefined;
  const now = isTimed ? await readNow(pool) : new Date(0);
  const [name, drop] = [flagText(flags, 'name'), flagText(flags, 'drop')];
  return selectionBy({
    withEnded: flags['all'] === true ? true : null,
    since: readTime(flags, 'since', (text) => parseSince(text, now)),
    until: readTime(flags, 'until', (text) => parseTime(text, now)),
    target: name === null ? null : readTarget(name),
    drop: drop === null ? null : readDrop(drop),
    like: flagText(flags, 'like'),
    schema: flagText(flags, 'schema'),
    user: flagText(flags, 'dropped-by'),
    program: flagText(flags, 'program'),
  });
}

function readTarget(text: string): NonNullable<Selection['target']> {
  const digits = idDigits(text);
  return { name: parseTableName(text), digits: isIdPrefix(digits) ? digits : null };
}

function readDrop(text: string): string {
  const digits = idDigits(text);
  if (isIdPrefix(digits)) return digits;
  throw wrongFlag('drop', '4 or more digits of an id', JSON.stringify(text));
}

function readTime(flags: Flags, name: string, parse: (text: string) => Date | null): Date | null {
  const text = flagText(flags, name);
  if (text === null) return null;
  const time = parse(text);
  if (time === null) throw wrongFlag(name, TIME_EXPECTED, JSON.stringify(text));
  return time;
}
