/**
 * The service account's work for UNDROP and SHOW DROPPED TABLES: it reads the held tables, and
 * restores those that the server allows this user, on the user's session.
 *
 * Invariant: all privileges are checked before the first table is touched. The checked table is the
 * one that is restored: the held table is identified by its whole id, and its new name is the
 * checked name.
 */
import type { AuditEvent } from '../../audit.js';
import { UndropError } from '../../errors.js';
import { problemsOf, reattachAll, tolerantly } from '../../held/finish-restore.js';
import { type LedgerRow, STATEMENT_BYTES_MAX } from '../../ledger/entry.js';
import { findRows } from '../../ledger/read.js';
import { foldName, inBatches, parseHoldName } from '../../names/names.js';
import { decideTable, type HoldTime, NO_TRAITS } from '../../policy/decide.js';
import type { ServicePool } from '../../service/pool/pools.js';
import { quoteIdentifier } from '../../service/sql.js';
import { newId } from '../../steps/intents.js';
import { makeTriggers } from '../../steps/make-triggers.js';
import type { UserFacts } from '../../steps/request.js';
import type { Signal } from '../../steps/session/user-session-sql.js';
import { triggersToMake } from '../../steps/triggers-to-make.js';
import { withRestoredInfo } from '../../steps/undo-note.js';
import { parentsFirst } from '../../undo/parents-first.js';
import { idDigits, isIdPrefix } from '../../undo/plan-restore.js';
import {
  explainAbsent,
  findBegun,
  type RestoreReport,
  readBegun,
  restore,
  restoreTable,
  withFate,
} from '../../undo/run-restore.js';
import { swap as swapWithLive } from '../../undo/swap.js';
import { ER_NONUNIQ_TABLE } from '../../wire/server-errors.js';
import {
  type Answered,
  answerWith,
  type DropService,
  type Interception,
  type InterceptOptions,
  refused,
} from '../intercepted.js';
import { type AnswerFormat, answerOk, answerRows, answerSignal, inSession } from './answer.js';
import { type BoundName, type BoundUndo, SaidByServer } from './bind.js';
import { type Dropped, SHOW_COLUMNS, showRow } from './dropped-rows.js';
import {
  findSeen,
  findServer,
  oneAtATime,
  oneOfUser,
  readNewest,
  refuseUnder,
  restoring,
  seenBy,
  TABLES_MAX,
  undropErrorOf,
} from './find-dropped.js';
import { restoredText } from './restored-text.js';
import { type Asked, askToCreate, askToRename, askToSwap, keyOf } from './rights.js';

type Bound<K extends BoundUndo['kind']> = Extract<BoundUndo, { kind: K }>;

/** The maximum of rows that are read for the fate of a table. */
const ENDED_MAX = 20;
/** The maximum of names whose fate is reported, each by a query of its own. */
const FATES_TOLD = 10;

export async function showDropped(
  { schema, like }: Bound<'show-dropped'>,
  format: AnswerFormat,
  options: InterceptOptions,
): Promise<Interception> {
  const { facts } = format;
  const fit = { ...(schema !== null && { schema }), ...(like !== null && { like }) };
  const server = await findServer(facts, options);
  const found = await findSeen(fit, { facts, server }, options);
  if ('errno' in found) return answerWith(found);
  const { seen, isCut } = found;
  const note = isCut ? `Only the newest ${TABLES_MAX} dropped tables were read.` : null;
  const set = { columns: SHOW_COLUMNS, rows: seen.map(showRow) };
  return answerRows(set, { ...format, note }, options);
}

/** A refusal of undrop, so that SHOW WARNINGS is about it, and not about the queries before it. */
export async function answerRefused(
  error: UndropError,
  options: InterceptOptions,
): Promise<Answered> {
  const answered = await refused(error, options);
  const { errno, sqlState } = error.entry;
  await answerSignal({ errno, sqlState, message: `${error.code}: ${error.message}` }, options);
  return answered;
}

// ── UNDROP TABLE ─────────────────────────────────────────────────────────────────────────────────

/** The form of the statement. */
export interface UndoRun extends AnswerFormat {
  readonly text: Buffer;
}

interface Undoing {
  readonly run: UndoRun;
  readonly swap: boolean;
}

interface How extends Undoing {
  /** Restores that may have been interrupted. */
  readonly begun: readonly LedgerRow[];
}

/** A requested table. */
interface Wanted {
  readonly name: BoundName;
  /** Null: no table of that name is held. */
  readonly held: Dropped | null;
  readonly to: BoundName;
  /** Requested by its name, which means an interrupted restore before an older table. */
  readonly isNamed: boolean;
}

export async function undropTables(
  { names, to, swap }: Bound<'undrop-table'>,
  run: UndoRun,
  options: InterceptOptions,
): Promise<Interception> {
  const { facts } = run;
  refuseUnder(facts);
  const server = await findServer(facts, options);
  const isFolded = server.lowerCaseTableNames !== 0;
  const sameOf = isFolded ? foldedKey : keyOf;
  const asked = new Map<string, BoundName>();
  for (const name of names) {
    if (asked.has(sameOf(name))) throw new SaidByServer(notUnique(name.table));
    asked.set(sameOf(name), name);
  }
  const asker = { facts, server, sameOf };
  const [one] = names;
  // A hold name that isn't a table's original name means the id in it.
  if (names.length === 1 && one && parseHoldName(one.table) !== null) {
    const isName = (await readNewest(asked, asker, options)).size > 0;
    if (!isName) return undropById({ kind: 'undrop-id', id: one.table, to, swap }, run, options);
  }
  const refusal = await refusalOf(names, { run, swap, to }, options);
  if (refusal !== null) return refusal;
  const newest = await readNewest(asked, asker, options);
  const wanted = names.map((name): Wanted => {
    const held = newest.get(sameOf(name)) ?? null;
    const origin = held?.origin ?? name;
    return { name: origin, held, to: to ?? origin, isNamed: true };
  });
  return bringBack(wanted, { run, swap }, options);
}

/** Equal for names that are the same on a server that folds their case. */
function foldedKey({ schema, table }: BoundName): string {
  return keyOf({ schema: foldName(schema), table: foldName(table) });
}

/** The maximum of matches of an id in an error. */
const AMBIGUOUS_SHOWN = 5;

export async function undropById(
  { id, to, swap }: Bound<'undrop-id'>,
  run: UndoRun,
  options: InterceptOptions,
): Promise<Interception> {
  const { facts } = run;
  refuseUnder(facts);
  const prefix = idDigits(id);
  const server = await findServer(facts, options);
  // A user who may not see a table must not learn that it exists.
  const found = isIdPrefix(prefix)
    ? await findSeen({ prefix }, { facts, server, enough: AMBIGUOUS_SHOWN }, options)
    : { seen: [] };
  if ('errno' in found) return answerWith(found);
  const [held, ...others] = found.seen;
  if (held === undefined) return refuseEnded(id, facts, options);
  if (others.length > 0) {
    const first = found.seen.slice(0, AMBIGUOUS_SHOWN);
    const shown = first.map((one) => `${one.id} (${written(one.origin)})`);
    throw new UndropError('UNDROP_AMBIGUOUS', { target: id, found: shown.join(', ') });
  }
  const name = held.origin;
  const target = to === null ? name : { schema: to.schema ?? name.schema, table: to.table };
  const refusal = await refusalOf([name], { run, swap, to: target }, options);
  if (refusal !== null) return refusal;
  return bringBack([{ name, held, to: target, isNamed: false }], { run, swap }, options);
}

/** Reports the fate of a table that is no longer held, if this user may see it. */
async function refuseEnded(
  target: string,
  facts: UserFacts,
  options: InterceptOptions,
): Promise<Interception> {
  const { pool } = options.service;
  const prefix = idDigits(target);
  const how = { texts: false, rowsMax: ENDED_MAX };
  const { value: rows } = await tolerantly(async () =>
    isIdPrefix(prefix) ? findRows(pool, { by: 'id', prefix }, how) : [],
  );
  const seen = await seenBy(rows, { facts, granted: new Map() }, options);
  if ('errno' in seen) return answerWith(seen);
  const error = new UndropError('UNDROP_NO_SUCH_HELD', { target, fate: '' });
  throw await withFate(pool, target, { found: seen.map(({ row }) => row), error });
}

/** Checks all privileges, before anything is read or touched. Null: this user has them. */
async function refusalOf(
  names: readonly BoundName[],
  { run, swap, to }: Undoing & { readonly to: BoundName | null },
  options: InterceptOptions,
): Promise<Interception | null> {
  for (const name of names) {
    const asked = { facts: run.facts, groupId: newId() };
    const said = await inSession(askFor({ name, to: to ?? name }, swap, asked), options);
    if (said instanceof UndropError) throw said;
    if (said !== null) return answerWith(said);
  }
  return null;
}

function* askFor({ name, to }: Pick<Wanted, 'name' | 'to'>, swap: boolean, asked: Asked) {
  if (swap) {
    const taken = yield* askToSwap(name, asked);
    if (taken !== null) return taken;
  } else if (keyOf(name) !== keyOf(to)) {
    const renamed = yield* askToRename(name, asked);
    if (renamed !== null) return renamed;
  }
  return yield* askToCreate(to, asked);
}

async function bringBack(
  wanted: readonly Wanted[],
  asked: Undoing,
  options: InterceptOptions,
): Promise<Interception> {
  const how = { ...asked, begun: await readBegun(options.service.pool) };
  const reports: RestoreReport[] = [];
  const restored: AuditEvent<'restored'>[] = [];
  const problems: UndropError[] = [];
  for (const one of await inOrder(options.service.pool, wanted)) {
    try {
      const report = await bringOneBack(one, how, options);
      reports.push(report);
      restored.push(restoredEvent(report, one, how.run.facts, options));
    } catch (error) {
      const isTold = one.held === null && problems.length < FATES_TOLD;
      const told = isTold
        ? await explainAbsent(options.service.pool, quoted(one.name), error)
        : error;
      problems.push(undropErrorOf(told));
    }
  }
  const isToBeLooked = reports.some((one) => one.brokenKeys.some(({ isSeen }) => !isSeen));
  if (isToBeLooked) options.service.onUnsettled();
  const [problem] = problems;
  if (problem === undefined) {
    const { payload, ...ok } = await answerOk(noteOf(reports), options);
    const { note } = options.service;
    const { facts } = how.run;
    const told = withRestoredInfo(payload, restoredText(reports), { note, facts });
    return { ...ok, payload: told, restored };
  }
  const error = wanted.length === 1 ? problem : someNot(problems, wanted.length);
  return { ...(await answerRefused(error, options)), restored };
}

async function bringOneBack(
  { name, held, to, isNamed }: Wanted,
  { run, swap, begun: restores }: How,
  options: InterceptOptions,
): Promise<RestoreReport> {
  const { service, session } = options;
  const { pool, proxyId, log } = service;
  // A swap checks for it itself.
  const begun = isNamed && (held === null || !swap) ? await findBegun(pool, to, restores) : null;
  if (held === null && begun === null) {
    throw new UndropError('UNDROP_NO_SUCH_HELD', { target: written(name), fate: '' });
  }
  if (begun !== null || held === null || !swap) {
    const report = await (begun === null
      ? restore(pool, { target: held?.id ?? '', to: quoted(to) })
      : restoreTable(pool, begun));
    return withTriggers(report, run.facts, options);
  }
  const { user } = run.facts;
  const statementText = run.text.subarray(0, STATEMENT_BYTES_MAX).toString();
  const hold = holdOfLive(to, run.facts, service);
  const who = { proxyId, user, clientAddress: session.clientAddress, statementText, hold };
  const by = log === undefined ? who : { ...who, log };
  const report = await oneOfUser({ user, does: 'restore' }, pool, () =>
    oneAtATime(restoring, pool, () => swapWithLive(pool, { target: held.id, by })),
  );
  return withTriggers(report, run.facts, options);
}

/** Creates triggers that the service account may not create, but this user may. */
async function withTriggers(
  report: RestoreReport,
  facts: UserFacts,
  options: InterceptOptions,
): Promise<RestoreReport> {
  if (report.triggersToMake === null) return report;
  const { pool } = options.service;
  const [row] = await findRows(pool, { by: 'id', prefix: report.id });
  if (row === undefined) return report;
  const triggers = await triggersToMake(pool, [row], facts);
  if (!(await inSession(makeTriggers(triggers, facts), options))) return report;
  const how = { id: row.id, logged: row.sqlLogBin };
  return { ...report, ...(await reattachAll(pool, how, report.restoredAs)) };
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
  const table = written(live);
  throw new UndropError('UNDROP_RULE', { tables: `Table ${table} was`, table, rule });
}

/** With their definitions, which may be long. */
const ROWS_OF_QUERY = 100;

/** Parents before their children, so that a key finds its parent. */
async function inOrder(pool: ServicePool, wanted: readonly Wanted[]): Promise<readonly Wanted[]> {
  if (wanted.length === 1) return wanted;
  const byId = new Map<string, LedgerRow>();
  const all = wanted.flatMap(({ held }) => held?.id ?? []);
  for (const ids of inBatches(all, ROWS_OF_QUERY)) {
    for (const row of await findRows(pool, { by: 'ids', ids })) byId.set(row.id, row);
  }
  const keyed = wanted.map((one) => {
    const keys = byId.get(one.held?.id ?? '')?.detached.keysOut ?? [];
    const parents = keys.map(({ parentSchema: schema, parentTable: table }) => ({ schema, table }));
    return { one, name: one.name, parents };
  });
  return parentsFirst(keyed).map(({ one }) => one);
}

function restoredEvent(
  { id, restoredAs }: RestoreReport,
  { name, held }: Wanted,
  { user }: UserFacts,
  { session }: InterceptOptions,
): AuditEvent<'restored'> {
  const { clientAddress: client, threadId } = session;
  const table = { id, dropId: held?.row.groupId ?? null, ...name };
  const as = { restoredAs: written(restoredAs) };
  return { event: 'restored', user, client, threadId, ...table, ...as };
}

/** The parts that are missing or differ; null: none. */
function noteOf(restored: readonly RestoreReport[]): string | null {
  const said = restored.flatMap((report) => {
    const { recorded, restoredAs, brokenKeys } = report;
    const broken = brokenKeys.map(({ name, isSeen }) => {
      const what = isSeen ? 'rows break' : 'did not check whether rows break';
      return `${what} foreign key ${name}.`;
    });
    const others = report.foreignKeys.flatMap(({ name, parent, oldParent }) =>
      oldParent === null ? [] : [`foreign key ${name} refers to another ${parent}; ${oldParent}.`],
    );
    const untold = recorded === false ? ['the ledger could not be updated.'] : [];
    return [...problemsOf(report.id, report), ...others, ...broken, ...untold].map(
      (one) => `${written(restoredAs)}: ${one}`,
    );
  });
  return said.length === 0 ? null : said.join(' ');
}

function someNot(problems: readonly UndropError[], count: number): UndropError {
  const why = problems.map(({ code, message }) => `${code}: ${message}`).join(' ');
  return new UndropError('UNDROP_PARTLY', { failed: problems.length, count, why });
}

function notUnique(table: string): Signal {
  const message = `Not unique table/alias: '${table}'`;
  return { errno: ER_NONUNIQ_TABLE, sqlState: '42000', message };
}

/** A name as users type it, with quotes for a dot or a backtick in it. */
function quoted({ schema, table }: BoundName): string {
  return [schema, table].map(quoteIdentifier).join('.');
}

export function written({ schema, table }: BoundName): string {
  return `${schema}.${table}`;
}
