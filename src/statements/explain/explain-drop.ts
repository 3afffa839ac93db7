/**
 * EXPLAIN of a DROP TABLE or a DROP DATABASE: reports what the drop would do, by the queries and
 * the decisions of the drop itself, and does none of it.
 *
 * Invariant: nothing about a table is shown before the server has confirmed in the user's session
 * that the user may drop it. No intent, no RENAME; the hint of the session stays.
 */
import { assert } from '../../assert.js';
import { UndropError } from '../../errors.js';
import { lastingBlocker, type TriggerRights } from '../../held/relocate/blockers.js';
import { readTriggerRights } from '../../held/triggers/detach-triggers.js';
import type { IntentFacts } from '../../ledger/write.js';
import { isInsistence } from '../../policy/rules.js';
import { clientCharsetOf } from '../../sql/lex/client-charset.js';
import { refusalOfRecycled, whyUnsupported } from '../../steps/inspect-names.js';
import { Intents, newId } from '../../steps/intents.js';
import { notDone, notUnderstood, SET_IF_EXISTS } from '../../steps/refusals/refusals.js';
import { allHints, areForDestroying } from '../../steps/rules/hints.js';
import { definitionIn, type NameKind, readKind } from '../../steps/session/facts.js';
import {
  askToDrop,
  type QualifiedName,
  raise,
  showCreateSql,
} from '../../steps/session/user-session.js';
import {
  type Answer,
  answerWith,
  ask,
  type DropRequest,
  type RecordedIntent,
  type UserSession,
} from '../../steps/world.js';
import { decodeErr, type Result } from '../../wire/response.js';
import type { ResultSet } from '../../wire/result-set.js';
import { checkRights } from '../drop-database/check-rights.js';
import { findSchema, findTables } from '../drop-database/read-schema.js';
import { crowded, tablesOfSchema } from '../drop-database/schema-drop.js';
import { namesToAsk } from '../drop-table/decide.js';
import { type Interception, type InterceptOptions, refused } from '../intercepted.js';
import { type AnswerFormat, answerRows } from '../undrop/answer.js';
import { type BoundName, type BoundUndo, onSession } from '../undrop/bind.js';
import { explainRows, NO_TABLES } from './explain-rows.js';
import { fatesOfSchema, fatesOfTables } from './fates.js';

type Explain = Extract<BoundUndo, { readonly kind: `explain-${string}` }>;
type ExplainSchema = Extract<Explain, { readonly kind: 'explain-drop-database' }>;
type ExplainTables = Exclude<Explain, ExplainSchema>;
type Options = InterceptOptions & Pick<AnswerFormat, 'facts'>;

/** The error of the drop, or the rows. */
type Explanation = ResultSet | Answer | UndropError;

export async function explainDrop(
  undo: Explain,
  format: AnswerFormat,
  options: InterceptOptions,
): Promise<Interception> {
  const { facts } = format;
  const end = refusalBefore(undo, facts) ?? (await explain(undo, { ...options, facts }));
  if (end instanceof UndropError) return refused(end, options);
  if (!('payload' in end)) return answerRows(end, { ...format, note: null }, options);
  const { payload, refusal } = end;
  if (refusal === null) {
    // For SHOW WARNINGS, because the session ran more queries after it.
    const said = decodeErr(payload);
    await raise(options.userSession, options, { ...said, message: said.message.toString() });
  }
  return { kind: 'answer', payload, refusal, facts, dropped: null };
}

function explain(undo: Explain, options: Options): Promise<Explanation> {
  const isSchema = undo.kind === 'explain-drop-database';
  return isSchema ? explainSchema(undo, options) : explainTables(undo, options);
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
  const { server, service, facts } = options;
  const unsupported = whyUnsupported(statement, server);
  if (unsupported !== null) return notUnderstood(unsupported);
  const recycled = refusalOfRecycled(stored);
  if (recycled !== null) return recycled;
  const names = stored.map((name) => onSession(name, facts));
  const request = requestOf({ statement, ids: stored.map(newId) }, options);
  const asked = await askRights(options.userSession, request, names);
  if (asked.kind === 'answer') return asked;
  const all = allHints(hints ?? [], facts);
  const destroys = areForDestroying(all);
  const followed = destroys ? all.filter(isInsistence) : all;
  const known = await inspect({ request, names: stored, hints: followed }, options);
  const { intent, intentError, rulings } = known;
  if (intent === null) return intentError;
  const blockers = asked.shown.map((shown) => lastingBlocker(definitionIn(shown), server));
  const drop = { request, facts, names, kinds: asked.kinds, blockers, intent, rulings };
  const triggers = await rightsFor(intent, options);
  const how = { destroys, service, triggers };
  const shown = { fates: fatesOfTables(drop, how), kinds: asked.kinds, logged: facts.logged };
  return explainRows(intent.tables, shown, options);
}

async function explainSchema(
  { schema: name, ifExists, hints }: ExplainSchema,
  options: Options,
): Promise<Explanation> {
  const { service, userSession, facts } = options;
  const { schema: bytes } = onSession({ schema: name, table: name }, facts);
  assert(bytes !== null, 'a name is given with its schema');
  const statement = {
    object: 'table',
    names: [],
    wait: null,
    ifExists,
    isDoubtful: false,
  } as const;
  const start = requestOf({ statement, ids: [], subject: tablesOfSchema(name) }, options);
  const drop = { ...start, facts, schema: bytes, name, ifExists };
  const port = { findSchema: (schema: string) => findSchema(service.pool, schema) };
  const end = await checkRights(userSession, port, drop);
  if (end.kind === 'gone') return crowded(name, 1);
  // There is no such schema, and IF EXISTS.
  if (end.kind === 'answer') return end.payload[0] === 0x00 ? NO_TABLES : end;
  const { schema } = end;
  const { tables } = await findTables(service.pool, schema, start.groupId);
  if (tables.length === 0) return NO_TABLES;
  const names = tables.map((table) => ({ schema, table }));
  const request = { ...start, ids: names.map(newId) };
  const known = await inspect({ request, names, hints: allHints(hints ?? [], facts) }, options);
  if (known.intent === null) return known.intentError;
  const triggers = await rightsFor(known.intent, options);
  const fates = fatesOfSchema({ request, facts, schema, ...known }, { service, triggers });
  const shown = { fates, kinds: [], logged: facts.logged };
  return explainRows(known.intent.tables, shown, options);
}

/** The privileges of the service account on their triggers; null: they have none. */
async function rightsFor(
  { tables }: IntentFacts,
  { service: { pool }, server }: Options,
): Promise<TriggerRights | null> {
  return tables.some(({ triggers }) => triggers.length > 0)
    ? readTriggerRights(pool, server)
    : null;
}

function requestOf(
  drop: Pick<DropRequest, 'statement' | 'ids'> & { readonly subject?: string },
  { server, session, facts }: Options,
): DropRequest {
  const charset = clientCharsetOf(facts.charset) ?? 'plain';
  return { ...drop, text: Buffer.alloc(0), server, charset, session, groupId: newId() };
}

interface Question {
  readonly request: DropRequest;
  readonly names: readonly BoundName[];
  readonly hints: readonly string[];
}

async function inspect(
  { request, names, hints }: Question,
  { service, facts, ...options }: Options,
): Promise<RecordedIntent> {
  const intents = new Intents(request, { ...service, ...options }, new Set(hints));
  try {
    return await intents.inspect(facts, names);
  } finally {
    intents.release();
  }
}

// ── the rights of the user ───────────────────────────────────────────────────────────────────────
// The queries of EXPLAIN DROP TABLE in the user's session: the kinds of the names, and whether the
// user may drop them.
//
// Invariants: the server checks the privileges, with the errors of DROP, before anything else is
// shown. No statement here can destroy anything; the check ends the transaction and waits for
// others' locks, as the drop does.

interface MayDrop {
  readonly kind: 'may-drop';
  readonly kinds: readonly NameKind[];
  /** SHOW CREATE of each name. */
  readonly shown: readonly Result[];
}

/** An answer: the drop would end with it. */
async function askRights(
  session: UserSession,
  request: DropRequest,
  names: readonly QualifiedName[],
): Promise<MayDrop | Answer> {
  const shown = await ask(session, ...names.map((name) => showCreateSql(name, request.charset)));
  const kinds: NameKind[] = [];
  for (const kind of shown.map(readKind)) {
    if (typeof kind === 'object') return answerWith(kind);
    kinds.push(kind);
  }
  const ended = await askToDrop(session, request, namesToAsk({ names, kinds }));
  return ended ?? { kind: 'may-drop', kinds, shown };
}
