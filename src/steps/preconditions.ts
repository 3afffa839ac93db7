/**
 * What speaks against taking a table away, whatever it is: undrop's own schemas, a service that
 * isn't on the session's server, a rule. Pure.
 */

import { UndropError } from '../errors.js';
import type { IntentFacts, IntentTable } from '../ledger/write.js';
import { parseHoldName } from '../names/hold-name.js';
import { RECYCLE_SCHEMA } from '../names/recycle-schema.js';
import type { Ruling } from '../policy/decide.js';
import { isRecycleName } from '../sql/trigger-scan.js';
import type { ServerVersion } from '../wire/connection/handshake-v10.js';
import { sentenceStart } from './refuse.js';
import type { DropRequest, UserFacts } from './request.js';
import type { NameKind } from './session/facts.js';

const LEDGER = ['ledger', 'ledger_version'];

/** A statement, what the session sees under each of its names, and what rules make of each. */
interface Drop {
  readonly request: DropRequest;
  readonly facts: UserFacts;
  readonly kinds: readonly NameKind[];
  readonly rulings: readonly Ruling[];
}

/** What speaks against a drop, whatever its tables are; null: nothing does. */
export function refusalBeforeInspection(
  { request, facts, kinds, rulings }: Drop,
  intent: IntentFacts,
): UndropError | null {
  const tables = sentenceStart(request);
  const recycled = refusalOfRecycled(intent.tables);
  if (recycled !== null) return recycled;
  if (!isSameServer(request, intent, facts)) {
    const { threadId } = request.session;
    return new UndropError('UNDROP_SESSION_NOT_FOUND', { tables, threadId });
  }
  for (const [index, seen] of intent.tables.entries()) {
    const rule = rulings[index]?.refusedBy ?? null;
    const kind = kinds[index];
    // A rule says nothing about what isn't there, or is no base table.
    if (rule === null || kind === undefined || knownKind(kind, seen) !== 'base') continue;
    return new UndropError('UNDROP_RULE', { tables, table: `${seen.schema}.${seen.table}`, rule });
  }
  return null;
}

/**
 * The service is on the server of the user's session: it sees the session's thread id come from the
 * port that we dialled from; or, if something between us and the server changes ports, a session
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
 * A RENAME of a table of MariaDB's whose tablespace is discarded (ALTER TABLE … DISCARD TABLESPACE)
 * leaves the .ibd file where it is that somebody has put beside the table for an IMPORT, and then
 * neither CREATE TABLE of that name (1005) nor DROP DATABASE (1010) works. No statement tells
 * whether there is such a file. `subject`: the beginning of the refusal's sentence.
 */
export function refusalOfDiscarded(
  { flavour }: ServerVersion,
  { tables }: IntentFacts,
  subject: string,
): UndropError | null {
  // The server counts at least one page for every other table of InnoDB.
  const found = tables.find(
    ({ engine, byteEstimate }) => engine === 'InnoDB' && byteEstimate === 0,
  );
  if (flavour !== 'mariadb' || found === undefined) return null;
  const cause = `the tablespace of ${found.schema}.${found.table} is discarded, and a RENAME on this server leaves a file behind that is there for its IMPORT`;
  return new UndropError('UNDROP_HOLD_FAILED', { tables: subject, cause });
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

/** A table in one of undrop's own schemas; null: there is none. */
export function refusalOfRecycled(tables: readonly RecycledName[]): UndropError | null {
  const recycled = tables.find(({ schema }) => isRecycleName(schema));
  if (recycled === undefined) return null;
  const table = `${recycled.schema}.${recycled.table}`;
  return new UndropError('UNDROP_RECYCLE_SCHEMA', { table, what: whatIsRecycled(recycled) });
}

interface RecycledName {
  readonly schema: string;
  readonly table: string;
}

/**
 * Goes on after "it is": a table in one of undrop's own schemas. That it is removed is said of held
 * ones only. `schema`: one of ours, in whatever case.
 */
export function whatIsRecycled(name: RecycledName): string {
  const schema = name.schema.toLowerCase();
  if (schema === RECYCLE_SCHEMA && LEDGER.includes(name.table.toLowerCase())) {
    return 'the ledger of undrop, which stays';
  }
  const where = 'in the recycle schema of undrop';
  if (parseHoldName(name.table) === null) return `${where}, where no client drops anything`;
  return `${where}, which removes it in its time`;
}
