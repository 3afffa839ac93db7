/**
 * `undrop restore`: which tables the arguments mean, or which schema, and the report on each. With
 * `--dry-run` it only prints what it would do.
 */

import { quoteIdentifier, type ServicePool } from '../../connections/sql.js';
import type { QualifiedTable } from '../../names/names.js';
import { jsonText } from '../../printer.js';
import { OPERATOR } from '../../recycle/asker.js';
import { restoredEvent } from '../../recycle/held-tables.js';
import { previewAll, withoutRefused } from '../../recycle/preview.js';
import * as print from '../../recycle/print/print-report.js';
import { type Choice, choose, restoreAll } from '../../recycle/restore.js';
import {
  findSchemaDrop,
  findSchemaDropsById,
  othersHeld,
} from '../../recycle/schema/restore-schema.js';
import type { SwapBy } from '../../recycle/swap.js';
import { partsOf, planUndo, type UndoPlan } from '../../recycle/undo/plan-undo.js';
import { inTheWay, type UndoOptions, undoMany } from '../../recycle/undo/undo-many.js';
import { endWith, readChosen, readSelection } from './list.js';
import { commandLog, reportEvents, whoIs } from './report-events.js';
import type { AccountSettings, Flags, HoldSettings, Shell } from './settings.js';
import { flagText, holdMsOf, wrongUsage } from './settings.js';
import { withPool } from './with-pool.js';

/** A single named table gets its usual report; several, or a selection, get a summary. */
export function runRestore(
  settings: AccountSettings & HoldSettings,
  flags: Flags,
  shell: Shell,
): Promise<number> {
  const { targets, alone, text } = readRequest(flags);
  const to = flagText(flags, 'to') ?? undefined;
  const swaps = flags['swap'] === true;
  return withPool(settings, async (pool) => {
    const isDry = flags['dry-run'] === true;
    const isJson = flags['json'] === true;
    const meant = alone && (await dropMeant(pool, alone, to ?? flagText(flags, 'to-schema')));
    const others = meant && !swaps ? await othersHeld(pool, meant.drop) : null;
    if (meant?.isBack === true && !swaps) {
      const none = jsonText(print.manyJson({ done: [], failed: [], untried: [] }, []));
      const text = print.present(print.formatBack(meant.drop, to ?? null), others).join('\n');
      shell.stdout.write(isJson ? none : `${text}\n`);
      return 0;
    }
    const drop = meant?.drop ?? null;
    const selection = drop
      ? { id: drop.dropId, schemas: [drop.schema] }
      : await readSelection(pool, flags);
    const toSchema = flagText(flags, 'to-schema') ?? to ?? null;
    const asked = { selection, text, swaps, toSchema, asker: OPERATOR };
    const plan = targets.length === 0 ? await planUndo(pool, asked) : null;
    const choices = plan?.choices ?? (await choose(pool, { targets, to, swaps }));
    // All of a schema that can be restored is, unless others make room.
    const partial = flags['partial'] === true || (drop !== null && !swaps);
    const restore = { pool, settings, flags, shell, plan, choices, partial };
    if (isDry) return preview(restore);
    const code = await restoreMany(restore, targets.length === 1);
    if (others !== null && !isJson) shell.stdout.write(`${others}\n`);
    return code;
  });
}

interface Restore {
  readonly pool: ServicePool;
  readonly settings: AccountSettings & HoldSettings;
  readonly flags: Flags;
  readonly shell: Shell;
  /** Null: tables are named. */
  readonly plan: UndoPlan | null;
  readonly choices: readonly Choice[];
  readonly partial: boolean;
}

async function preview({ pool, flags, shell, plan, choices }: Restore): Promise<number> {
  const schemas = new Set(plan?.schemas.flatMap(({ to, isMissing }) => (isMissing ? to : [])));
  const how = { swaps: flags['swap'] === true, anyParent: flags['keys'] === true, made: schemas };
  const found = withoutRefused(await previewAll(pool, choices, how));
  const made = plan === null ? [] : partsOf(plan);
  const each = made.map(({ schema, part: { kind, name } }) => `${kind} ${schema}.${name}`);
  const parts = [...new Set(each)];
  const isJson = flags['json'] === true;
  const json = () => jsonText(print.previewJson(found, parts));
  shell.stdout.write(isJson ? json() : print.formatPreview(found, parts));
  return endWith(print.formatFailures(found, { verb: 'would not be restored' }), shell);
}

async function restoreMany(
  { pool, settings, flags, shell, plan, choices, partial }: Restore,
  isNamedAlone: boolean,
): Promise<number> {
  const { stdout } = shell;
  const isJson = flags['json'] === true;
  const wrong = plan === null || partial ? [] : inTheWay(plan);
  if (wrong.length > 0) {
    const none = { done: choices.slice(wrong.length), failed: wrong, untried: [] };
    const verb = 'stand in the way, and nothing was restored; --partial restores the others';
    return endWith(print.formatFailures(none, { verb }), shell);
  }
  const options: UndoOptions = {
    partial,
    anyParent: flags['keys'] === true,
    ...(flags['swap'] === true && { swapBy: (live) => swapBy(settings, live) }),
    onResult: (result, at) => {
      if (!isJson && !isNamedAlone) stdout.write(print.formatResult(result, at));
    },
  };
  const undone = plan && (await undoMany(pool, plan, options));
  const report = undone?.tables ?? (await restoreAll(pool, choices, options));
  const events = report.done.map((one) => restoredEvent(one, one.restoredAs));
  await reportEvents({ pool, settings }, events);
  const [done] = report.done;
  if (isNamedAlone && done !== undefined) {
    const json = () => jsonText(print.restoreReportJson(done));
    stdout.write(isJson ? json() : print.formatRestoreReport(done));
    return endWith(print.formatMissing(report.done), shell);
  }
  for (const { error } of isNamedAlone ? report.failed : []) throw error;
  const rest = undone?.schemas ?? [];
  const copied = print.formatCopied(report.done, rest);
  const text = `Restored: ${report.done.length}.\n${copied === null ? '' : `${copied}\n`}`;
  stdout.write(isJson ? jsonText(print.manyJson(report, undone?.schemas)) : text);
  const failures = print.formatFailures(report, { verb: 'were not restored' });
  const lost = print.present(print.formatLost(plan?.lost ?? []));
  const lines = [...rest.flatMap(print.formatLacking), ...lost];
  const lacking = lines.map((line) => `undrop: ${line}\n`).join('');
  return endWith(failures + print.formatMissing(report.done) + lacking, shell);
}

const SELECTORS = ['drop', 'dropped-by', 'since', 'until', 'schema'] as const;

interface Alone {
  readonly by: 'schema' | 'drop';
  readonly value: string;
}

/** A schema alone means its last DROP DATABASE; a drop alone may be one. Null: it isn't. */
async function dropMeant(pool: ServicePool, { by, value: schema }: Alone, to: string | null) {
  const isSchema = by === 'schema' || (await findSchemaDropsById(pool, schema)).length > 0;
  return isSchema ? findSchemaDrop(pool, { schema, mayBeId: true, to }) : null;
}

/** Either tables, or a selection; `alone`: a schema or drop without other flags. */
function readRequest(flags: Flags) {
  const expected = '--drop, --schema, or --dropped-by with --since';
  const { targets, given, text } = readChosen(flags, SELECTORS, expected);
  const [only] = given.length === 1 ? given : [];
  const by = only === 'schema' || only === 'drop' ? only : null;
  const alone: Alone | null = by && { by, value: flagText(flags, by) ?? '' };
  const isTimed = flags['since'] !== undefined || flags['until'] !== undefined;
  if (flags['dropped-by'] !== undefined && !isTimed && flags['dry-run'] !== true) {
    throw wrongUsage(
      '--dropped-by: expected --since or --until beside it, or --dry-run; found neither.',
    );
  }
  const other = ['to', 'to-schema'].find((name) => flags[name] !== undefined);
  if (flags['swap'] === true && other !== undefined) {
    throw wrongUsage(`--swap: expected tables that get their own names; found --${other}.`);
  }
  if (targets.length !== 1 && flags['to'] !== undefined && by !== 'schema') {
    throw wrongUsage(`--to: expected one table or id with it, found ${targets.length}.`);
  }
  return { targets, alone, text };
}

/** The actor that drops the live table, for the ledger. */
function swapBy(
  settings: AccountSettings & HoldSettings,
  { schema, table }: QualifiedTable,
): SwapBy {
  const { osUser, host, account: accountName } = whoIs(settings);
  return {
    proxyId: `command ${process.pid}`,
    user: osUser,
    accountName,
    clientAddress: `${osUser}@${host}`.slice(0, 255),
    statementText: `UNDROP TABLE ${quoteIdentifier(schema)}.${quoteIdentifier(table)} SWAP`,
    hold: holdMsOf(settings),
    log: commandLog(settings),
  };
}
