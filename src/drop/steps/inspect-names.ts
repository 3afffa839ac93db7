/**
 * Begins a statement in the user session: the server checks its syntax, and the session shows what
 * its names are and how it is set.
 */
import { assert, UndropError } from '../../errors.js';
import { type LastingBlocker, lastingBlocker } from '../../held/relocate/blockers.js';
import { hasForeignKeys, type IntentFacts, type IntentTable } from '../../ledger/write.js';
import { parseHoldName, type QualifiedTable, RECYCLE_SCHEMA } from '../../names/names.js';
import type { Ruling } from '../../policy/decide.js';
import { crossCheck } from '../../sql/cross-check.js';
import { isRecycleName } from '../../sql/trigger-scan.js';
import type { DropTableStatement } from '../../sql/verdict.js';
import { isMysql8, type ServerVersion } from '../../wire/connection/handshake-v10.js';
import type { ErrPacket, Result } from '../../wire/response.js';
import * as ER from '../../wire/server-errors.js';
import { qualify, serviceNames } from './names/client-names.js';
import { notDone, notUnderstood, SET_IF_EXISTS, untilAllowed } from './refusals/refusals.js';
import { definitionIn, factsSql, type NameKind, readFacts, readKinds } from './session/facts.js';
import { probeSql, type QualifiedName, showCreateSql } from './session/user-session.js';
import type * as steps from './world.js';
import { again, answerWith, ask, holdFailed, query, refuse, sentenceStart } from './world.js';

/** The facts once the session was queried. */
export interface Seen {
  readonly request: steps.DropRequest;
  readonly facts: steps.UserFacts;
  /** The names for statements of undrop, in order. */
  readonly names: readonly QualifiedName[];
  /** The kind of each name in the session. */
  readonly kinds: readonly NameKind[];
  /** For each name: why it must be held in its own schema, or null. */
  readonly blockers: readonly (LastingBlocker | null)[];
}

/** The table of a statement that names one and keeps it; `schema` and `table` are in UTF-8. */
export interface OneTable extends Pick<Seen, 'request' | 'facts'>, QualifiedTable {
  readonly name: QualifiedName;
  /** The kind of the name in the session. */
  readonly seenAs: NameKind;
}

/** errno of the operating system, which MariaDB returns if a table's file is missing. */
const EE_FILENOTFOUND = 29;

/** A reply: the statement ends with it. */
export async function inspectNames(
  world: steps.World,
  request: steps.DropRequest,
): Promise<Seen | steps.Reply> {
  const { statement, server, text, isSyntaxChecked = false } = request;
  const syntaxCheck: steps.UserCommand[] = isSyntaxChecked ? [] : [{ kind: 'prepare', text }];
  const shows = statement.names.map((name) => query(showCreateSql(name, request.charset)));
  const results = await world.run([...syntaxCheck, ...shows, query(factsSql(server))]);
  const [prepared] = isSyntaxChecked ? [] : results;
  const shown = results.slice(syntaxCheck.length, -1);
  const last = results.at(-1);
  assert(last !== undefined, 'the facts have an answer');
  const facts = readFacts(last);
  if (!('errno' in facts)) await world.know(facts);
  const wrong = prepared?.kind === 'err' ? await syntaxError(world, request, prepared) : null;
  if (wrong !== null) return wrong;
  // While the service records the intents.
  const difference = isSyntaxChecked ? null : await crossCheck(statement, text);
  if (difference !== null) return refuse(notUnderstood(difference));
  if ('errno' in facts) return serversError(world, request, facts);
  // A RENAME under a GTID of the session would use that up, and so would any error of undrop.
  if (facts.gtidNext !== null) {
    const how = 'under a GTID of its session';
    return refuse(notDone(how, sentenceStart(request), REPLAY_DIRECTLY));
  }
  if (facts.addsIfExists) {
    return refuse(notDone('under sql_if_exists', sentenceStart(request), SET_IF_EXISTS));
  }
  const kinds = readKinds(shown);
  if ('errno' in kinds) {
    // A RENAME would move the table's other files, and leave it in two halves.
    const isTorn = kinds.errno === EE_FILENOTFOUND;
    return isTorn ? holdFailed(request, kinds) : serversError(world, request, kinds);
  }
  const names = statement.names.map((name) => qualify(name, facts));
  const blockers = shown.map((answer) => lastingBlocker(definitionIn(answer), server));
  return { request, facts, names, kinds, blockers };
}

export async function inspectOneTable(
  world: steps.World,
  request: steps.DropRequest,
): Promise<OneTable | steps.Reply> {
  const seen = await inspectNames(world, request);
  if ('kind' in seen) return seen;
  const { facts, names, kinds } = seen;
  const stored = serviceNames(request, facts);
  if ('error' in stored) return refuse(stored.error);
  const [table] = stored.tables;
  const [name] = names;
  const [seenAs] = kinds;
  assert(table && name && seenAs, 'it names one table');
  return { ...table, request, facts, name, seenAs };
}

/** The server refuses the text: prepared once more, so that its error is the session's last. */
export async function syntaxError(
  session: steps.UserSession,
  request: steps.DropRequest,
  prepared: Result | undefined,
): Promise<steps.Reply | null> {
  // In an XA transaction; its RENAME will be refused with the error of a DROP.
  if (prepared?.kind !== 'err' || prepared.errno === ER.XA_TEMP_TABLE) return null;
  if (prepared.errno === ER.MAX_PREPARED_STMT_COUNT_REACHED) {
    return refuse(new UndropError('UNDROP_SYNTAX_NOT_CHECKED', {}));
  }
  const [said] = await session.run([{ kind: 'prepare', text: request.text }]);
  if (said?.kind !== 'err') return again('the syntax is valid now');
  return answerWith(said);
}

/**
 * An error that shows nothing about the names. In an XA transaction a DROP gets 1399, which MariaDB
 * shows twice for a SELECT; so a RENAME that can't succeed causes it. The same for 1046, if the
 * text wasn't checked: its error is the session's last then.
 */
async function serversError(
  session: steps.UserSession,
  request: steps.DropRequest,
  error: ErrPacket,
): Promise<steps.Answer> {
  const [name] = request.statement.names;
  const isAsked = [ER.XAER_RMFAIL, ER.XA_TEMP_TABLE, ER.NO_DB_ERROR].includes(error.errno);
  if (!isAsked || name === undefined) return answerWith(error);
  const [said] = await ask(session, probeSql(name, request));
  assert(said?.kind === 'err', 'there is no such schema');
  return answerWith([ER.XAER_RMFAIL, ER.NO_DB_ERROR].includes(said.errno) ? said : error);
}

const REPLAY_DIRECTLY = 'SET gtid_next = AUTOMATIC, or replay a binary log on a direct connection.';

// ── what speaks against a drop ───────────────────────────────────────────────────────────────────
// What speaks against taking a table away, whatever it is: undrop's own schemas, a service that
// isn't on the session's server, a rule. Pure.

const LEDGER = ['ledger', 'ledger_version'];

/** A statement, the kind of each of its names in the session, and the ruling on each. */
interface Drop extends Pick<Seen, 'request' | 'facts' | 'kinds'> {
  readonly rulings: readonly Ruling[];
}

/** The refusal, whatever its tables are; null: none. */
export function refusalBeforeInspection(
  { request, facts, kinds, rulings }: Drop,
  intent: IntentFacts,
): UndropError | null {
  const recycled = refusalOfRecycled(intent.tables);
  if (recycled !== null) return recycled;
  if (!isSameServer(request, intent, facts)) {
    const params = { tables: sentenceStart(request), threadId: request.session.threadId };
    return new UndropError('UNDROP_SESSION_NOT_FOUND', params);
  }
  for (const [index, seen] of intent.tables.entries()) {
    const kind = kinds[index];
    const ruling = rulings[index];
    // A rule doesn't apply to a name that doesn't exist, or isn't a base table.
    if (!ruling || kind === undefined || knownKind(kind, seen) !== 'base') continue;
    const table = `${seen.schema}.${seen.table}`;
    const refusal = refusalByRuling(ruling, { tables: sentenceStart(request), table });
    if (refusal !== null) return refusal;
  }
  return null;
}

/** A rule refuses the table, or it is in use; null: neither. */
export function refusalByRuling(
  ruling: Ruling | undefined,
  words: { readonly tables: string; readonly table: string },
): UndropError | null {
  const { refusedBy: rule = null, inUse = null } = ruling ?? {};
  const asks = ruling?.asks === true;
  if (rule !== null && !asks) return new UndropError('UNDROP_RULE', { ...words, rule });
  if (inUse !== null) return new UndropError('UNDROP_IN_USE', { ...words, seen: inUse });
  return rule === null ? null : untilAllowed({ subject: words.tables, rule });
}

/** The refusal of the hint destroy: a rule that refuses or may refuse, or a table in use. */
export function refusalOfDestroying(
  drop: steps.Naming,
  rulings: readonly Ruling[],
): UndropError | null {
  const tables = sentenceStart(drop);
  for (const ruling of rulings) {
    const words = { tables, table: 'one of them' };
    const refusal = refusalByRuling(ruling, words);
    if (refusal !== null) return refusal;
    if (ruling.lockMs !== null)
      return new UndropError('UNDROP_RULE', { ...words, rule: ruling.by ?? '' });
  }
  const [open] = rulings.flatMap(({ mayRefuse }) => mayRefuse ?? []);
  if (open === undefined) return null;
  return new UndropError('UNDROP_RULE_NOT_EVALUATED', { tables, rule: open });
}

/**
 * Whether the service is on the server of the user's session: it sees the session's thread id with
 * the local port of undrop's connection; or, if ports are translated in between, a session of that
 * id on a server with the same identity.
 */
export function isSameServer(
  request: Pick<steps.DropRequest, 'session'>,
  intent: Pick<IntentFacts, 'sessionHost' | 'serverIdentity'>,
  facts: Pick<steps.UserFacts, 'serverIdentity'>,
): boolean {
  const { upstreamLocalPort } = request.session;
  if (intent.sessionHost === null) return false;
  if (intent.sessionHost.endsWith(`:${upstreamLocalPort}`)) return true;
  return intent.serverIdentity === facts.serverIdentity;
}

/** Why the tables can't be held, as far as it is known before any RENAME; null: they may be. */
export function whyNotHeld(
  { tables }: Pick<IntentFacts, 'tables'>,
  { flavour, mayDetach }: Pick<ServerVersion, 'flavour'> & { readonly mayDetach: boolean },
): string | null {
  const discarded = flavour === 'mariadb' ? tables.find(isDiscarded) : undefined;
  if (discarded !== undefined) {
    return `the tablespace of ${discarded.schema}.${discarded.table} is discarded, and a RENAME on this server would leave behind the file for its IMPORT TABLESPACE`;
  }
  const crash = tables.find((table) => table.crash !== null)?.crash ?? null;
  const keyed = mayDetach ? undefined : tables.find(hasForeignKeys);
  if (crash !== null || keyed === undefined) return crash;
  return `the session has sql_log_bin = 0, which the service account may not set to detach the foreign keys of ${keyed.schema}.${keyed.table} (\`undrop init --tier full\` grants it)`;
}

/**
 * On MariaDB a RENAME of a table whose tablespace is discarded (ALTER TABLE … DISCARD TABLESPACE)
 * leaves behind an .ibd file that was put beside the table for an IMPORT, and then neither CREATE
 * TABLE of that name (1005) nor DROP DATABASE (1010) works. No statement shows whether there is
 * such a file.
 */
function isDiscarded({ engine, byteEstimate }: IntentTable): boolean {
  // The server counts at least one page for every other table of InnoDB.
  return engine === 'InnoDB' && byteEstimate === 0;
}

/**
 * The kind of a name. The session can't report it without any privilege, or under a lock: then the
 * service has seen it, and the RENAME checks the privileges.
 */
export function knownKind(
  kind: NameKind,
  { kind: seen }: Pick<IntentTable, 'kind'>,
): 'temporary' | 'view' | 'base' | 'missing' {
  if (kind !== 'denied' && kind !== 'unlocked') return kind;
  return seen === 'sequence' ? 'base' : seen;
}

/** A table in one of undrop's own schemas; null: there is none. */
export function refusalOfRecycled(tables: readonly QualifiedTable[]): UndropError | null {
  const recycled = tables.find(({ schema }) => isRecycleName(schema));
  if (recycled === undefined) return null;
  const table = `${recycled.schema}.${recycled.table}`;
  return new UndropError('UNDROP_RECYCLE_SCHEMA', { table, what: whatIsRecycled(recycled) });
}

/**
 * Continues "it is": a table in one of undrop's own schemas. Only for held tables it mentions their
 * removal. `schema`: one of undrop's, in any case.
 */
export function whatIsRecycled(name: QualifiedTable): string {
  const schema = name.schema.toLowerCase();
  if (schema === RECYCLE_SCHEMA && LEDGER.includes(name.table.toLowerCase())) {
    return 'the ledger of undrop, which cannot be dropped';
  }
  const where = 'in the recycle schema of undrop';
  if (parseHoldName(name.table) === null) return `${where}, where clients cannot drop tables`;
  return `${where}, and the collector removes it when it is due`;
}

// ── names of files ───────────────────────────────────────────────────────────────────────────────
// A DROP TABLE whose grammar is clear isn't run if it names a table by its file.

/** Why a DROP TABLE isn't run although its grammar is clear; null: no reason. */
export function whyUnsupported(
  statement: DropTableStatement,
  server: ServerVersion,
): string | null {
  const names = statement.names.flatMap(({ schema, table }) => [schema, table]);
  const isFile = names.some((name) => isFileName(name, server));
  return isFile ? `${FILE_NAME_PREFIX} names a table by its file` : null;
}

/**
 * The rest of such a name is that of a file: `#mysql50#a` is the table a without its locks. Not
 * even SHOW CREATE may use such a name: on MySQL 5.6 the schema can't be dropped after that.
 */
export const FILE_NAME_PREFIX = '#mysql50#';

export function isFileName(name: Uint8Array | null, server: ServerVersion): boolean {
  // It finds its tables in a dictionary: the name is ordinary there.
  if (isMysql8(server)) return false;
  const beginning = Buffer.from(name ?? []).toString('latin1', 0, FILE_NAME_PREFIX.length);
  return beginning.toLowerCase() === FILE_NAME_PREFIX;
}
