/**
 * SHOW DROPPED TABLES and SHOW DROPPED DATABASES: what is held that the user may see. The user may
 * see a schema where the user may create and fill any table of it.
 */
import { setImmediate as turn } from 'node:timers/promises';
import { findDroppedSchemas } from '../../ledger/schema-restores.js';
import { printResultSet } from '../../printer.js';
import { unlessRefused } from '../../service/errors.js';
import { newId } from '../../steps/intents.js';
import type { ResultSet } from '../../wire/result-set.js';
import { ABSENT_TABLE } from '../../wire/server-errors.js';
import { answeredWith, type Interception, type InterceptOptions } from '../intercepted.js';
import { type AnswerFormat, answerRows } from './answer.js';
import type { BoundUndo } from './bind.js';
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
  const { schema, like, plan, fields } = show;
  const fit = { ...(schema !== null && { schema }), ...(like !== null && { like }) };
  const { limit, order, isWanted } = plan;
  const isHead = limit !== null && order === null && isWanted === null;
  const enough = isHead ? limit.offset + limit.rows : TABLES_MAX;
  const found = await findSeen(fit, { facts, server, enough }, options);
  if ('errno' in found) return answeredWith(found);
  const isCut = found.isCut && enough === TABLES_MAX;
  const note = isCut ? `Only the newest ${TABLES_MAX} dropped tables were read.` : null;
  const rows = await applyPlan(plan, found.seen, turn);
  const set = fields === 'count' ? countSet(rows.length) : printResultSet(fields, rows);
  return answerRows(set, { ...format, note }, options);
}

/** Its columns, without a row. */
export function emptySet(show: Show): ResultSet {
  if (show.what === 'databases') return printResultSet(show.fields, []);
  return show.fields === 'count' ? countSet(0) : printResultSet(show.fields, []);
}

function countSet(count: number): ResultSet {
  return { columns: [{ name: 'COUNT(*)', type: 'number' }], rows: [[count]] };
}

async function showSchemas(
  { plan, fields }: Extract<Show, { what: 'databases' }>,
  format: AnswerFormat,
  options: InterceptOptions,
): Promise<Interception> {
  const { facts } = format;
  const { pool } = options.service;
  const all = await inQueue(pool, `read ${facts.user}`, () =>
    unlessRefused(findDroppedSchemas(pool, 'all'), [], ...ABSENT_TABLE),
  );
  const held = all.filter((drop) => drop.held > 0 && !drop.isOpen);
  const asked = { session: options.userSession, facts, groupId: newId() };
  const table = noneOf(asked);
  const names = held.map(({ schema }) => ({ schema, table }));
  const granted = await askWhichMayBeSeen(names, asked);
  if ('errno' in granted) return answeredWith(granted);
  const seen = held.filter(({ schema }) => granted.has(keyOf({ schema, table })));
  const set = printResultSet(fields, await applyPlan(plan, seen, turn));
  return answerRows(set, { ...format, note: null }, options);
}
