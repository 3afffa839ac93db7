/**
 * Writes the way back of a drop into the ledger, before anything is renamed, and hands back what
 * the service sees of its tables.
 */
import { UndropError } from '../errors.js';
import { statementTextOf } from '../ledger/statement-text.js';
import { type IntentFacts, recordIntent } from '../ledger/write.js';
import type { ServicePool } from '../service/pools.js';
import { innermost } from './innermost.js';
import { sentenceStart } from './next-step.js';
import type { DropRequest, UserFacts } from './request.js';
import type { ServiceNames } from './service-names.js';

export interface RecordOptions {
  readonly pool: ServicePool;
  readonly proxyId: string;
  /** How long the tables can be brought back, in milliseconds. */
  readonly holdMs: number;
}

export type RecordedIntent =
  | { readonly intent: IntentFacts; readonly intentError: null }
  | { readonly intent: null; readonly intentError: UndropError };

/** Does not reject with what the ledger says: then there is no intent. */
export async function recordDrop(
  request: Pick<DropRequest, 'text' | 'statement' | 'session' | 'groupId' | 'ids'>,
  names: ServiceNames,
  { logged, user }: Pick<UserFacts, 'logged' | 'user'>,
  { pool, proxyId, holdMs }: RecordOptions,
): Promise<RecordedIntent> {
  if ('error' in names) return { intent: null, intentError: names.error };
  const { text, session, groupId, ids } = request;
  const tables = names.tables.map((name, index) => ({ id: ids[index] ?? '', ...name }));
  try {
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
    return { intent, intentError: null };
  } catch (error) {
    const details = { tables: sentenceStart(request), cause: innermost(error) };
    return { intent: null, intentError: new UndropError('UNDROP_NOT_RECORDED', details, error) };
  }
}
