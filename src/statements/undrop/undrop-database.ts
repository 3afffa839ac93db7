/**
 * UNDROP DATABASE: checks with the server whether this user may create and fill any table of the
 * schema, then makes the service restore all of it (recycle/schema/restore-schema.ts).
 *
 * Invariant: the restored schema is the one whose name was checked.
 */
import type { AuditEvent } from '../../audit.js';
import { systemClock } from '../../clock.js';
import { UndropError } from '../../errors.js';
import { writtenName } from '../../names/names.js';
import {
  formatOthers,
  formatProblems,
  formatRestoredSchema,
  isDenied,
  MAKES_PARTS,
} from '../../recycle/print/print-report.js';
import { restoreSchema, type SchemaReport } from '../../recycle/schema/restore-schema.js';
import { definitionsOfSchema } from '../../steps/definitions-to-make.js';
import { newId } from '../../steps/intents.js';
import { makeDefinitions } from '../../steps/make-definitions.js';
import { withRestoredInfo } from '../../steps/undo-note.js';
import type { UserFacts } from '../../steps/world.js';
import { pauseBefore, SCHEMA_DROP_END } from '../../tries.js';
import type { Interception, InterceptOptions } from '../intercepted.js';
import { answerOk, answerRefused, type UndoRun } from './answer.js';
import type { BoundUndo } from './bind.js';
import { findServer, inRestoreQueue, refuseUnder } from './find-dropped.js';
import { askForSchema, assertGranted } from './rights.js';

export async function undropDatabase(
  { schema, to }: Extract<BoundUndo, { kind: 'undrop-database' }>,
  { facts }: UndoRun,
  options: InterceptOptions,
): Promise<Interception> {
  refuseUnder(facts);
  await findServer(facts, options);
  const as = to ?? schema;
  const asked = { session: options.userSession, facts, groupId: newId() };
  assertGranted(await askForSchema({ schema, to: as }, asked));
  const { pool } = options.service;
  const request = { schema, ...(to !== null && { to }) };
  const bringBack = () => inRestoreQueue(pool, facts.account, () => restoreSchema(pool, request));
  const report = await whenEnded(bringBack);
  const { clientAddress: client, threadId } = options.session;
  const restored = report.tables
    .filter(({ outcome }) => outcome === 'restored')
    .map(({ id, table }): AuditEvent<'restored'> => {
      const who = { user: facts.user, client, threadId };
      const what = { id, dropId: report.groupId, schema: report.schema, table };
      return { event: 'restored', ...who, ...what, restoredAs: writtenName({ schema: as, table }) };
    });
  let end = report;
  // The same call continues with the parts that were left out, after this user has created some. A
  // CREATE that the server accepts may create nothing: an event whose time has passed.
  for (let before = Infinity; before > formatProblems(end).length; ) {
    before = formatProblems(end).length;
    if (await makeMissing(end, facts, options)) end = await bringBack();
  }
  const left = end.tables.filter(({ outcome }) => outcome === 'left');
  if (left.length > 0)
    return { ...(await answerRefused(partly(end, left), options)), changes: restored };
  const { payload, ...ok } = await answerOk(schemaNote(end), options);
  const { note } = options.service;
  const told = withRestoredInfo(payload, formatRestoredSchema(end), { note, facts });
  return { ...ok, payload: told, changes: restored };
}

/** Creates what only this user may create. True: something was created. */
async function makeMissing(
  report: SchemaReport,
  facts: UserFacts,
  options: InterceptOptions,
): Promise<boolean> {
  if (report.isComplete) return false;
  const definitions = await definitionsOfSchema(options.service.pool, report, facts);
  return makeDefinitions(options.userSession, definitions, facts, report.schema);
}

/**
 * The end of a DROP DATABASE is written after its response, so an UNDROP that follows at once waits
 * for that.
 */
async function whenEnded<T>(work: () => Promise<T>): Promise<T> {
  for (const endMs = performance.now() + SCHEMA_DROP_END.givenUpMs; ; ) {
    try {
      return await work();
    } catch (error) {
      const isBusy = error instanceof UndropError && error.code === 'UNDROP_SCHEMA_BUSY';
      if (!isBusy || performance.now() > endMs) throw error;
      await systemClock.sleep(pauseBefore(SCHEMA_DROP_END, 0));
    }
  }
}

/**
 * Some tables are still held, because their names are taken, or their rows are being deleted; what
 * else is missing follows.
 */
function partly(report: SchemaReport, left: SchemaReport['tables']): UndropError {
  const { tables } = report;
  const others = tables.filter((table) => !left.includes(table));
  const why = [
    ...left.map(({ table, problems }) => `${table}: ${problems.join('; ')}.`),
    ...problemSentences({ ...report, tables: others }),
  ].join(' ');
  return new UndropError('UNDROP_PARTLY', { failed: left.length, count: tables.length, why });
}

function problemSentences(report: SchemaReport): readonly string[] {
  return formatProblems(report).map((problem) => problem.replace(/\.?$/, '.'));
}

/** The parts that are missing or differ; null: none. */
function schemaNote(report: SchemaReport): string | null {
  const { restoredAs, wasBack, others, singles } = report;
  const notes = [
    ...problemSentences(report),
    ...(isDenied(report) ? [`${MAKES_PARTS}.`] : []),
    ...(wasBack && others.length + singles > 0 ? [`${restoredAs} is restored already.`] : []),
    ...formatOthers(report),
  ];
  return notes.length === 0 ? null : notes.join(' ');
}
