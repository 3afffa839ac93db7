/**
 * Writes the way back of a drop into the ledger, before anything is renamed, and hands back what
 * the service sees of its tables, and what rules and hints make of each.
 */
import { UndropError } from '../errors.js';
import { STATEMENT_CHARACTERS_MAX } from '../ledger/entry.js';
import { type IntentFacts, recordIntent } from '../ledger/write.js';
import type { Ruling } from '../policy/decide.js';
import type { Rule } from '../policy/rules.js';
import type { ServicePool } from '../service/pool/pools.js';
import { refusalOfDiscarded } from './discarded-tablespace.js';
import type { ServiceNames } from './names/resolve.js';
import { rootCause } from './refusals/root-cause.js';
import { sentenceStart } from './refuse.js';
import type { DropRequest, UserFacts } from './request.js';
import { areForDestroying, notDestroyed, readHints } from './rules/hints.js';
import { ruleTables } from './rules/rules.js';

export interface RecordOptions {
  readonly pool: ServicePool;
  readonly proxyId: string;
  /** How long the tables can be brought back, in milliseconds. */
  readonly holdMs: number;
  /** The shortest hold that a hint may ask for; default: `holdMs`. */
  readonly hintMsMin?: number;
  /** UNDROP_RULES; default: none. */
  readonly rules?: readonly Rule[];
  /** As they were said for this drop; default: none. */
  readonly hints?: Iterable<string>;
}

export type RecordedIntent =
  | {
      readonly intent: IntentFacts;
      readonly intentError: null;
      /** One for each table; empty where there are neither rules nor hints. */
      readonly rulings: readonly Ruling[];
    }
  | { readonly intent: null; readonly intentError: UndropError; readonly rulings: readonly [] };

/** Who drops; `account` and `hint` where they are known already. */
export type Dropper = Pick<UserFacts, 'logged' | 'user'> &
  Partial<Pick<UserFacts, 'account' | 'hint'>>;

/** Does not reject with what the ledger says: then there is no intent. */
export async function recordDrop(
  request: Pick<DropRequest, 'text' | 'statement' | 'subject' | 'session' | 'groupId' | 'ids'>,
  names: ServiceNames,
  { logged, user, account = `${user}@`, hint: ofSession = null }: Dropper,
  options: RecordOptions,
): Promise<RecordedIntent> {
  const { pool, proxyId, holdMs, rules = [], hints = [] } = options;
  if ('error' in names) return notRecorded(names.error);
  const { text, session, groupId, ids } = request;
  const all = ofSession === null ? hints : [...hints, ofSession];
  if (areForDestroying(all)) return notRecorded(notDestroyed(request));
  const hint = readHints(all, sentenceStart(request), options);
  if (hint instanceof UndropError) return notRecorded(hint);
  try {
    const isRuled = rules.length > 0 || hint !== null;
    const ruled = { rules, hint, holdMs, account };
    const rulings = isRuled ? await ruleTables(pool, names.tables, ruled) : [];
    const tables = names.tables.map((name, index) => {
      return { id: ids[index] ?? '', ...name, hold: rulings[index]?.hold ?? holdMs };
    });
    const intent = await recordIntent(pool, {
      threadId: session.threadId,
      user,
      clientAddress: session.clientAddress,
      groupId,
      proxyId,
      statementText: statementTextOf(text),
      holdMs,
      sqlLogBin: logged,
      tables,
    });
    const discarded = await refusalOfDiscarded(pool, intent, sentenceStart(request));
    return discarded === null ? { intent, intentError: null, rulings } : notRecorded(discarded);
  } catch (error) {
    const details = { tables: sentenceStart(request), cause: rootCause(error) };
    return notRecorded(new UndropError('UNDROP_NOT_RECORDED', details, error));
  }
}

/** As much of a statement as an intent has of it; a character is four bytes at most. */
export function statementTextOf(text: Uint8Array): string {
  return Buffer.from(text.subarray(0, 4 * STATEMENT_CHARACTERS_MAX)).toString();
}

function notRecorded(intentError: UndropError): RecordedIntent {
  return { intent: null, intentError, rulings: [] };
}
