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
import type { SchemaPart } from '../../ledger/schema-details.js';
import { writtenName } from '../../names/names.js';
import { printResultSet } from '../../printer.js';
import { OBJECT_COLUMNS } from '../../recycle/print/print-list.js';
import { type LivePart, restoreParts, showPart } from '../../recycle/schema/schema-parts.js';
import { makeRoom } from '../../recycle/undo/undo-many.js';
import type { ShowDropped } from '../../sql/verdict.js';
import { answerOk, answerRows, type UndoRun } from './answer.js';
import { type Bound, SaidByServer } from './bind.js';
import { findServer, inQueue } from './find-dropped.js';
import { seenOf } from './rights.js';
import { swapActor } from './undrop-table.js';

export async function undropDefinition(
  { object, name, swap }: Bound<'undrop-definition'>,
  run: UndoRun,
): Promise<Interception> {
  const { lowerCaseTableNames } = await findServer(run);
  const { pool } = run.service;
  const { schema, table } = name;
  const recorded = await findDefinitions(pool, { object, schema, name: table });
  const found = await seenOf(recorded, run.asked);
  const isExact = lowerCaseTableNames === 0 && ['VIEW', 'TRIGGER'].includes(object);
  const all = isExact ? found.filter(({ part }) => part.name === table) : found;
  const [newest] = all;
  const what = `${object} ${writtenName(name)}`;
  if (newest === undefined) {
    const why = `no dropped ${what} is recorded`;
    const instead = 'SHOW DROPPED OBJECTS lists them; those of a schema return with it.';
    throw new UndropError('UNDROP_NOT_UNDONE', { why, instead });
  }
  const live = await showPart(pool, schema, newest.part);
  if (live !== null && !swap) {
    const instead = 'SWAP records the one that exists, and replaces it.';
    throw new UndropError('UNDROP_NOT_UNDONE', { why: `${what} exists`, instead });
  }
  const dropped = all.find(({ part }) => part.statement !== live?.statement);
  if (dropped === undefined)
    return answerOk({ text: `${what} is the same already: nothing to do.`, note: null }, run);
  const { id, droppedAt, user } = dropped;
  const problem = await bringBack(dropped, live, run);
  if (problem !== null) {
    const instead = `Operators have its statement: definition in _undrop.ledger, row ${id}.`;
    throw new UndropError('UNDROP_NOT_UNDONE', { why: `${what}: ${problem}`, instead });
  }
  const text = `Restored ${what} (dropped ${timeText(droppedAt)} by ${user}).`;
  return { ...(await answerOk({ text, note: null }, run)), changes: [] };
}

/**
 * Creates it in the user's own session; a live one is recorded and dropped there before, and comes
 * back if the other can't be created. Null, or why not. Throws `SaidByServer` if the user may not
 * drop that.
 */
export async function bringBack(
  { id, schema, part }: DroppedDefinition,
  live: LivePart | null,
  run: UndoRun,
): Promise<string | null> {
  const { service, session, facts, userSession } = run;
  const { pool } = service;
  const { kind, name } = part;
  const create = async (one: SchemaPart) => {
    const made = await definitionOf(pool, one, { id, schema, facts });
    await makeDefinitions(userSession, made, facts, schema);
    return (await showPart(pool, schema, one)) !== null;
  };
  const before = live && { kind, name, ...live };
  await makeRoom(pool, before === null ? [] : [{ schema, part: before }], {
    by: (one) => ({ ...swapActor(one, run), threadId: session.threadId }),
    async drop() {
      const drop = `DROP ${kind} ${quoteIdentifier(schema)}.${quoteIdentifier(name)}`;
      const said = await askText(userSession, Buffer.from(drop));
      if (said.kind === 'err') throw new SaidByServer(said);
    },
  });
  if (await create(part)) return null;
  if (before !== null && !(await create(before)))
    await restoreParts(pool, schema, { id, parts: [before] });
  return 'the server did not create it in this session (a privilege, its definer, its table, its time)';
}

export async function showObjects(
  { schema, like }: ShowDropped<string>,
  run: UndoRun,
): Promise<Interception> {
  await findServer(run);
  const { pool } = run.service;
  const filter = { ...(schema !== null && { schema }), ...(like !== null && { like }) };
  const all = await inQueue(pool, `read ${run.facts.account}`, () => findDefinitions(pool, filter));
  return answerRows(printResultSet(OBJECT_COLUMNS, await seenOf(all, run.asked)), run);
}
