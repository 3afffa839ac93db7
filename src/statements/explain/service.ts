/**
 * What the service is asked for EXPLAIN of a drop: the facts that a drop of now would be decided
 * by, without its intents, and when the tables were last used.
 */
import { UndropError } from '../../errors.js';
import { type IntentFacts, recordIntent, shapeOf } from '../../ledger/write.js';
import type { Ruling } from '../../policy/decide.js';
import { type Hint, isInsistence } from '../../policy/rules.js';
import { sentenceStart } from '../../steps/procedure.js';
import { rootCause } from '../../steps/refusals/refusals.js';
import type { DropRequest, UserFacts } from '../../steps/request.js';
import { allHints } from '../../steps/rules/hints.js';
import { readUse, type Use } from '../../steps/rules/idle.js';
import { type RuledName, ruleTables } from '../../steps/rules/rules.js';
import type { DropService } from '../intercepted.js';

export interface Known {
  readonly intent: IntentFacts;
  readonly rulings: readonly Ruling[];
}

interface Question {
  readonly request: DropRequest;
  readonly names: readonly RuledName[];
  readonly facts: UserFacts;
  /** What all hints say of the hold, and the hints of the statement. */
  readonly hint: Hint | null;
  readonly hints: readonly string[] | null;
}

/** An error where a drop could not be recorded. */
export async function readKnown(
  { request, names, facts, hint, hints }: Question,
  { service }: { readonly service: DropService },
): Promise<Known | UndropError> {
  const { pool, proxyId, holdMs, rules = [] } = service;
  const isInsisted = allHints(hints ?? [], facts).some(isInsistence);
  const requireIdleMs = isInsisted ? null : (service.requireIdleMs ?? null);
  const { account, user, logged: sqlLogBin } = facts;
  const { threadId, clientAddress } = request.session;
  try {
    const ruledBy = hint?.destroys === true ? null : hint;
    const ruled = { rules, hint: ruledBy, holdMs, account, requireIdleMs };
    const rulings = await ruleTables(pool, names, ruled);
    const tables = names.map((name, index) => {
      return { id: request.ids[index] ?? '', ...name, hold: rulings[index]?.hold ?? holdMs };
    });
    const who = { groupId: request.groupId, proxyId, threadId, user, clientAddress };
    const what = { statementText: '', holdMs, sqlLogBin, isDryRun: true, tables };
    return { intent: await recordIntent(pool, { ...who, ...what }), rulings };
  } catch (error) {
    const params = { tables: sentenceStart(request), cause: rootCause(error) };
    return new UndropError('UNDROP_NOT_RECORDED', params, error);
  }
}

export async function readUses(
  tables: readonly RuledName[],
  { service: { pool, rules = [] } }: { readonly service: DropService },
): Promise<readonly Use[]> {
  if (tables.length === 0) return [];
  const { lowerCaseTableNames } = await shapeOf(pool);
  const ignoresReads = rules.some(({ conditions }) =>
    conditions.some(({ kind }) => kind === 'empty'),
  );
  const uses: Use[] = [];
  for (const table of tables) {
    uses.push(await readUse(pool, table, { foldsCase: lowerCaseTableNames !== 0, ignoresReads }));
  }
  return uses;
}
