/**
 * A CREATE OR REPLACE as a text (MariaDB): it is parsed again with the session's own settings, and
 * its words OR REPLACE become blanks.
 *
 * Invariant: without these words CREATE fails if the name is taken.
 */
import { classifying } from '../../sql/classify.js';
import { clientCharsetOf } from '../../sql/lex/client-charset.js';
import { modeFromSqlMode } from '../../sql/lex/lex-mode.js';
import type { DropTableStatement, Replacement } from '../../sql/verdict.js';
import { whyUnsupported } from '../../steps/inspect-names.js';
import { notDone, notUnderstood, SET_IF_EXISTS } from '../../steps/refusals/refusals.js';
import { hintsIn } from '../../steps/rules/hints.js';
import type { HoldingStatement } from '../../steps/run.js';
import { inSlices } from '../../steps/session/in-slices.js';
import { listTables } from '../../steps/world.js';
import {
  answeredWith,
  dropAndHold,
  type Intercepted,
  type Interception,
  type InterceptOptions,
  type Replacing,
  readUserFacts,
  refused,
  refuseUnclear,
} from '../intercepted.js';
import { createOrReplace } from './create-or-replace.js';
import { putBackPort } from './put-back-port.js';

/** Statements of undrop come in between. */
const ASKS_FOR_COUNTS = /row_count|found_rows|warning_count|error_count/i;

export async function replaceTable(
  { text, ...taken }: Intercepted,
  { replacement, facts: known }: Replacing,
  options: InterceptOptions,
): Promise<Interception> {
  const { server, service } = options;
  const statement = dropOf(replacement);
  const unsupported = whyUnsupported(statement, server);
  if (unsupported !== null) return refuseUnclear({ text, ...taken }, unsupported, options);
  const tables = listTables(statement.names);
  if (ASKS_FOR_COUNTS.test(text.toString('latin1'))) {
    const how = 'by CREATE OR REPLACE that asks for counts of the statement before';
    return refused(notDone(how, tables), options);
  }
  const facts = known ?? (await readUserFacts(options));
  if ('errno' in facts) return answeredWith(facts);
  if (facts.addsIfExists) {
    const how = 'by CREATE OR REPLACE under sql_if_exists';
    return refused(notDone(how, tables, SET_IF_EXISTS), options);
  }
  const create = blankOrReplace(text, replacement.words);
  const mode = modeFromSqlMode(server, facts.sqlMode, facts.charset);
  const charset = clientCharsetOf(facts.charset);
  const created = await inSlices(classifying(create, mode, { multiStatements: false }));
  if (created.kind !== 'not-ours' || charset === null) {
    return refused(notUnderstood('CREATE OR REPLACE in a form that is not known'), options);
  }
  const hints = hintsIn(text, facts, server);
  if (hints === null) return refused(notUnderstood('its hints'), options);
  const drop = { text, statement, charset, how: 'REPLACE' };
  const replacing = { create, facts, port: putBackPort(service.pool, service.log) };
  const run: HoldingStatement = (world, request) => createOrReplace(world, replacing, request);
  return dropAndHold(drop, options, { hints, run });
}

/** The drop; the server checks the name with the rest of the text. */
function dropOf({ table }: Replacement): DropTableStatement {
  return {
    object: 'table',
    ifExists: false,
    names: [{ ...table, isDoubtful: false }],
    wait: null,
    isDoubtful: false,
  };
}

const BLANK = 0x20;

/** A copy of `text` with blanks at `words`. */
export function blankOrReplace(text: Uint8Array, words: Replacement['words']): Buffer {
  const changed = Buffer.from(text);
  for (const { start, end } of words) changed.fill(BLANK, start, end);
  return changed;
}
