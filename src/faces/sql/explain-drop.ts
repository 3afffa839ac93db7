/**
 * EXPLAIN of a DROP TABLE or a DROP DATABASE: reports what the drop would do, by the queries and
 * the decisions of the drop itself, and does none of it.
 *
 * Invariant: nothing about a table is shown before the server has confirmed in the user's session
 * that the user may drop it. No intent, no RENAME; the hint of the session stays.
 */

import { findSchema, findTables } from '../../drop/drop-database/read-schema.js';
import { checkRights, crowded, tablesOfSchema } from '../../drop/drop-database/schema-drop.js';
import { namesToAsk } from '../../drop/drop-table/decide.js';
import { type Fate, fatesOfSchema, fatesOfTables } from '../../drop/fates.js';
import { type Interception, type InterceptOptions, refused } from '../../drop/intercepted.js';
import { knownKind, refusalOfRecycled, whyUnsupported } from '../../drop/steps/inspect-names.js';
import { Intents, newId } from '../../drop/steps/intents.js';
import { notDone, notUnderstood, SET_IF_EXISTS } from '../../drop/steps/refusals/refusals.js';
import { operatorOf } from '../../drop/steps/rules/ask.js';
import { allHints, areForDestroying } from '../../drop/steps/rules/hints.js';
import { lastUse, readUse, type Use } from '../../drop/steps/rules/rules.js';
import { definitionIn, type NameKind, readKinds } from '../../drop/steps/session/facts.js';
import { askToDrop, raise, showCreateSql } from '../../drop/steps/session/user-session.js';
import type * as steps from '../../drop/steps/world.js';
import { answerWith, ask, NO_NAMES } from '../../drop/steps/world.js';
import { timeText } from '../../duration.js';
import { assert, UndropError } from '../../errors.js';
import { lastingBlocker, type TriggerRights } from '../../held/relocate/blockers.js';
import { readTriggerRights } from '../../held/triggers/detach-triggers.js';
import { type IntentFacts, type IntentTable, shapeOf } from '../../ledger/write.js';
import { isPinned, type QualifiedTable, recycleSchemaFor } from '../../names/names.js';
import type { Ruling } from '../../policy/decide.js';
import { isInsistence } from '../../policy/rules.js';
import { type Field, printResultSet } from '../../printer.js';
import { clientCharsetOf } from '../../sql/lex/client-charset.js';
import { decodeErr } from '../../wire/response.js';
import type { ResultSet } from '../../wire/result-set.js';
import { type AnswerFormat, answerRows } from './answer.js';
import { type BoundUndo, onSession } from './bind.js';

type Explain = Extract<BoundUndo, { readonly kind: `explain-${string}` }>;
type ExplainSchema = Extract<Explain, { readonly kind: 'explain-drop-database' }>;
type ExplainTables = Exclude<Explain, ExplainSchema>;
type Options = InterceptOptions & Pick<AnswerFormat, 'facts'>;

/** The error of the drop, or the rows. */
type Explanation = ResultSet | steps.Answer | UndropError;

export async function explainDrop(
  undo: Explain,
  format: AnswerFormat,
  options: InterceptOptions,
): Promise<Interception> {
  const { facts } = format;
  const known = { ...options, facts };
  const isSchema = undo.kind === 'explain-drop-database';
  const end =
    refusalBefore(undo, facts) ??
    (await (isSchema ? explainSchema(undo, known) : explainTables(undo, known)));
  if (end instanceof UndropError) return refused(end, options);
  if (!('payload' in end)) return answerRows(end, { ...options, ...format });
  const { payload, refusal } = end;
  if (refusal === null) {
    // For SHOW WARNINGS, because the session ran more queries after it.
    const said = decodeErr(payload);
    await raise(options.userSession, options, { ...said, message: said.message.toString() });
  }
  return { kind: 'answer', payload, refusal, facts, dropped: null };
}

/** The refusal of the drop before any query; null: none. */
function refusalBefore(
  { hints, ...undo }: Explain,
  { gtidNext, addsIfExists }: Options['facts'],
): UndropError | null {
  const what = undo.kind === 'explain-drop-table' ? 'Its tables were' : tablesOfSchema(undo.schema);
  if (hints === null) return notUnderstood('its hints');
  if (gtidNext !== null) return notDone('under a GTID of its session', what);
  return addsIfExists ? notDone('under sql_if_exists', what, SET_IF_EXISTS) : null;
}

async function explainTables(
  { drop: statement, names: stored, hints }: ExplainTables,
  options: Options,
): Promise<Explanation> {
  const { server, service, userSession, facts } = options;
  const unsupported = whyUnsupported(statement, server);
  if (unsupported !== null) return notUnderstood(unsupported);
  const recycled = refusalOfRecycled(stored);
  if (recycled !== null) return recycled;
  const names = stored.map((name) => onSession(name, facts));
  const request = requestOf({ statement, ids: stored.map(newId) }, options);
  const shown = await ask(userSession, ...names.map((one) => showCreateSql(one, request.charset)));
  const kinds = readKinds(shown);
  if ('errno' in kinds) return answerWith(kinds);
  // Before anything else is shown. It ends the transaction and waits for locks, as the drop does.
  const ended = await askToDrop(userSession, request, namesToAsk({ names, kinds }));
  if (ended !== null) return ended;
  const all = allHints(hints ?? [], facts);
  const destroys = areForDestroying(all);
  const followed = destroys ? all.filter(isInsistence) : all;
  const blockers = shown.map((one) => lastingBlocker(definitionIn(one), server));
  return explainNames({ request, names: stored, hints: followed, kinds }, options, (known) => {
    const how = { destroys, service, triggers: known.triggers };
    return fatesOfTables({ request, facts, names, kinds, blockers, ...known }, how);
  });
}

async function explainSchema(
  { schema: name, ifExists, hints }: ExplainSchema,
  options: Options,
): Promise<Explanation> {
  const { service, userSession, facts } = options;
  const { schema: bytes } = onSession({ schema: name, table: name }, facts);
  assert(bytes !== null, 'a name is given with its schema');
  const statement = { ...NO_NAMES, ifExists };
  const start = requestOf({ statement, ids: [], subject: tablesOfSchema(name) }, options);
  const drop = { ...start, facts, schema: bytes, name, ifExists };
  const port = { findSchema: (schema: string) => findSchema(service.pool, schema) };
  const end = await checkRights(userSession, port, drop);
  if (end.kind === 'gone') return crowded(name, 1);
  // There is no such schema, and IF EXISTS.
  if (end.kind === 'answer') return end.payload[0] === 0x00 ? NO_TABLES : end;
  const { schema } = end;
  const { tables } = await findTables(service.pool, schema, start.dropId);
  if (tables.length === 0) return NO_TABLES;
  const names = tables.map((table) => ({ schema, table }));
  const request = { ...start, ids: names.map(newId) };
  const question = { request, names, hints: allHints(hints ?? [], facts), kinds: [] };
  return explainNames(question, options, (known) =>
    fatesOfSchema({ request, facts, schema, ...known }, { service, triggers: known.triggers }),
  );
}

function requestOf(
  drop: Pick<steps.DropRequest, 'statement' | 'ids'> & { readonly subject?: string },
  { server, session, facts }: Options,
): steps.DropRequest {
  const charset = clientCharsetOf(facts.charset) ?? 'plain';
  return { ...drop, text: Buffer.alloc(0), server, charset, session, dropId: newId() };
}

interface Question {
  readonly request: steps.DropRequest;
  readonly names: readonly QualifiedTable[];
  readonly hints: readonly string[];
  /** The kind of each name in the session; empty: the names are those of a schema. */
  readonly kinds: readonly NameKind[];
}

interface Known {
  readonly intent: IntentFacts;
  readonly rulings: readonly Ruling[];
  /** The privileges of the service account on the triggers of the tables; null: they have none. */
  readonly triggers: TriggerRights | null;
}

async function explainNames(
  { request, names, hints, kinds }: Question,
  options: Options,
  fatesOf: (known: Known) => readonly Fate[],
): Promise<Explanation> {
  const { service, facts, server, userSession } = options;
  const world = { ...service, userSession, ask: operatorOf(service) };
  const intents = new Intents(request, world, new Set(hints));
  const { intent, intentError, rulings } = await intents.inspect(facts, names);
  intents.release();
  if (intent === null) return intentError;
  const { tables } = intent;
  const isTriggered = tables.some((table) => table.triggers.length > 0);
  const triggers = isTriggered ? await readTriggerRights(service.pool, server) : null;
  const fates = fatesOf({ intent, rulings, triggers });
  return explainRows(tables, { fates, kinds, logged: facts.logged }, options);
}

// ── the rows ─────────────────────────────────────────────────────────────────────────────────────
// The fate of each table, in words, with its keys, size and last use.
//
// Invariant: the hold name of a table isn't known before the drop, because it has the id of that
// drop; it is shown with a gap.

interface Explained {
  readonly seen: IntentTable;
  readonly fate: Fate;
  readonly kind: keyof typeof KINDS;
  /** Where it is held, and until when; null: it isn't. */
  readonly held: { readonly name: string; readonly until: string } | null;
  /** Null: not read. */
  readonly use: Use | null;
}

const KINDS = {
  temporary: 'temporary table',
  view: 'view',
  base: 'base table',
  missing: 'missing',
} as const;

const COLUMNS: readonly Field<Explained>[] = [
  { title: 'Schema', json: ({ seen }) => seen.schema },
  { title: 'Table', json: ({ seen }) => seen.table },
  { title: 'Kind', json: (one) => ofBase(one, kindOfBase) ?? KINDS[one.kind] },
  { title: 'What', json: ({ fate }) => fate.what },
  { title: 'Hold_name', json: ({ held }) => held?.name },
  { title: 'Hold_until', json: ({ held }) => held?.until },
  { title: 'Foreign_keys', json: (one) => ofBase(one, foreignKeys) },
  numberOf('Triggers', ({ triggers }) => triggers.length),
  numberOf('Rows', ({ rowEstimate }) => rowEstimate),
  numberOf('Bytes', ({ byteEstimate }) => byteEstimate),
  { title: 'Last_used', json: (one) => ofBase(one, () => one.use && lastUse(one.use)) },
];

function numberOf(title: string, read: (seen: IntentTable) => number | null): Field<Explained> {
  return { title, json: (one) => ofBase(one, read), isNumber: true };
}

/** Null for what is no base table: nothing is known of it. */
function ofBase<T>({ kind, seen }: Explained, read: (seen: IntentTable) => T): T | null {
  return kind === 'base' ? read(seen) : null;
}

function kindOfBase({ kind }: IntentTable): string {
  return kind === 'sequence' ? 'sequence' : KINDS.base;
}

export const NO_TABLES: ResultSet = printResultSet(COLUMNS, []);

/** The maximum of tables whose use is read. */
const FACTS_MAX = 50;

/** `kinds`: as the session sees each name; without them, as the service does. */
async function explainRows(
  tables: readonly IntentTable[],
  how: Pick<Question, 'kinds'> & { readonly fates: readonly Fate[]; readonly logged: boolean },
  options: InterceptOptions,
): Promise<ResultSet> {
  const kindOf = (table: IntentTable) =>
    knownKind(how.kinds[tables.indexOf(table)] ?? 'denied', table);
  const looked = tables.filter((table) => kindOf(table) === 'base').slice(0, FACTS_MAX);
  const uses = await readUses(looked, options);
  const rows = tables.map((seen, index) => {
    const fate = how.fates[index];
    assert(fate !== undefined, 'a fate for each table');
    const use = uses[looked.indexOf(seen)] ?? null;
    return { seen, kind: kindOf(seen), fate, held: heldAs(seen, fate, how), use };
  });
  return printResultSet(COLUMNS, rows);
}

function heldAs(
  { schema, holdUntil }: IntentTable,
  { isHeld, stays }: Fate,
  { logged }: { readonly logged: boolean },
): Explained['held'] {
  if (!isHeld || holdUntil === null) return null;
  const digits = holdUntil.toISOString().replaceAll(/\D/g, '').slice(0, 14);
  const name = `${stays ? schema : recycleSchemaFor(logged)}._vt_HOLD_<id>_${digits}`;
  return { name, until: isPinned(holdUntil) ? 'pinned' : timeText(holdUntil) };
}

/** Counts only: a user who may drop a table need not see the others. */
function foreignKeys({ foreignKeysOut, foreignKeysIn, foreignKeysToItself }: IntentTable): string {
  return [
    [foreignKeysOut, 'of its own'],
    [foreignKeysIn.length, 'of its children'],
    [foreignKeysToItself.length, 'to itself'],
  ]
    .flatMap(([count, what]) => (count === 0 ? [] : [`${count} ${what}`]))
    .join(', ');
}

async function readUses(
  tables: readonly IntentTable[],
  { service: { pool, rules = [] } }: InterceptOptions,
): Promise<readonly Use[]> {
  const { lowerCaseTableNames } = await shapeOf(pool);
  const conditions = rules.flatMap((rule) => rule.conditions);
  const how = {
    foldsCase: lowerCaseTableNames !== 0,
    ignoresReads: conditions.some(({ kind }) => kind === 'empty'),
  };
  const uses: Use[] = [];
  for (const table of tables) uses.push(await readUse(pool, table, how));
  return uses;
}
