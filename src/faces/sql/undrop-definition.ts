/**
 * UNDROP VIEW, PROCEDURE, FUNCTION, TRIGGER and EVENT: creates the last recorded one of that name
 * in the user's own session, so that the server decides whether this user may; and the list of
 * them.
 */

import { quoteIdentifier } from '../../connections/sql.js';
import type { Interception } from '../../drop/intercepted.js';
import { definitionOf } from '../../drop/steps/definitions-to-make.js';
import { makeDefinitions } from '../../drop/steps/make-definitions.js';
import { askText } from '../../drop/steps/world.js';
import { timeText } from '../../duration.js';
import { UndropError } from '../../errors.js';
import { type DroppedDefinition, findDefinitions } from '../../ledger/definitions.js';
import { keyOf, writtenName } from '../../names/names.js';
import { printResultSet } from '../../printer.js';
import { noSuchHeld } from '../../recycle/find-dropped.js';
import { OBJECT_COLUMNS } from '../../recycle/print/print-list.js';
import { showPart } from '../../recycle/schema/schema-parts.js';
import { findOthers, makeRoom } from '../../recycle/undo/undo-many.js';
import type { ShowDropped } from '../../sql/verdict.js';
import { answerOk, answerRows, type UndoRun } from './answer.js';
import { type Bound, SaidByServer } from './bind.js';
import { findServer, inQueue } from './find-dropped.js';
import { askWhichMayBeSeen, noneOf } from './rights.js';
import { swapActor } from './undrop-table.js';

export async function undropDefinition(
  { object, name, swap }: Bound<'undrop-definition'>,
  run: UndoRun,
): Promise<Interception> {
  await findServer(run);
  const { service, session, facts, userSession } = run;
  const { pool } = service;
  const { schema, table } = name;
  const all = await findDefinitions(pool, { object, schema, name: table });
  const [dropped] = await seenOf(all, run);
  if (dropped === undefined) throw noSuchHeld(`${object} ${writtenName(name)}`);
  const { id, part, droppedAt, user } = dropped;
  const live = await showPart(pool, schema, part);
  if (live !== null && !swap) {
    throw new UndropError('UNDROP_NAME_TAKEN', { id, table: `${object} ${writtenName(name)}` });
  }
  await makeRoom(pool, await findOthers(pool, [dropped], {}), {
    by: (one) => ({ ...swapActor(one, run), threadId: session.threadId }),
    async drop() {
      const drop = `DROP ${object} ${quoteIdentifier(schema)}.${quoteIdentifier(part.name)}`;
      const said = await askText(userSession, Buffer.from(drop));
      if (said.kind === 'err') throw new SaidByServer(said);
    },
  });
  const made = await definitionOf(pool, part, { id, schema, facts });
  if (!(await makeDefinitions(userSession, made, facts, schema))) {
    const why = `the server did not create ${object} ${writtenName(name)} for this user`;
    const instead = `Its statement is in the column definition of _undrop.ledger, row ${id}.`;
    throw new UndropError('UNDROP_NOT_UNDONE', { why, instead });
  }
  const text = `Restored ${object} ${writtenName(name)} (dropped ${timeText(droppedAt)} by ${user}).`;
  return { ...(await answerOk({ text, note: null }, run)), changes: [] };
}

export async function showObjects(
  { schema, like }: ShowDropped<string>,
  run: UndoRun,
): Promise<Interception> {
  await findServer(run);
  const { pool } = run.service;
  const filter = { ...(schema !== null && { schema }), ...(like !== null && { like }) };
  const all = await inQueue(pool, `read ${run.facts.account}`, () => findDefinitions(pool, filter));
  return answerRows(printResultSet(OBJECT_COLUMNS, await seenOf(all, run)), run);
}

/** The ones of schemas in which this user may create and fill any table. */
async function seenOf(
  all: readonly DroppedDefinition[],
  { asked }: UndoRun,
): Promise<readonly DroppedDefinition[]> {
  const table = noneOf(asked);
  const names = all.map(({ schema }) => ({ schema, table }));
  const granted = await askWhichMayBeSeen(names, asked);
  return all.filter(({ schema }) => granted.has(keyOf({ schema, table })));
}
