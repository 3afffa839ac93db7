/**
 * EXPLAIN of a DROP TABLE or a DROP DATABASE: says what the drop would do, by the questions and the
 * decisions of the drop itself, and does none of it.
 *
 * Invariant: nothing is told of a table before the server has said in the user's session that the
 * user may drop it. No intent, no RENAME; the hint of the session is still there.
 */

import { assert } from '../../assert.js';
import { UndropError } from '../../errors.js';
import { lastingBlocker } from '../../held/relocate/blockers.js';
import type { IntentFacts } from '../../ledger/write.js';
import { clientCharsetOf } from '../../sql/lex/lex-mode.js';
import { knownKind, refusalOfRecycled, whyUnsupported } from '../../steps/inspect-names.js';
import { newId } from '../../steps/intents.js';
import { type Answer, drive } from '../../steps/procedure.js';
import { notDone, notUnderstood, SET_IF_EXISTS } from '../../steps/refusals/refusals.js';
import type { DropRequest, UserFacts } from '../../steps/request.js';
import { allHints, notDestroyed, readHints } from '../../steps/rules/hints.js';
import { definitionIn, type NameKind } from '../../steps/session/facts.js';
import { raise } from '../../steps/session-answers.js';
import { decodeErr } from '../../wire/response.js';
import type { ResultSet } from '../../wire/result-set.js';
import { checkRights } from '../drop-database/check-rights.js';
import { crowded, type SchemaDropRequest, tablesOf } from '../drop-database/effects.js';
import { findSchema, findTables } from '../drop-database/read-schema.js';
import type { Drop } from '../drop-table/decide.js';
import { type Interception, type InterceptOptions, refused } from '../intercepted.js';
import { type AnswerFormat, answerRows, inSession } from '../undrop/answer.js';
import { type BoundUndo, onSession } from '../undrop/bind.js';
import { askRights, askViews } from './ask.js';
import { type Fate, fatesOfSchema, fatesOfTables } from './fates.js';
import { type Explained, explainRows } from './rows.js';
import { readKnown, readUses } from './service.js';

type Bound<K extends BoundUndo['kind']> = Extract<BoundUndo, { readonly kind: K }>;
type ExplainTables = Bound<'explain-drop-table'>;
type ExplainSchema = Bound<'explain-drop-database'>;

/** What the drop would end with, or the rows. */
type Explanation = ResultSet | Answer | UndropError;

export async function explainDrop(
  undo: ExplainTables | ExplainSchema,
  format: AnswerFormat,
  options: InterceptOptions,
): Promise<Interception> {
  const { facts } = format;
  const end =
    refusalBefore(undo, facts) ??
    (undo.kind === 'explain-drop-table'
      ? await explainTables(undo, facts, options)
      : await explainSchema(undo, facts, options));
  if (end instanceof UndropError) return refused(end, options);
  if (!('payload' in end)) return answerRows(end, { ...format, note: null }, options);
  const { payload, refusal } = end;
  if (refusal === null) {
    // For SHOW WARNINGS: after it the session was asked more.
    const said = decodeErr(payload);
    await inSession(raise(options, { ...said, message: said.message.toString() }), options);
  }
  return { kind: 'answer', payload, refusal, facts, dropped: null };
}

/** What the drop would be refused for before anything is asked; null: nothing. */
function refusalBefore(
  { hints, ...undo }: ExplainTables | ExplainSchema,
  { gtidNext, addsIfExists }: UserFacts,
): UndropError | null {
  const what = undo.kind === 'explain-drop-table' ? 'Its tables were' : tablesOf(undo.schema);
  if (hints === null) return notUnderstood('its hints');
  if (gtidNext !== null) return notDone('under a GTID of its session', what);
  return addsIfExists ? notDone('under sql_if_exists', what, SET_IF_EXISTS) : null;
}

async function explainTables(
  { drop: statement, names: stored, hints }: ExplainTables,
  facts: UserFacts,
  options: InterceptOptions,
): Promise<Explanation> {
  const { server, session, service } = options;
  const unsupported = whyUnsupported(statement, server);
  if (unsupported !== null) return notUnderstood(unsupported);
  const recycled = refusalOfRecycled(stored);
  if (recycled !== null) return recycled;
  const charset = clientCharsetOf(facts.charset) ?? 'plain';
  const names = stored.map((name) => onSession(name, facts));
  const ids = stored.map(newId);
  const text = Buffer.alloc(0);
  const request = { text, statement, server, charset, session, groupId: newId(), ids };
  const hint = readHints(allHints(hints ?? [], facts), request, service);
  if (hint instanceof UndropError) return hint;
  const asked = await inSession(askRights(request, names), options);
  if (asked.kind === 'answer') return asked;
  const known = await readKnown({ request, names: stored, facts, hint, hints }, options);
  if (known instanceof UndropError) return known;
  const blockers = asked.shown.map((shown) => lastingBlocker(definitionIn(shown), server));
  const { kinds, locked } = asked;
  const drop: Drop = { request, facts, names, kinds, blockers, ...known };
  const fates = fatesOfTables(drop, locked, { hint, service });
  return rowsOf({ request, facts, kinds, fates, intent: known.intent }, options);
}

async function explainSchema(
  { schema: name, ifExists, hints }: ExplainSchema,
  facts: UserFacts,
  options: InterceptOptions,
): Promise<Explanation> {
  const { server, session, service, userSession } = options;
  const charset = clientCharsetOf(facts.charset) ?? 'plain';
  const { schema: bytes } = onSession({ schema: name, table: name }, facts);
  const groupId = newId();
  const how = { text: Buffer.alloc(0), charset, server, session, facts, groupId };
  const drop: SchemaDropRequest = { ...how, schema: bytes ?? Buffer.alloc(0), name, ifExists };
  const end = await drive(checkRights(drop), async (effect) =>
    effect.do === 'user' ? userSession.run(effect.commands) : findSchema(service.pool, name),
  );
  if (end.kind === 'gone') return crowded(name, 1);
  const { pool } = service;
  // There is no such schema, and IF EXISTS.
  if (end.kind === 'answer') return end.payload[0] === 0x00 ? explainRows([], facts) : end;
  const { tables } = await findTables(pool, end.schema, groupId);
  if (tables.length === 0) return explainRows([], facts);
  const names = tables.map((table) => ({ schema: end.schema, table }));
  const statement = {
    object: 'table',
    names: [],
    wait: null,
    ifExists,
    isDoubtful: false,
  } as const;
  const ids = tables.map(newId);
  const request: DropRequest = { ...how, statement, subject: tablesOf(name), ids };
  const hint = readHints(allHints(hints ?? [], facts), request, service);
  if (hint instanceof UndropError) return hint;
  if (hint?.destroys === true) return notDestroyed(request);
  const known = await readKnown({ request, names, facts, hint, hints }, options);
  if (known instanceof UndropError) return known;
  const fates = fatesOfSchema({ request, facts, schema: end.schema, ...known }, service);
  return rowsOf({ request, facts, kinds: [], fates, intent: known.intent }, options);
}

/** So many tables are looked at for their use, and for views. */
const LOOKED_AT_MAX = 50;

interface Decided {
  readonly request: DropRequest;
  readonly facts: UserFacts;
  /** What the session sees under each name; default: what the service sees. */
  readonly kinds: readonly NameKind[];
  readonly fates: readonly Fate[];
  readonly intent: IntentFacts;
}

async function rowsOf(
  { request, facts, kinds, fates, intent }: Decided,
  options: InterceptOptions,
): Promise<ResultSet> {
  const tables = intent.tables.map((seen, index) => {
    const fate = fates[index];
    assert(fate !== undefined, 'a fate for each table');
    return { seen, kind: knownKind(kinds[index] ?? 'denied', seen), fate };
  });
  const bases = tables.filter(({ kind }) => kind === 'base').map(({ seen }) => seen);
  const looked = bases.slice(0, LOOKED_AT_MAX);
  const views = await inSession(askViews(looked, request), options);
  const uses = await readUses(looked, options);
  const rows = tables.map((table): Explained => {
    const index = looked.indexOf(table.seen);
    return { ...table, use: uses[index] ?? null, views: views?.[index] ?? null };
  });
  return explainRows(rows, facts);
}
