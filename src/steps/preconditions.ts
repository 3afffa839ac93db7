/**
 * What speaks against taking a table away, whatever it is: a text that nobody understands, undrop's
 * own schemas, a service that isn't on the session's server, a rule. Pure.
 */

import { UndropError } from '../errors.js';
import type { IntentFacts, IntentTable } from '../ledger/write.js';
import { parseHoldName } from '../names/hold-name.js';
import { RECYCLE_SCHEMA } from '../names/recycle-schema.js';
import type { Ruling } from '../policy/decide.js';
import { isRecycleName } from '../sql/recycle-name.js';
import type { ErrPacket } from '../wire/response.js';
import type { Result } from '../wire/result-reader.js';
import { sentenceStart } from './refuse.js';
import type { DropRequest, UserFacts } from './request.js';
import type { NameKind } from './session/facts.js';
import type { QualifiedName } from './session/user-session-sql.js';

const LEDGER = ['ledger', 'ledger_version'];

/** What was seen of the names of a statement, in order. */
interface Looked {
  /** The answer to preparing the client's text; null: it was judged before. */
  readonly judge: Result | null;
  readonly kinds: readonly (NameKind | ErrPacket)[];
  readonly names: readonly QualifiedName[];
  /** What rules and hints make of each name; default: nothing. */
  readonly rulings?: readonly Ruling[];
}

/** What speaks against a drop, whatever its tables are; null: nothing does. */
export function refusalBeforeLooking(
  request: DropRequest,
  inspection: Looked,
  intent: IntentFacts,
  facts: UserFacts,
): UndropError | null {
  const tables = sentenceStart(request);
  if (inspection.judge?.kind === 'err' && request.statement.isDoubtful) {
    const why = 'only the server can say whether it takes the names, and it did not';
    return new UndropError('UNDROP_NOT_UNDERSTOOD', { why });
  }
  if (inspection.judge?.kind === 'err' && isNamedTwice(inspection.names, intent)) {
    const why = 'it names a table twice';
    return new UndropError('UNDROP_NOT_UNDERSTOOD', { why });
  }
  const recycled = intent.tables.find(({ schema }) => isRecycleName(schema));
  if (recycled !== undefined) {
    const params = {
      table: `${recycled.schema}.${recycled.table}`,
      what: whatIsRecycled(recycled),
    };
    return new UndropError('UNDROP_RECYCLE_SCHEMA', params);
  }
  if (!isSameServer(request, intent, facts)) {
    return new UndropError('UNDROP_SESSION_NOT_FOUND', {
      tables,
      threadId: request.session.threadId,
    });
  }
  return refusalByRule(request, inspection, intent);
}

/** A rule says nothing about what isn't there, or is no base table. */
function refusalByRule(
  request: DropRequest,
  { kinds, rulings = [] }: Pick<Looked, 'kinds' | 'rulings'>,
  intent: IntentFacts,
): UndropError | null {
  for (const [index, seen] of intent.tables.entries()) {
    const rule = rulings[index]?.refusedBy ?? null;
    const kind = kinds[index];
    if (rule === null || typeof kind !== 'string' || knownKind(kind, seen) !== 'base') continue;
    const tables = sentenceStart(request);
    return new UndropError('UNDROP_RULE', { tables, table: `${seen.schema}.${seen.table}`, rule });
  }
  return null;
}

/** The server says so itself (1066) where it can be asked for its verdict. */
function isNamedTwice(names: readonly QualifiedName[], intent: IntentFacts): boolean {
  const keys = names.map(({ schema, table }) => {
    const key = [schema ?? [], table].map((part) => Buffer.from(part).toString('latin1')).join('`');
    return intent.lowerCaseTableNames === 0 ? key : key.toLowerCase();
  });
  return new Set(keys).size < keys.length;
}

/**
 * The service is on the server of the user's session: it sees the session's thread id come from the
 * port that we dialled from; or, where something between us and the server changes ports, a session
 * of that id on a server that calls itself the same.
 */
export function isSameServer(
  request: Pick<DropRequest, 'session'>,
  intent: Pick<IntentFacts, 'sessionHost' | 'serverIdentity'>,
  facts: Pick<UserFacts, 'serverIdentity'>,
): boolean {
  const { upstreamLocalPort } = request.session;
  if (intent.sessionHost === null) return false;
  if (intent.sessionHost.endsWith(`:${upstreamLocalPort}`)) return true;
  return intent.serverIdentity === facts.serverIdentity;
}

/**
 * What a name stands for. The session can't tell without any right on it, or a lock of it: then the
 * service has seen it, and the RENAME will say who may what.
 */
export function knownKind(
  kind: NameKind,
  { kind: seen }: Pick<IntentTable, 'kind'>,
): 'temporary' | 'view' | 'base' | 'missing' {
  if (kind !== 'denied' && kind !== 'unlocked') return kind;
  return seen === 'sequence' ? 'base' : seen;
}

/**
 * Goes on after "it is": a table in one of undrop's own schemas. That it is removed is said of held
 * ones only. `schema`: one of ours, in whatever case.
 */
export function whatIsRecycled(name: { readonly schema: string; readonly table: string }): string {
  const schema = name.schema.toLowerCase();
  if (schema === RECYCLE_SCHEMA && LEDGER.includes(name.table.toLowerCase())) {
    return 'the ledger of undrop, which stays';
  }
  const where = 'in the recycle schema of undrop';
  if (parseHoldName(name.table) === null) return `${where}, where no client drops anything`;
  return `${where}, which removes it in its time`;
}
