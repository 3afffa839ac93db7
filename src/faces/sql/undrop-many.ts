/**
 * UNDROP ALL, UNDROP DROP and UNDROP DATABASE: finds what is meant among what this user may see,
 * checks with the server whether the user may restore all of it, and makes the service do it.
 *
 * Invariant: nothing is changed unless all of it may be, or PARTIAL is said. An UNDROP DATABASE
 * without SWAP leaves tables held whose names are taken, and says so.
 */

import type { Interception } from '../../drop/intercepted.js';
import { definitionsOfSchema } from '../../drop/steps/definitions-to-make.js';
import { makeDefinitions } from '../../drop/steps/make-definitions.js';
import { parseMoment, parseSince, timeText } from '../../duration.js';
import { UndropError } from '../../errors.js';
import type { DroppedDefinition } from '../../ledger/definitions.js';
import { inGroups, type QualifiedTable, writtenName } from '../../names/names.js';
import { someOf } from '../../printer.js';
import { idDigits, isIdPrefix, noSuchHeld } from '../../recycle/find-dropped.js';
import { restoredEvent } from '../../recycle/held-tables.js';
import type { HeldPlan } from '../../recycle/plan-restore.js';
import * as print from '../../recycle/print/print-report.js';
import type { FailedRestore } from '../../recycle/restore.js';
import type { RestoreReport } from '../../recycle/restore-table.js';
import {
  findSchemaDrop,
  othersHeld,
  type UndoneSchema,
} from '../../recycle/schema/restore-schema.js';
import {
  type LivePart,
  type PartName,
  partKey,
  showPart,
} from '../../recycle/schema/schema-parts.js';
import { planUndo, type UndoPlan } from '../../recycle/undo/plan-undo.js';
import { finishSchemaRestore, inTheWay, undoMany } from '../../recycle/undo/undo-many.js';
import type { ErrPacket } from '../../wire/response.js';
import * as ER from '../../wire/server-errors.js';
import { answerOk, answerRefused, type UndoRun, whoOf } from './answer.js';
import { type Bound, SaidByServer } from './bind.js';
import { explainUndrop } from './explain-undrop.js';
import { askerOf, findServer, inRestoreQueue, undropErrorOf } from './find-dropped.js';
import * as rights from './rights.js';
import { bringBack } from './undrop-definition.js';
import { swapActor, withTriggers } from './undrop-table.js';

type Undrop = Bound<'undrop-many'>;

export async function undropMany(undo: Undrop, run: UndoRun): Promise<Interception> {
  const { lowerCaseTableNames } = await findServer(run);
  const { pool } = run.service;
  const { swap: swaps, toSchema, what } = undo;
  const { selection, text: asked, back } = await selectionOf(undo, run);
  if (back !== null) {
    const others = await othersHeld(pool, back);
    return answerOk({ text: print.formatBack(back, toSchema), note: others }, run);
  }
  const { explains } = undo;
  const request = { text: asked, swaps, toSchema, explains, asker: askerOf(run) };
  const select = { ...request, selection: { ...selection, lowerCaseTableNames } };
  const plan = await planUndo(pool, select);
  const { denied, secret } = await deniedIn(plan, undo, run);
  const wrong = [...inTheWay(plan), ...denied];
  const isDenied = new Set([...denied, ...secret].map((one) => one.what));
  const choices = plan.choices.filter((one) => !isDenied.has(one.what));
  const schemas = plan.schemas.filter(({ schema }) => !isDenied.has(schema));
  const definitions = plan.definitions.filter(({ schema }) => !isDenied.has(schema));
  const isNone = choices.length + schemas.length + definitions.length === 0;
  if (isNone && plan.hidden === 0) throw denied[0]?.error ?? noSuchHeld(asked);
  const isPlain = what === 'database' && !swaps;
  const partial = undo.partial || isPlain;
  if (wrong.length + plan.hidden > 0 && !partial) throw notAll(plan, wrong, undo);
  if (explains) {
    const made = new Set(schemas.flatMap(({ to, isMissing }) => (isMissing ? to : [])));
    const possible = choices.filter((one) => !('error' in one));
    return explainUndrop(possible, { swaps, anyParent: false, made }, run);
  }
  return bringAllBack({ ...plan, choices, schemas, definitions }, { undo, denied, partial }, run);
}

async function bringAllBack(
  plan: UndoPlan,
  { undo, denied, partial }: How,
  run: UndoRun,
): Promise<Interception> {
  const { pool } = run.service;
  const { swap: swaps } = undo;
  const swapBy = (live: QualifiedTable) => swapActor(live, run);
  const singles = await readLive(plan.definitions, run);
  const places = plan.schemas.map(({ schema }) => schema);
  const mayDropAll = swaps && (await rights.mayDropPrograms(places, run.asked));
  const how = { ...(swaps && { swapBy }), partial, ...(!mayDropAll && { replaces: ['VIEW'] }) };
  // Single ones are created as UNDROP VIEW does it.
  const work = () => undoMany(pool, { ...plan, definitions: [] }, how);
  const { tables, schemas: rest } = await inRestoreQueue(run, work);
  const [first] = tables.failed;
  if (first !== undefined && !partial) return answerRefused(undropErrorOf(first.error), run);
  const done: RestoreReport[] = [];
  for (const one of tables.done) done.push(await withTriggers(one, run));
  const changes = done.map((one) => ({ ...whoOf(run), ...restoredEvent(one, one.restoredAs) }));
  const undone: UndoneSchema[] = [];
  for (const one of rest) undone.push(await withParts(one, run));
  for (const one of singles) undone.push(...(await undoSingle(one, { swaps, undone }, run)));
  const left = [...tables.failed, ...denied];
  const isPlain = undo.what === 'database' && !swaps;
  const isTaken = isPlain && undo.toSchema === null && left.some(isNameTaken);
  const [drop] = isPlain ? plan.schemas : [];
  const notes = print.present(
    isTaken ? swapInstead(drop?.schema ?? '', left) : null,
    left.length > 0 ? whyOf(left) : null,
    ...print.formatLeft(done),
    ...undone.flatMap(print.formatLacking),
    print.formatCopied(done, undone),
    print.formatLost(plan.lost),
    drop ? await othersHeld(pool, drop) : null,
  );
  const why = notes.join(' ');
  if (isPlain && left.length > 0) {
    const count = plan.choices.length;
    const partly = new UndropError('UNDROP_PARTLY', { failed: left.length, count, why });
    return { ...(await answerRefused(partly, run)), changes };
  }
  const answer = { text: doneText(done, undone), note: why || null };
  return { ...(await answerOk(answer, run)), changes };
}

interface How {
  readonly undo: Undrop;
  readonly denied: readonly FailedRestore[];
  readonly partial: boolean;
}

/** With the live ones of their names, before the tables are others. */
async function readLive(definitions: UndoPlan['definitions'], { service: { pool } }: UndoRun) {
  const singles: { readonly dropped: DroppedDefinition; readonly live: LivePart | null }[] = [];
  for (const dropped of definitions) {
    singles.push({ dropped, live: await showPart(pool, dropped.schema, dropped.part) });
  }
  return singles;
}

/** Unless a schema has brought it back. */
async function undoSingle(
  { dropped, live }: Awaited<ReturnType<typeof readLive>>[number],
  { swaps, undone }: { readonly swaps: boolean; readonly undone: readonly UndoneSchema[] },
  run: UndoRun,
): Promise<readonly UndoneSchema[]> {
  const { id, schema, part } = dropped;
  const { kind, name, statement } = part;
  const isSame = (one: UndoneSchema) => one.schema === schema && one.parts.some(isPart);
  const isPart = (one: PartName) => partKey(one) === partKey(part);
  if (live?.statement === statement || undone.some(isSame)) return [];
  const differs = `it exists, but differs: UNDROP ${kind} ${schema}.${name} SWAP`;
  const problem = live !== null && !swaps ? differs : await bringBackOrSay(dropped, live, run);
  const made = { kind, name, statement, problem, isMissing: false };
  const isComplete = problem === null;
  const place = { id, dropId: id, schema, restoredAs: schema };
  return [{ ...place, parts: [made], problem: null, isComplete }];
}

async function bringBackOrSay(...single: Parameters<typeof bringBack>): Promise<string | null> {
  try {
    return await bringBack(...single);
  } catch (error) {
    if (!(error instanceof SaidByServer)) throw error;
    return error.message;
  }
}

/** `back`: the drop of a schema of which all is back. */
async function selectionOf(
  { what, schemas, id, since, until, user, program, toSchema, swap }: Undrop,
  { service: { pool }, asked, facts }: UndoRun,
) {
  const [schema = ''] = schemas;
  if (what === 'database') {
    rights.assertGranted(await rights.askForSchema({ schema, to: toSchema ?? schema }, asked));
    const { drop, isBack } = await findSchemaDrop(pool, { schema, to: toSchema });
    const selection = { id: drop.dropId, schemas: [drop.schema] };
    return { selection, text: drop.schema, back: isBack && !swap ? drop : null };
  }
  if (what === 'drop') {
    const drop = idDigits(id ?? '');
    if (!isIdPrefix(drop)) throw noSuchHeld(id ?? '');
    return { selection: { drop }, text: drop, back: null };
  }
  const from = since && parseSince(since, new Date(), facts.zone);
  const to = until && parseMoment(until, new Date(), facts.zone);
  const selection = {
    ...(schemas.length > 0 && { schemas }),
    ...(user !== null && { user }),
    ...(program !== null && { program }),
    ...(from && { since: from }),
    ...(to && { until: to }),
  };
  const span = print.present(from && `since ${timeText(from)}`, to && `until ${timeText(to)}`);
  return { selection, text: span.join(' '), back: null };
}

// ── what this user may do ────────────────────────────────────────────────────────────────────────

async function deniedIn(
  { choices, taken, schemas, definitions, inSight }: UndoPlan,
  { what: kind, toSchema, swap }: Undrop,
  { asked }: UndoRun,
): Promise<Readonly<Record<'denied' | 'secret', readonly FailedRestore[]>>> {
  const denied: FailedRestore[] = [];
  // Views and programs of schemas in which the user sees no table: an error would tell of them.
  const secret: FailedRestore[] = [];
  const none = rights.noneOf(asked);
  const check = async (
    what: string,
    ask: () => Promise<ErrPacket | UndropError | null>,
    refused = denied,
  ) => {
    const said = await ask();
    if (said === null) return true;
    const isRight = said instanceof UndropError || ER.ACCESS_DENIED.includes(said.errno);
    if (!isRight) throw new SaidByServer(said);
    refused.push({ what, error: said instanceof UndropError ? said : new SaidByServer(said) });
    return false;
  };
  const plans = choices.flatMap((one): HeldPlan[] => ('error' in one || one.wasBack ? [] : [one]));
  for (const same of inGroups(plans, ({ to }) => to.schema)) {
    const schema = same[0]?.to.schema ?? '';
    const ofAny = await rights.askToCreate({ schema, table: none }, asked);
    const isOfTables = ofAny !== null && ER.ACCESS_DENIED.includes(ofAny.errno);
    if (ofAny !== null && !isOfTables) throw new SaidByServer(ofAny);
    for (const { what, to, table } of same) {
      if (isOfTables) await check(what, () => rights.askToCreate(to, asked));
      if (taken.has(writtenName(to))) await check(what, () => rights.askToDropName(to, asked));
      const { origin } = table;
      // Any of a database may be.
      if (toSchema !== null && kind !== 'database' && origin)
        await check(what, () => rights.askToRename(origin, asked));
    }
  }
  for (const schema of new Set([...schemas, ...definitions].map((one) => one.schema))) {
    const to = toSchema ?? schema;
    const ask = () => rights.askForSchema({ schema, to }, asked);
    const mayMake = await check(schema, ask, inSight.has(schema) ? denied : secret);
    // Live views may go.
    const mayDrop = () => rights.askToDropName({ schema, table: none }, asked);
    if (swap && mayMake) await check(schema, mayDrop);
  }
  return { denied, secret };
}

// ── the answer ───────────────────────────────────────────────────────────────────────────────────

function notAll(plan: UndoPlan, wrong: readonly FailedRestore[], { swap }: Undrop): UndropError {
  const { hidden } = plan;
  const why = print.present(
    wrong.length > 0 ? whyOf(wrong) : null,
    hidden > 0 ? `${hidden} dropped tables of these schemas this user may not restore.` : null,
  );
  const instead = !swap && wrong.some(isNameTaken) ? ' SWAP holds the live tables instead.' : '';
  const count = `${wrong.length + hidden} of ${plan.choices.length + plan.schemas.length + hidden}`;
  return new UndropError('UNDROP_NOT_ALL', { count, why: why.join(' '), instead });
}

function isNameTaken({ error }: FailedRestore): boolean {
  return error instanceof UndropError && error.code === 'UNDROP_NAME_TAKEN';
}

function swapInstead(schema: string, left: readonly FailedRestore[]): string {
  const taken = left.filter(isNameTaken).length;
  return `UNDROP DATABASE ${schema} SWAP brings back ${taken} of which others have the names.`;
}

function whyOf(wrong: readonly FailedRestore[]): string {
  const whys = print.byCause(wrong).map(([cause, whats]) => `${someOf(whats)}: ${cause}`);
  return whys.join(' ');
}

/**
 * Creates what only this user may create, and then what that was missing. A CREATE that the server
 * accepts may create nothing: an event whose time has passed.
 */
async function withParts(undone: UndoneSchema, run: UndoRun): Promise<UndoneSchema> {
  const { service, userSession, facts } = run;
  const { pool } = service;
  const lacking = ({ parts }: UndoneSchema) => parts.filter((part) => part.problem !== null).length;
  let end = undone;
  for (let before = Infinity; !end.isComplete && lacking(end) < before; ) {
    before = lacking(end);
    const definitions = await definitionsOfSchema(pool, end, facts);
    if (!(await makeDefinitions(userSession, definitions, facts, end.restoredAs))) break;
    end = (await inRestoreQueue(run, () => finishSchemaRestore(pool, end))) ?? end;
  }
  return end;
}

function doneText(done: readonly RestoreReport[], undone: readonly UndoneSchema[]): string {
  const places = done.map(({ restoredAs: { schema } }) => schema);
  const schemas = [...new Set([...places, ...undone.map(({ restoredAs }) => restoredAs)])];
  const times = done.flatMap(({ droppedAt }) => droppedAt ?? []).sort((a, b) => +a - +b);
  const [first] = times;
  const swapped = done.filter((one) => typeof one.swapped === 'string').length;
  const verb = done.some(({ how }) => how === 'SWAP') ? 'Turned round' : 'Restored';
  const as = first === undefined ? '' : `, as before ${timeText(first)}`;
  const tables = done.length === 1 ? '1 table' : `${done.length} tables`;
  const made = undone.flatMap(({ parts }) => parts.filter(({ problem }) => problem === null));
  const [number, s] = [made.length, made.length === 1 ? '' : 's'];
  const beside = number === 0 ? '' : `, ${number} view${s} or program${s}`;
  const back = `${verb} ${tables}${beside} of ${someOf(schemas)}${as}.`;
  if (swapped === 0) return back;
  const live = swapped === 1 ? '1 live table is' : `${swapped} live tables are`;
  return `${back} ${live} held instead: the same statement turns it round.`;
}
