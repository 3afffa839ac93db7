/**
 * SHOW DROPPED TABLES and SHOW DROPPED DATABASES: what is held that the user may see. The user may
 * see a schema where the user may create and fill any table of it.
 */

import type { Interception } from '../../drop/intercepted.js';
import { parseSince } from '../../duration.js';
import { type DroppedSchema, findDroppedSchemas } from '../../ledger/schema-restores.js';
import type { Selection } from '../../ledger/selection.js';
import { isHoldId } from '../../names/names.js';
import { printResultSet } from '../../printer.js';
import { selectionBy, TABLES_MAX } from '../../recycle/list.js';
import * as print from '../../recycle/print/print-list.js';
import type { ShowDropped } from '../../sql/verdict.js';
import type { ResultSet } from '../../wire/result-set.js';
import { answerRows, type UndoRun } from './answer.js';
import { findSeen, findServer, inQueue } from './find-dropped.js';
import { seenOf } from './rights.js';

type Show = ShowDropped<string>;

export async function showDropped(show: Show, run: UndoRun): Promise<Interception> {
  const { lowerCaseTableNames } = await findServer(run);
  if (show.what === 'databases') return showSchemas(show, run);
  const { isBySize } = show;
  const limit = show.limit ?? TABLES_MAX;
  const wanted = { limit, sort: isBySize ? 'size' : 'dropped' } as const;
  const selection = { lowerCaseTableNames, ...selectionOf(show, run.facts.zone) };
  const found = await findSeen(selection, run, wanted);
  const tables = [...found.tables];
  if (isBySize) tables.sort((one, other) => (other.byteEstimate ?? -1) - (one.byteEstimate ?? -1));
  const shown = tables.slice(0, limit);
  const which = isBySize ? 'largest' : 'newest';
  const note = found.isCut ? `Only the ${which} ${TABLES_MAX} dropped tables were read.` : null;
  const set =
    show.what === 'tables'
      ? printResultSet(print.SHORT_COLUMNS, withShortIds(shown))
      : printResultSet(print.TABLE_COLUMNS, shown);
  return answerRows(set, run, note);
}

function selectionOf({ schema, like, user, program, since }: Show, zone: string): Selection {
  const time = since === null ? null : parseSince(since, new Date(), zone);
  // The id of a table or a drop in place of a name, as UNDROP TABLE takes it.
  const named = like !== null && isHoldId(like) ? { id: like } : { like };
  return selectionBy({ schema, ...named, user, program, since: time });
}

function withShortIds<T extends { readonly id: string }>(tables: readonly T[]): readonly T[] {
  const digits = print.uniqueDigits(tables.map(({ id }) => id));
  return tables.map((table) => ({ ...table, id: table.id.slice(-digits) }));
}

/** Its columns, without a row. */
export function emptySet({ what }: Show): ResultSet {
  if (what === 'databases') return printResultSet(print.SCHEMA_COLUMNS, []);
  if (what === 'objects') return printResultSet(print.OBJECT_COLUMNS, []);
  return printResultSet(what === 'tables' ? print.SHORT_COLUMNS : print.TABLE_COLUMNS, []);
}

async function showSchemas({ like }: Show, run: UndoRun): Promise<Interception> {
  const { facts, asked } = run;
  const { pool } = run.service;
  const all = await inQueue(pool, `read ${facts.account}`, () =>
    findDroppedSchemas(pool, like === null ? 'all' : { like }),
  );
  const isLeft = ({ held, tables, restoredAs }: DroppedSchema) =>
    held > 0 || (tables === 0 && restoredAs === null);
  const held = all.filter((drop) => isLeft(drop) && !drop.isOpen);
  return answerRows(printResultSet(print.SCHEMA_COLUMNS, await seenOf(held, asked)), run);
}
