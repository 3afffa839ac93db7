/**
 * A CREATE OR REPLACE as a text (MariaDB): it is parsed again with the session's own settings, and
 * its words OR REPLACE become blanks.
 *
 * Invariant: without these words CREATE fails if the name is taken.
 */
import { classifying } from '../../sql/classify.js';
import { clientCharsetOf } from '../../sql/lex/client-charset.js';
import { modeFromSqlMode } from '../../sql/lex/lex-mode.js';
import type { Replacement } from '../../sql/verdict.js';
import * as drops from '../intercepted.js';
import { whyUnsupported } from '../steps/inspect-names.js';
import { notDone, notUnderstood, SET_IF_EXISTS } from '../steps/refusals/refusals.js';
import { hintsIn } from '../steps/rules/hints.js';
import type { HoldingStatement } from '../steps/run.js';
import { inSlices } from '../steps/session/in-slices.js';
import { listTables, NO_NAMES } from '../steps/world.js';
import { createOrReplace } from './create-or-replace.js';
import { putBackPort } from './put-back-port.js';

/** Statements of undrop come in between. */
const ASKS_FOR_COUNTS = /row_count|found_rows|warning_count|error_count/i;

export async function replaceTable(
  { text, ...taken }: drops.Intercepted,
  { replacement, facts: known }: drops.Replacing,
  options: drops.InterceptOptions,
): Promise<drops.Interception> {
  const { server, service } = options;
  // The server checks the name with the rest of the text.
  const statement = { ...NO_NAMES, names: [{ ...replacement.table, isDoubtful: false }] };
  const unsupported = whyUnsupported(statement, server);
  if (unsupported !== null) return drops.refuseUnclear({ text, ...taken }, unsupported, options);
  const tables = listTables(statement.names);
  if (ASKS_FOR_COUNTS.test(text.toString('latin1'))) {
    const how = 'by CREATE OR REPLACE that asks for counts of the statement before';
    return drops.refused(notDone(how, tables), options);
  }
  const facts = known ?? (await drops.readUserFacts(options));
  if ('errno' in facts) return drops.answeredWith(facts);
  if (facts.addsIfExists) {
    const how = 'by CREATE OR REPLACE under sql_if_exists';
    return drops.refused(notDone(how, tables, SET_IF_EXISTS), options);
  }
  const create = blankOrReplace(text, replacement.words);
  const mode = modeFromSqlMode(server, facts.sqlMode, facts.charset);
  const charset = clientCharsetOf(facts.charset);
  const created = await inSlices(classifying(create, mode, { multiStatements: false }));
  if (created.kind !== 'not-ours' || charset === null) {
    return drops.refused(notUnderstood('CREATE OR REPLACE in a form that is not known'), options);
  }
  const hints = hintsIn(text, facts, server);
  if (hints === null) return drops.refused(notUnderstood('its hints'), options);
  const drop = { text, statement, charset, how: 'REPLACE' };
  const replacing = { create, facts, port: putBackPort(service.pool, service.log) };
  const run: HoldingStatement = (world, request) => createOrReplace(world, replacing, request);
  return drops.dropAndHold(drop, options, { hints, run });
}

const BLANK = 0x20;

/** A copy of `text` with blanks at `words`. */
export function blankOrReplace(text: Uint8Array, words: Replacement['words']): Buffer {
  const changed = Buffer.from(text);
  for (const { start, end } of words) changed.fill(BLANK, start, end);
  return changed;
}
