/**
 * SHOW DROPPED TABLES and SHOW DROPPED DATABASES: what is held that the user may see. The user may
 * see a schema where the user may create and fill any table of it.
 */
import { type DroppedSchema, findDroppedSchemas } from '../../ledger/schema-restores.js';
import { printResultSet } from '../../printer.js';
import { withWhatIsLeft } from '../../restore/held-tables.js';
import { uniqueDigits } from '../../restore/print-list.js';
import { unlessRefused } from '../../service/errors.js';
import { newId } from '../../steps/intents.js';
import { ownTurn } from '../../steps/session/in-slices.js';
import type { ResultSet } from '../../wire/result-set.js';
import { ABSENT_TABLE } from '../../wire/server-errors.js';
import { answeredWith, type Interception, type InterceptOptions } from '../intercepted.js';
import { type AnswerFormat, answerRows } from './answer.js';
import type { BoundUndo } from './bind.js';
import type { Dropped } from './dropped-columns.js';
import { findSeen, findServer, inQueue, TABLES_MAX } from './find-dropped.js';
import { applyPlan } from './list-filter.js';
import { askWhichMayBeSeen, keyOf, noneOf } from './rights.js';

type Show = Extract<BoundUndo, { kind: 'show-dropped' }>;

export async function showDropped(
  show: Show,
  format: AnswerFormat,
  options: InterceptOptions,
): Promise<Interception> {
  const { facts } = format;
  const server = await findServer(facts, options);
  if (show.what === 'databases') return showSchemas(show, format, options);
  const { schema, like, among, plan, order: byLedger, fields } = show;
  const fit = {
    ...(schema !== null && { schema }),
    ...(like !== null && { like }),
    ...among,
  };
  const { limit, order, isWanted, mayBeWanted } = plan;
  const enough = limit === null ? TABLES_MAX : limit.offset + limit.rows;
  const { pool } = options.service;
  const choose = async (tables: readonly Dropped[]) => {
    const now = await inQueue(pool, `read ${facts.account}`, () => withWhatIsLeft(pool, tables));
    return applyPlan({ isWanted, order: null, limit: null }, now, ownTurn);
  };
  const early = { isWanted: mayBeWanted, order: null, limit: null };
  const mayBe =
    mayBeWanted === null
      ? null
      : async (tables: readonly Dropped[]) => applyPlan(early, tables, ownTurn);
  const all = { facts, server, mayBe, choose };
  const parts =
    order === null || limit === null || byLedger === null
      ? [{ fit, enough: order === null ? enough : TABLES_MAX }]
      : [
          { fit: { ...fit, ordered: byLedger }, enough },
          // Last, because a table may leave HOLD meanwhile.
          { fit: { ...fit, unordered: byLedger }, enough: TABLES_MAX },
        ];
  const found = new Map<string, Dropped>();
  let note: string | null = null;
  for (const part of parts) {
    const some = await findSeen(part.fit, { ...all, enough: part.enough }, options);
    if ('errno' in some) return answeredWith(some);
    for (const table of some.seen) found.set(table.id, table);
    const which = 'ordered' in part.fit ? 'first' : 'newest';
    if (some.isCut) note = `Only the ${which} ${TABLES_MAX} dropped tables were read.`;
  }
  const wanted = await applyPlan({ isWanted: null, order, limit }, [...found.values()], ownTurn);
  const rows = show.hasShortIds ? withShortIds(wanted) : wanted;
  const set = 'count' in fields ? countSet(fields, rows.length) : printResultSet(fields, rows);
  return answerRows(set, { ...format, note }, options);
}

function withShortIds(tables: readonly Dropped[]): readonly Dropped[] {
  const digits = uniqueDigits(tables.map(({ id }) => id));
  return tables.map((table) => ({ ...table, id: table.id.slice(-digits) }));
}

/** Its columns, without a row. */
export function emptySet(show: Show): ResultSet {
  if (show.what === 'databases') return printResultSet(show.fields, []);
  return 'count' in show.fields ? countSet(show.fields, 0) : printResultSet(show.fields, []);
}

function countSet({ count: name }: { readonly count: string }, count: number): ResultSet {
  return { columns: [{ name, type: 'number' }], rows: [[count]] };
}

async function showSchemas(
  { plan, fields }: Extract<Show, { what: 'databases' }>,
  format: AnswerFormat,
  options: InterceptOptions,
): Promise<Interception> {
  const { facts } = format;
  const { pool } = options.service;
  const all = await inQueue(pool, `read ${facts.account}`, () =>
    unlessRefused(findDroppedSchemas(pool, 'all'), [], ...ABSENT_TABLE),
  );
  const isLeft = ({ held, tables, restoredAs }: DroppedSchema) =>
    held > 0 || (tables === 0 && restoredAs === null);
  const held = all.filter((drop) => isLeft(drop) && !drop.isOpen);
  const asked = { session: options.userSession, facts, groupId: newId() };
  const table = noneOf(asked);
  const names = held.map(({ schema }) => ({ schema, table }));
  const granted = await askWhichMayBeSeen(names, asked);
  if ('errno' in granted) return answeredWith(granted);
  const seen = held.filter(({ schema }) => granted.has(keyOf({ schema, table })));
  const set = printResultSet(fields, await applyPlan(plan, seen, ownTurn));
  return answerRows(set, { ...format, note: null }, options);
}
