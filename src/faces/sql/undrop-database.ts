/**
 * UNDROP DATABASE: checks with the server whether this user may create and fill any table of the
 * schema, then makes the service restore all of it (recycle/schema/restore-schema.ts).
 *
 * Invariant: the restored schema is the one whose name was checked.
 */
import { systemClock } from '../../clock.js';
import type { Interception } from '../../drop/intercepted.js';
import { definitionsOfSchema } from '../../drop/steps/definitions-to-make.js';
import { makeDefinitions } from '../../drop/steps/make-definitions.js';
import { UndropError } from '../../errors.js';
import * as print from '../../recycle/print/print-report.js';
import {
  restoredEvents,
  restoreSchema,
  type SchemaReport,
} from '../../recycle/schema/restore-schema.js';
import { pauseBefore, SCHEMA_DROP_END } from '../../tries.js';
import { answerOk, answerRefused, type UndoRun, whoOf } from './answer.js';
import type { Bound } from './bind.js';
import { findServer, inRestoreQueue } from './find-dropped.js';
import { askForSchema, assertGranted } from './rights.js';

export async function undropDatabase(
  { schema, to }: Bound<'undrop-database'>,
  run: UndoRun,
): Promise<Interception> {
  await findServer(run);
  const as = to ?? schema;
  assertGranted(await askForSchema({ schema, to: as }, run.asked));
  const request = { schema, ...(to !== null && { to }) };
  const bringBack = () => inRestoreQueue(run, () => restoreSchema(run.service.pool, request));
  const report = await whenEnded(bringBack);
  const changes = restoredEvents(report).map((one) => ({ ...whoOf(run), ...one }));
  let end = report;
  // The same call continues with the parts that were left out, after this user has created some. A
  // CREATE that the server accepts may create nothing: an event whose time has passed.
  for (let before = Infinity; before > print.formatProblems(end).length; ) {
    before = print.formatProblems(end).length;
    if (await makeMissing(end, run)) end = await bringBack();
  }
  const left = end.tables.filter(({ outcome }) => outcome === 'left');
  if (left.length > 0) return { ...(await answerRefused(partly(end, left), run)), changes };
  const answer = { text: print.formatRestoredSchema(end), note: schemaNote(end) };
  return { ...(await answerOk(answer, run)), changes };
}

/** Creates what only this user may create. True: something was created. */
async function makeMissing(
  report: SchemaReport,
  { service, userSession, facts }: UndoRun,
): Promise<boolean> {
  if (report.isComplete) return false;
  const definitions = await definitionsOfSchema(service.pool, report, facts);
  return makeDefinitions(userSession, definitions, facts, report.schema);
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
  return print.formatProblems(report).map((problem) => problem.replace(/\.?$/, '.'));
}

/** The parts that are missing or differ; null: none. */
function schemaNote(report: SchemaReport): string | null {
  const { restoredAs, wasBack, others, singles } = report;
  const notes = print.present(
    ...problemSentences(report),
    print.isDenied(report) ? `${print.MAKES_PARTS}.` : null,
    wasBack && others.length + singles > 0 ? `${restoredAs} is restored already.` : null,
    ...print.formatOthers(report),
  );
  return notes.join(' ') || null;
}
