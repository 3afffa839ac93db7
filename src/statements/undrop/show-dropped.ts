/**
 * SHOW DROPPED TABLES and SHOW DROPPED DATABASES: what is held that the user may see. The user may
 * see a schema where the user may create and fill any table of it.
 */
import { parseSince } from '../../duration.js';
import { type DroppedSchema, findDroppedSchemas } from '../../ledger/schema-restores.js';
import { isHoldId, keyOf } from '../../names/names.js';
import { printResultSet } from '../../printer.js';
import {
  type Dropped,
  SCHEMA_COLUMNS,
  SHORT_COLUMNS,
  TABLE_COLUMNS,
} from '../../recycle/dropped.js';
import { TABLES_MAX } from '../../recycle/list.js';
import { uniqueDigits } from '../../recycle/print/print-list.js';
import { unlessRefused } from '../../service/errors.js';
import type { ShowDropped } from '../../sql/verdict.js';
import { newId } from '../../steps/intents.js';
import type { ResultSet } from '../../wire/result-set.js';
import * as ER from '../../wire/server-errors.js';
import type { Interception, InterceptOptions } from '../intercepted.js';
import { type AnswerFormat, answerRows } from './answer.js';
import { findSeen, findServer, inQueue, type SeenFit } from './find-dropped.js';
import { askWhichMayBeSeen, noneOf } from './rights.js';

type Show = ShowDropped<string>;

export async function showDropped(
  show: Show,
  format: AnswerFormat,
  options: InterceptOptions,
): Promise<Interception> {
  const { facts } = format;
  const server = await findServer(facts, options);
  if (show.what === 'databases') return showSchemas(show, format, options);
  const { isBySize, limit } = show;
  const fit = fitOf(show);
  const parts: readonly (SeenFit & { readonly enough: number })[] =
    isBySize && limit !== null
      ? [
          { ...fit, isInHold: true, sort: 'size', enough: limit },
          // Last, because a table may leave HOLD meanwhile.
          { ...fit, isInHold: false, enough: TABLES_MAX },
        ]
      : [{ ...fit, enough: limit ?? TABLES_MAX }];
  const found = new Map<string, Dropped>();
  let note: string | null = null;
  for (const { enough, ...part } of parts) {
    const some = await findSeen(part, { facts, server, enough }, options);
    for (const table of some.seen) found.set(table.id, table);
    const which = part.sort === 'size' ? 'largest' : 'newest';
    if (some.isCut) note = `Only the ${which} ${TABLES_MAX} dropped tables were read.`;
  }
  const tables = [...found.values()];
  if (isBySize) tables.sort((one, other) => (other.byteEstimate ?? -1) - (one.byteEstimate ?? -1));
  const wanted = tables.slice(0, limit ?? tables.length);
  const set =
    show.what === 'tables'
      ? printResultSet(SHORT_COLUMNS, withShortIds(wanted))
      : printResultSet(TABLE_COLUMNS, wanted);
  return answerRows(set, { ...format, note }, options);
}

function fitOf({ schema, like, user, since }: Show): SeenFit {
  const time = since === null ? null : parseSince(since, new Date());
  return {
    ...(schema !== null && { schema }),
    // The id of a table or a drop in place of a name, as UNDROP TABLE takes it.
    ...(like !== null && (isHoldId(like) ? { id: like } : { like })),
    ...(user !== null && { user }),
    ...(time !== null && { since: time }),
  };
}

function withShortIds(tables: readonly Dropped[]): readonly Dropped[] {
  const digits = uniqueDigits(tables.map(({ id }) => id));
  return tables.map((table) => ({ ...table, id: table.id.slice(-digits) }));
}

/** Its columns, without a row. */
export function emptySet({ what }: Show): ResultSet {
  if (what === 'databases') return printResultSet(SCHEMA_COLUMNS, []);
  return printResultSet(what === 'tables' ? SHORT_COLUMNS : TABLE_COLUMNS, []);
}

async function showSchemas(
  { like }: Show,
  format: AnswerFormat,
  options: InterceptOptions,
): Promise<Interception> {
  const { facts } = format;
  const { pool } = options.service;
  const all = await inQueue(pool, `read ${facts.account}`, () =>
    unlessRefused(
      findDroppedSchemas(pool, like === null ? 'all' : { like }),
      [],
      ...ER.ABSENT_TABLE,
    ),
  );
  const isLeft = ({ held, tables, restoredAs }: DroppedSchema) =>
    held > 0 || (tables === 0 && restoredAs === null);
  const held = all.filter((drop) => isLeft(drop) && !drop.isOpen);
  const asked = { session: options.userSession, facts, groupId: newId() };
  const table = noneOf(asked);
  const names = held.map(({ schema }) => ({ schema, table }));
  const granted = await askWhichMayBeSeen(names, asked);
  const seen = held.filter(({ schema }) => granted.has(keyOf({ schema, table })));
  return answerRows(printResultSet(SCHEMA_COLUMNS, seen), { ...format, note: null }, options);
}
