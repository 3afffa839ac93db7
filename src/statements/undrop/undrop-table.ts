/**
 * UNDROP TABLE, by names or by an id: finds the tables, checks with the server whether this user
 * may restore them, and makes the service account restore each by its plan. It creates the triggers
 * that the account may not create in the user's own session.
 *
 * Invariant: all privileges are checked before the first table is touched. The checked table is the
 * one that is restored, and its new name is the checked name.
 */

import type { AuditEvent } from '../../audit.js';
import { parseMoment, utcText } from '../../duration.js';
import { UndropError } from '../../errors.js';
import { STATEMENT_BYTES_MAX } from '../../ledger/entry.js';
import { findRows } from '../../ledger/read.js';
import { keyOf, parseHoldName, writtenName } from '../../names/names.js';
import { decideTable, NO_TRAITS } from '../../policy/decide.js';
import type { HoldTime } from '../../policy/rules.js';
import type { Dropped } from '../../recycle/dropped.js';
import {
  ambiguous,
  idDigits,
  isAbsent,
  isIdPrefix,
  noSuchHeld,
  readNear,
  withFate,
} from '../../recycle/find-dropped.js';
import { tableInEvent } from '../../recycle/held-tables.js';
import { makeWhole, problemsOf } from '../../recycle/make-whole.js';
import { planRestore } from '../../recycle/plan-restore.js';
import {
  byCause,
  formatLarger,
  formatRestored,
  heldParentOf,
  someOf,
} from '../../recycle/print/print-report.js';
import { type Choice, choiceOf, findBegun, readBegun, restoreAll } from '../../recycle/restore.js';
import type { RestoreReport } from '../../recycle/restore-table.js';
import type { SwapBy } from '../../recycle/swap.js';
import { tolerantly } from '../../service/errors.js';
import { quoteIdentifier } from '../../service/sql.js';
import { triggersToMake } from '../../steps/definitions-to-make.js';
import { newId } from '../../steps/intents.js';
import { makeDefinitions } from '../../steps/make-definitions.js';
import { accountNameOf } from '../../steps/session/facts.js';
import { withRestoredInfo, writtenPlainly } from '../../steps/undo-note.js';
import type { UserFacts } from '../../steps/world.js';
import type { DropService, Interception, InterceptOptions } from '../intercepted.js';
import { answerOk, answerRefused, type UndoRun } from './answer.js';
import { type BoundName, type BoundUndo, notUnique, SaidByServer } from './bind.js';
import { explainUndrop } from './explain-undrop.js';
import {
  askerOf,
  findSeen,
  findServer,
  inRestoreQueue,
  readNewest,
  refuseUnder,
  sameOfIn,
  undropErrorOf,
} from './find-dropped.js';
import { askToCreate, askToRename, askToSwap, assertGranted } from './rights.js';

type Bound<K extends BoundUndo['kind']> = Extract<BoundUndo, { kind: K }>;

/** The maximum of rows that are read for the fate of a table. */
const ENDED_MAX = 20;

export async function undropTables(
  { names, before, to, swap, keys, explains }: Bound<'undrop-table'>,
  run: UndoRun,
  options: InterceptOptions,
): Promise<Interception> {
  const how = { swap, keys, explains };
  const { facts } = run;
  refuseUnder(facts);
  const server = await findServer(facts, options);
  const sameOf = sameOfIn(server);
  const asked = new Map<string, BoundName>();
  for (const name of names) {
    if (asked.has(sameOf(name))) throw new SaidByServer(notUnique(name.table));
    asked.set(sameOf(name), name);
  }
  const dropped = before === null ? null : parseMoment(before, new Date());
  const asker = { facts, server, before: dropped };
  const [one] = names;
  // A hold name that isn't a table's original name means the id in it.
  if (names.length === 1 && one && parseHoldName(one.table) !== null) {
    const isName = (await readNewest(asked, asker, options)).size > 0;
    if (!isName) return undropById({ kind: 'undrop-id', id: one.table, to, ...how }, run, options);
  }
  await assertMayRestore(names, { run, swap, to }, options);
  const newest = await readNewest(asked, asker, options);
  const wanted = names.map((name): WantedTable => {
    const held = newest.get(sameOf(name)) ?? null;
    const origin = held?.origin ?? name;
    return { name: origin, held, to: to ?? origin, isNamed: before === null };
  });
  return bringBackOrExplain(wanted, { run, ...how }, options);
}

/** The maximum of matches of an id in an error. */
const AMBIGUOUS_SHOWN = 5;

export async function undropById(
  { id, to, swap, keys, explains }: Bound<'undrop-id'>,
  run: UndoRun,
  options: InterceptOptions,
): Promise<Interception> {
  const { facts } = run;
  refuseUnder(facts);
  const digits = idDigits(id);
  const server = await findServer(facts, options);
  // A user who may not see a table must not learn that it exists.
  const found = isIdPrefix(digits)
    ? await findSeen({ digits }, { facts, server, enough: AMBIGUOUS_SHOWN }, options)
    : { seen: [] };
  const [held, ...others] = found.seen;
  if (held === undefined) return refuseEnded(id, facts, options);
  if (others.length > 0) throw ambiguous(id, found.seen.slice(0, AMBIGUOUS_SHOWN));
  const name = held.origin;
  const target = to === null ? name : { schema: to.schema ?? name.schema, table: to.table };
  await assertMayRestore([name], { run, swap, to: target }, options);
  const wanted = [{ name, held, to: target, isNamed: false }];
  return bringBackOrExplain(wanted, { run, swap, keys, explains }, options);
}

function bringBackOrExplain(
  wanted: readonly WantedTable[],
  { explains, ...asked }: BringingBack & { readonly explains: boolean },
  options: InterceptOptions,
): Promise<Interception> {
  if (!explains) return bringBack(wanted, asked, options);
  const { run: format, ...how } = asked;
  return explainUndrop(wanted, { ...how, format }, options);
}

/** Reports the fate of a table that is no longer held, if this user may see it. */
async function refuseEnded(
  target: string,
  facts: UserFacts,
  options: InterceptOptions,
): Promise<never> {
  const { pool } = options.service;
  const digits = idDigits(target);
  const how = { texts: false, rowsMax: ENDED_MAX };
  const ended = await tolerantly(async () =>
    isIdPrefix(digits) ? findRows(pool, { by: 'digits', digits }, how) : [],
  );
  const seen = await askerOf(facts, options).filter()(ended.value);
  throw await withFate(pool, { target, error: noSuchHeld(target), near: [] }, seen);
}

/** Checks all privileges, before anything is read or touched. */
async function assertMayRestore(
  names: readonly BoundName[],
  { run, swap, to: renamed }: Omit<BringingBack, 'keys'> & { readonly to: BoundName | null },
  options: InterceptOptions,
): Promise<void> {
  for (const name of names) {
    const asked = { session: options.userSession, facts: run.facts, groupId: newId() };
    const to = renamed ?? name;
    if (swap) assertGranted(await askToSwap(name, asked));
    else if (keyOf(name) !== keyOf(to)) assertGranted(await askToRename(name, asked));
    assertGranted(await askToCreate(to, asked));
  }
}

// ── bringing the tables back ─────────────────────────────────────────────────────────────────────

/** The maximum of names whose fate is reported, each by a query of its own. */
const FATES_TOLD = 10;

interface BringingBack {
  readonly run: UndoRun;
  readonly swap: boolean;
  readonly keys: boolean;
}

/** A requested table. */
interface WantedTable {
  readonly name: BoundName;
  /** Null: no table of that name is held. */
  readonly held: Dropped | null;
  readonly to: BoundName;
  /** Requested by its name, which means an interrupted restore before an older table. */
  readonly isNamed: boolean;
}

async function bringBack(
  wanted: readonly WantedTable[],
  asked: BringingBack,
  options: InterceptOptions,
): Promise<Interception> {
  const { pool, note } = options.service;
  const { facts } = asked.run;
  const names = wanted.map(({ to }) => to);
  const begun = await readBegun(pool, names, { swaps: asked.swap });
  const choices: Choice[] = [];
  for (const { name, held, to, isNamed } of wanted) {
    const plan = async () => {
      // A swap checks for it itself.
      const mayBeBegun = isNamed && (held === null || !asked.swap);
      const unfinished = mayBeBegun ? await findBegun(pool, to, begun) : null;
      const request = { target: writtenName(name), to: quoted(to) };
      const planned = () => planRestore(held === null ? [] : [held], request);
      return unfinished ?? { ...planned(), isExact: !isNamed };
    };
    choices.push(await choiceOf(quoted(name), plan));
  }
  const swapBy = (live: BoundName) => swapActor(live, asked.run, options);
  const how = { anyParent: asked.keys, ...(asked.swap && { swapBy }) };
  const work = () => restoreAll(pool, choices, how);
  const end = await (asked.swap ? inRestoreQueue(pool, facts.account, work) : work());
  const done: RestoreReport[] = [];
  for (const report of end.done) done.push(await withTriggers(report, facts, options));
  const restored = done.map((report) => restoredEvent(report, { facts, options }));
  const problems: Problem[] = [];
  for (const { what, error } of end.failed) {
    const isTold = isAbsent(error) && problems.length < FATES_TOLD;
    const told = isTold ? await explained(error, what, { facts, options }) : error;
    problems.push({ what, error: undropErrorOf(told) });
  }
  const [problem] = problems;
  if (problem === undefined) {
    const { payload, ...ok } = await answerOk(noteOf(done), options);
    const told = withRestoredInfo(payload, restoredText(done), { note, facts });
    return { ...ok, payload: told, changes: restored };
  }
  const error = wanted.length === 1 ? problem.error : someNot(problems, end.untried, wanted.length);
  return { ...(await answerRefused(error, options)), changes: restored };
}

/** With its fate, and the near names that this user may see. */
async function explained(
  error: unknown,
  target: string,
  { facts, options }: { readonly facts: UserFacts; readonly options: InterceptOptions },
): Promise<unknown> {
  const { pool } = options.service;
  const near = await readNear(pool, target);
  // The other tables are back, whatever is said about names.
  const seen = await askerOf(facts, options)
    .filter()(near)
    .catch(() => []);
  return withFate(pool, { target, error, near: seen });
}

/** In a swap this session's user drops the live table; it is held as long as one of its DROP. */
function swapActor(live: BoundName, { facts, text }: UndoRun, options: InterceptOptions): SwapBy {
  const { service, session } = options;
  const { proxyId, log } = service;
  const { user, account } = facts;
  const who = { proxyId, user, accountName: accountNameOf(account) };
  const { clientAddress } = session;
  const statementText = text.subarray(0, STATEMENT_BYTES_MAX).toString();
  const hold = holdOfLive(live, facts, service);
  return { ...who, clientAddress, statementText, hold, ...(log !== undefined && { log }) };
}

/** Creates triggers that the service account may not create, but this user may. */
async function withTriggers(
  report: RestoreReport,
  facts: UserFacts,
  options: InterceptOptions,
): Promise<RestoreReport> {
  if (report.triggersToMake === null) return report;
  const { pool } = options.service;
  const found = await tolerantly(() => findRows(pool, { by: 'id', prefix: report.id }));
  const [row] = found.value;
  if (row === undefined) return report;
  const triggers = await triggersToMake(pool, [row], facts);
  if (!(await makeDefinitions(options.userSession, triggers, facts))) return report;
  const how = { id: row.id, logged: row.sqlLogBin };
  const { foreignKeys: _same, ...now } = await makeWhole(pool, how, report.restoredAs);
  return { ...report, ...now };
}

/** Never less than UNDROP_HOLD. A rule that refuses the drop of the live table refuses its swap. */
function holdOfLive(
  live: BoundName,
  { account }: UserFacts,
  { rules = [], holdMs }: DropService,
): HoldTime {
  const deciding = { rules, hint: null, holdMs, foldsCase: true };
  const { hold, refusedBy, mayRefuse } = decideTable({ ...live, account }, NO_TRAITS, deciding);
  const rule = refusedBy ?? mayRefuse;
  if (rule === null) return hold === 'pinned' ? hold : Math.max(hold, holdMs);
  const table = writtenName(live);
  throw new UndropError('UNDROP_RULE', { tables: `Table ${table} was`, table, rule });
}

function restoredEvent(
  { restoredAs, ...table }: RestoreReport,
  by: { readonly facts: UserFacts; readonly options: InterceptOptions },
): AuditEvent<'restored'> {
  const { clientAddress: client, threadId } = by.options.session;
  const who = { user: by.facts.user, client, threadId };
  return {
    event: 'restored',
    ...who,
    ...tableInEvent(table),
    restoredAs: writtenName(restoredAs),
  };
}

/** The failure of one table. */
interface Problem {
  readonly what: string;
  readonly error: UndropError;
}

function someNot(
  problems: readonly Problem[],
  untried: readonly string[],
  count: number,
): UndropError {
  const whys = byCause(problems).map(([cause, whats]) =>
    whats.length === 1 ? cause : `${someOf(whats)}: ${cause}`,
  );
  const why = [...whys, ...untried.map((name) => `${name}: not tried.`)].join(' ');
  return new UndropError('UNDROP_PARTLY', { failed: problems.length + untried.length, count, why });
}

/** A name as users type it, with quotes for a dot or a backtick in it. */
function quoted({ schema, table }: BoundName): string {
  return [schema, table].map(quoteIdentifier).join('.');
}

// ── the info text and the warning ────────────────────────────────────────────────────────────────
// The texts of an UNDROP TABLE about the tables that it restored. Pure.

/**
 * For several tables the first and a count; for all the first that has a larger one of its name.
 */
function restoredText(reports: readonly RestoreReport[]): string {
  const [first, ...more] = reports;
  if (first === undefined) return '';
  const also = more.length === 0 ? '' : ` And ${more.length} more.`;
  const larger = reports.find((report) => report.larger !== null)?.larger ?? null;
  return [formatRestored(first) + also, ...othersOf(first), ...wayBackTo(larger)].join(' ');
}

function othersOf({ swapped, restoredAs, others, larger }: RestoreReport): readonly string[] {
  const { schema, table } = restoredAs;
  const name = writtenPlainly([schema, table]);
  if (typeof swapped === 'string')
    return [`The replaced table is held: UNDROP TABLE ${name} SWAP.`];
  const [newest] = others;
  if (newest === undefined || (others.length === 1 && larger !== null)) return [];
  const dropped = newest.droppedAt === null ? '' : ` dropped ${utcText(newest.droppedAt)} UTC`;
  return others.length === 1
    ? [`Another is held,${dropped}.`]
    : [`${others.length} others are held, the newest${dropped}.`];
}

function wayBackTo(larger: RestoreReport['larger']): readonly string[] {
  if (larger === null) return [];
  return [`${formatLarger(larger)}: UNDROP TABLE '${larger.table.id}' SWAP`];
}

/** The parts that were not restored as they were; null: none. */
function noteOf(restored: readonly RestoreReport[]): string | null {
  const back = new Set(restored.map(({ restoredAs }) => writtenName(restoredAs)));
  const said = restored.flatMap((report) => {
    const { recorded, restoredAs, brokenKeys } = report;
    const waiting = report.foreignKeys.flatMap(({ name, parent, problem, isParentMissing }) =>
      problem !== null || !isParentMissing || back.has(parent)
        ? []
        : [`foreign key ${name} refers to ${parent}, which is missing; restore it, too.`],
    );
    const broken = brokenKeys.map((key) => {
      const what = key.isSeen ? 'rows break' : 'did not check whether rows break';
      const id = heldParentOf(report, key);
      const old = id === null ? '' : `: UNDROP TABLE '${id}' SWAP restores its old parent`;
      return `${what} foreign key ${key.name}${old}.`;
    });
    const others = report.foreignKeys.flatMap(({ name, parent, oldParent }) =>
      oldParent === null ? [] : [`foreign key ${name} refers to another ${parent}; ${oldParent}.`],
    );
    const untold = recorded === false ? ['the ledger could not be updated.'] : [];
    const all = [problemsOf(report.id, report), others, waiting, broken, untold];
    return all.flat().map((one) => `${writtenName(restoredAs)}: ${one}`);
  });
  return said.length === 0 ? null : said.join(' ');
}
