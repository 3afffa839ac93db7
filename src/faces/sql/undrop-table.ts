/**
 * UNDROP TABLE, by names or by an id: finds the tables, checks with the server whether this user
 * may restore them, and makes the service account restore each by its plan. It creates the triggers
 * that the account may not create in the user's own session.
 *
 * Invariant: all privileges are checked before the first table is touched. The checked table is the
 * one that is restored, and its new name is the checked name.
 */

import { tolerantly } from '../../connections/errors.js';
import { quoteIdentifier, type ServerFacts } from '../../connections/sql.js';
import type { DropService, Interception } from '../../drop/intercepted.js';
import { triggersToMake } from '../../drop/steps/definitions-to-make.js';
import { makeDefinitions } from '../../drop/steps/make-definitions.js';
import { accountNameOf } from '../../drop/steps/session/facts.js';
import { writtenPlainly } from '../../drop/steps/undo-note.js';
import { parseMoment, utcText } from '../../duration.js';
import { UndropError } from '../../errors.js';
import { STATEMENT_BYTES_MAX } from '../../ledger/entry.js';
import { findRows } from '../../ledger/read.js';
import type { QualifiedTable } from '../../names/names.js';
import { foldName, keyOf, parseHoldName, writtenName } from '../../names/names.js';
import { decideTable, NO_TRAITS, type Subject } from '../../policy/decide.js';
import { someOf } from '../../printer.js';
import * as finder from '../../recycle/find-dropped.js';
import { originOf, restoredEvent } from '../../recycle/held-tables.js';
import { makeWhole } from '../../recycle/make-whole.js';
import { planRestore, type RestorePlan } from '../../recycle/plan-restore.js';
import * as print from '../../recycle/print/print-report.js';
import * as restoring from '../../recycle/restore.js';
import type { RestoreReport } from '../../recycle/restore-table.js';
import type { SwapBy } from '../../recycle/swap.js';
import { claimsOf } from '../../sql/comment-tags.js';
import { answerOk, answerRefused, type UndoRun, whoOf } from './answer.js';
import { type Bound, notUnique } from './bind.js';
import { explainUndrop } from './explain-undrop.js';
import * as own from './find-dropped.js';
import { askToCreate, askToRename, askToSwap, assertGranted } from './rights.js';

type Undrop = Bound<'undrop-table'>;

export async function undropTables(undo: Undrop, run: UndoRun): Promise<Interception> {
  const server = await own.findServer(run);
  const choices =
    undo.id === null ? await findNamed(undo, server, run) : [await findOf(undo.id, undo, run)];
  const { swap: swaps, keys: anyParent } = undo;
  if (undo.explains) return explainUndrop(choices, { swaps, anyParent }, run);
  return bringBack(choices, undo, run);
}

/** Checks the privileges on all of the names first. */
async function findNamed(
  undo: Undrop,
  { lowerCaseTableNames }: ServerFacts,
  run: UndoRun,
): Promise<readonly restoring.Choice[]> {
  const { names, before } = undo;
  const fold = lowerCaseTableNames === 0 ? (name: string) => name : foldName;
  const keyIn = ({ schema, table }: QualifiedTable) =>
    keyOf({ schema: fold(schema), table: fold(table) });
  const asked = new Set<string>();
  for (const name of names) {
    if (asked.has(keyIn(name))) throw notUnique(name.table);
    asked.add(keyIn(name));
  }
  const time = before === null ? null : parseMoment(before, new Date(), run.facts.zone);
  const readNewest = () => own.findNewest({ names, lowerCaseTableNames, keyIn }, time, run);
  const [one] = names;
  // A hold name that isn't a table's original name means the id in it.
  const isHoldName = one !== undefined && names.length === 1 && parseHoldName(one.table) !== null;
  if (isHoldName && (await readNewest()).size === 0) return [await findOf(one.table, undo, run)];
  for (const name of names) await assertMayRestore(name, undo, run);
  const newest = await readNewest();
  const wanted = names.map((asWritten) => {
    const held = newest.get(keyIn(asWritten));
    const name = held?.origin ?? asWritten;
    return { name, held, to: nameFor(name, undo) };
  });
  // A name means an interrupted restore before an older table. A swap checks for it itself.
  const isNamed = before === null;
  const mayBeBegun = wanted.filter(({ held }) => isNamed && (held === undefined || !undo.swap));
  const begun = await findBegun(undo.explains ? [] : mayBeBegun.map(({ to }) => to), undo, run);
  const isMeant = ({ table: { origin } }: RestorePlan, name: QualifiedTable) =>
    undo.to === null || (origin !== null && keyIn(origin) === keyIn(name));
  const choices: restoring.Choice[] = [];
  for (const { name, held, to } of wanted) {
    const request = { target: writtenName(name), to };
    const plan = () => {
      const rest = begun.get(keyOf(to));
      // By its present name, too.
      if (held === undefined && rest !== undefined && isMeant(rest, name)) return rest;
      const planned = planRestore(held === undefined ? [] : [held], request);
      const isRest = rest !== undefined && restoring.isRestOf(rest, planned);
      return isRest ? rest : { ...planned, isExact: !isNamed };
    };
    choices.push(await restoring.planOrRefuse(quoted(name), plan));
  }
  return choices;
}

/** By `keyOf` of its name: interrupted restores of tables that this user may see. */
async function findBegun(
  places: readonly QualifiedTable[],
  { swap: swaps }: Undrop,
  run: UndoRun,
): Promise<ReadonlyMap<string, RestorePlan>> {
  const found = await restoring.findBegun(run.service.pool, places, { swaps });
  const plans = [...found.values()];
  const rows = plans.flatMap((plan) => (plan.wasBack ? plan.row : []));
  const seen = new Set((await own.askerOf(run).filter()(rows)).map(({ id }) => id));
  const mine = plans.filter(({ table }) => seen.has(table.id));
  return new Map(mine.map((plan) => [keyOf(plan.to), plan]));
}

async function findOf(id: string, undo: Undrop, run: UndoRun): Promise<restoring.Choice> {
  const held = await own.findById(id, run);
  if (held === undefined) throw await own.withSeenFate(finder.noSuchHeld(id), id, run);
  const name = originOf(held);
  await assertMayRestore(name, undo, run);
  const request = { target: writtenName(name), to: nameFor(name, undo) };
  const plan = () => ({ ...planRestore([held], request), isExact: true });
  return restoring.planOrRefuse(quoted(name), plan);
}

function nameFor(name: QualifiedTable, { to }: Pick<Undrop, 'to'>): QualifiedTable {
  return to === null ? name : { schema: to.schema ?? name.schema, table: to.table };
}

/** Checks all privileges, before anything is read or touched. */
async function assertMayRestore(
  name: QualifiedTable,
  undo: Undrop,
  { asked }: UndoRun,
): Promise<void> {
  const to = nameFor(name, undo);
  if (undo.swap) assertGranted(await askToSwap(name, asked));
  else if (keyOf(name) !== keyOf(to)) assertGranted(await askToRename(name, asked));
  assertGranted(await askToCreate(to, asked));
}

// ── bringing the tables back ─────────────────────────────────────────────────────────────────────

/** The maximum of names whose fate is reported, each by a query of its own. */
const FATES_TOLD = 10;

async function bringBack(
  choices: readonly restoring.Choice[],
  { swap, keys }: Undrop,
  run: UndoRun,
): Promise<Interception> {
  const { pool } = run.service;
  const swapBy = (live: QualifiedTable) => swapActor(live, run);
  const work = () =>
    restoring.restoreAll(pool, choices, { anyParent: keys, ...(swap && { swapBy }) });
  const end = await (swap ? own.inRestoreQueue(run, work) : work());
  const done: RestoreReport[] = [];
  for (const one of end.done) done.push(await withTriggers(one, run));
  const changes = done.map((one) => ({ ...whoOf(run), ...restoredEvent(one, one.restoredAs) }));
  const problems: Problem[] = [];
  for (const { what, error } of end.failed) {
    const isTold = finder.isAbsent(error) && problems.length < FATES_TOLD;
    const told = isTold ? await own.withSeenFate(error, what, run) : error;
    problems.push({ what, error: own.undropErrorOf(told) });
  }
  const [problem] = problems;
  if (problem === undefined) {
    return { ...(await answerOk(restoredText(done), run)), changes };
  }
  const error =
    choices.length === 1 ? problem.error : someNot(problems, end.untried, choices.length);
  return { ...(await answerRefused(error, run)), changes };
}

/** In a swap this session's user drops the live table; it is held as long as one of its DROP. */
export function swapActor(
  live: QualifiedTable,
  { facts, text, service, session }: UndoRun,
): SwapBy {
  const { proxyId, log } = service;
  const { user, account } = facts;
  const who = { proxyId, user, accountName: accountNameOf(account) };
  const { clientAddress, attributes } = session;
  const statementText = text.subarray(0, STATEMENT_BYTES_MAX).toString();
  const claims = claimsOf(attributes, statementText);
  const hold = holdOfLive({ ...live, account, claims }, service);
  return {
    ...who,
    clientAddress,
    statementText,
    claims,
    ...hold,
    ...(log !== undefined && { log }),
  };
}

/** Creates triggers that the service account may not create, but this user may. */
export async function withTriggers(
  report: RestoreReport,
  { service: { pool }, userSession, facts }: UndoRun,
): Promise<RestoreReport> {
  if (report.triggersToMake === null) return report;
  const found = await tolerantly(() => findRows(pool, { by: 'id', prefix: report.id }));
  const [row] = found.value;
  if (row === undefined) return report;
  const triggers = await triggersToMake(pool, [row], facts);
  if (!(await makeDefinitions(userSession, triggers, facts))) return report;
  const { foreignKeys: _same, ...now } = await makeWhole(pool, { id: row.id }, report.restoredAs);
  return { ...report, ...now };
}

/**
 * Never less than UNDROP_HOLD. A rule that refuses the drop of the live table refuses its swap; one
 * that asks doesn't, because a swap is turned round by the same statement.
 */
function holdOfLive(live: Subject, { rules = [], holdMs }: DropService) {
  const standing = rules.filter(({ action }) => action.do !== 'ask');
  const deciding = { rules: standing, hint: null, holdMs, foldsCase: true };
  const { hold, lockMs, refusedBy, mayRefuse } = decideTable(live, NO_TRAITS, deciding);
  const rule = refusedBy ?? mayRefuse;
  if (rule === null)
    return { hold: hold === 'pinned' ? hold : Math.max(hold, holdMs), lockMs } as const;
  const table = writtenName(live);
  throw new UndropError('UNDROP_RULE', { tables: `Table ${table} was`, table, rule });
}

/** The failure of one table. */
type Problem = restoring.FailedRestore & { readonly error: UndropError };

function someNot(
  problems: readonly Problem[],
  untried: readonly string[],
  count: number,
): UndropError {
  const whys = print
    .byCause(problems)
    .map(([cause, whats]) => (whats.length === 1 ? cause : `${someOf(whats)}: ${cause}`));
  const why = [...whys, ...untried.map((name) => `${name}: not tried.`)].join(' ');
  return new UndropError('UNDROP_PARTLY', { failed: problems.length + untried.length, count, why });
}

/** A name as users type it, with quotes for a dot or a backtick in it. */
function quoted({ schema, table }: QualifiedTable): string {
  return [schema, table].map(quoteIdentifier).join('.');
}

// ── the info text and the warning ────────────────────────────────────────────────────────────────
// The texts of an UNDROP TABLE about the tables that it restored. Pure.

/**
 * For several tables the first and a count; for all the first that has a larger one of its name.
 * `note`: what is not as it was.
 */
function restoredText(reports: readonly RestoreReport[]) {
  const [first, ...more] = reports;
  const also = more.length === 0 ? '' : ` And ${more.length} more.`;
  const larger = reports.find((report) => report.larger !== null)?.larger ?? null;
  const wayBack = larger && `${print.formatLarger(larger)}: UNDROP TABLE '${larger.table.id}' SWAP`;
  const done = first && [print.formatRestored(first) + also, othersOf(first)];
  const note = print.present(...print.formatLeft(reports), print.formatCopied(reports, []));
  const text = print.present(...(done ?? []), wayBack).join(' ');
  return { text, note: note.join(' ') || null };
}

function othersOf({ swapped, restoredAs, others, larger }: RestoreReport): string | null {
  const name = writtenPlainly([restoredAs.schema, restoredAs.table]);
  if (typeof swapped === 'string') return `The replaced table is held: UNDROP TABLE ${name} SWAP.`;
  const [newest] = others;
  if (newest === undefined || (others.length === 1 && larger !== null)) return null;
  const dropped = newest.droppedAt === null ? '' : ` dropped ${utcText(newest.droppedAt)} UTC`;
  return others.length === 1
    ? `Another is held,${dropped}.`
    : `${others.length} others are held, the newest${dropped}.`;
}
