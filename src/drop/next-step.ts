/**
 * What to do next with a DROP TABLE, given every answer so far. Pure: run-drop.ts performs the
 * steps, a test drives it with any answers.
 *
 *   inspect   user session: prepare the client's text (the server judges its syntax), SHOW CREATE
 *             each name, facts │ service: intents, foreign keys, triggers, locks
 *   decide    refuse │ the server's own error │ words only │ move
 *   rename    user session: one atomic RENAME of all base tables, each to its own hold name (on
 *             MariaDB in several where one has triggers, rename-groups.ts); where the user may drop
 *             but not rename, the service in the user's stead (next-in-stead.ts)
 *   relocate  service: into the recycle schema (under locks of the session's own, beside which no
 *             other may: user session, where it may) │ words │ answer
 *
 * Invariants: no step destroys a base table. A table is renamed only where both the user session
 * and the service saw it as a base table and its intent is in the ledger. An answer that says
 * "dropped" is given only after the RENAME was.
 */

import { assert } from '../assert.js';
import { UndropError } from '../errors.js';
import type { LockedTable, UsedTables } from '../ledger/session-locks.js';
import type { ForeignKeyName, IntentFacts, IntentTable } from '../ledger/write.js';
import type { RelocateTable, Relocation } from '../moves/relocate.js';
import { STAYS_LOCKED } from '../moves/stays.js';
import { formatHoldName } from '../names/hold-name.js';
import { hasGuards } from '../names/names.js';
import { recycleSchemaFor } from '../names/recycle-schema.js';
import type { Ruling } from '../policy/decide.js';
import { isRecycleName } from '../sql/recycle-name.js';
import { type ErrPacket, encodeErr } from '../wire/response/err.js';
import { type OkPacket, okWithWarnings } from '../wire/response/ok.js';
import type { Result } from '../wire/result-reader.js';
import { ER_MAX_PREPARED_STMT_COUNT_REACHED } from '../wire/server-errors.js';
import type { Look } from './look-at-names.js';
import {
  isAllowed,
  isNoView,
  nextInStead,
  nextTurn,
  type SteadAnswers,
  type TurnTable,
} from './next-in-stead.js';
import { nextUnderLocks } from './next-under-locks.js';
import {
  type BlockedParent,
  blockedParents,
  hasForeignKeys,
  isGuardMissing,
  parentErrorInFull,
  parentErrorSql,
} from './parents.js';
import { whatIsRecycled } from './recycled-words.js';
import { renameGroups } from './rename-groups.js';
import type { SteadRename } from './rename-in-stead.js';
import type { DropRequest, UserFacts } from './request.js';
import { type Said, type SaidKind, sayWords } from './say-words.js';
import { signalOf, signalSql } from './signal-sql.js';
import type { UserCommand } from './user-session.js';
import {
  askMovesSql,
  cleanSql,
  dropOwnTemporarySql,
  dropRightsSql,
  gtidSql,
  homeSql,
  OWN_GTID_BEHIND,
  ownLockSql,
  probeSql,
  type QualifiedName,
  renameSql,
  resultsSql,
  turnSql,
  underOwnGtid,
  waitText,
} from './words.js';

/** What the first round trips brought. */
export interface Inspection extends Look {
  /** Null where the service could not record it: `intentError` says why. */
  readonly intent: IntentFacts | null;
  readonly intentError: UndropError | null;
  /** What rules and wishes make of each name; default: nothing. */
  readonly rulings?: readonly Ruling[];
  /** The names as they go into statements of ours, in order. */
  readonly names: readonly QualifiedName[];
}

export interface Answers extends SteadAnswers {
  readonly inspection: Inspection | null;
  readonly judged: Result | null;
  readonly probe: Result | null;
  /** What the server says of the right to drop, where it denied the RENAME for want of it. */
  readonly rights: Result | null;
  readonly rename: Result | null;
  /** Where there is to be a RENAME after the other: whether each table may be renamed at all. */
  readonly mayMove: Result | null;
  /** What the session has locked by LOCK TABLES, asked once more; `known` null: nobody can tell. */
  readonly locks: { readonly known: readonly LockedTable[] | null } | null;
  /** What anybody has in use, asked where it is needed. */
  readonly used: UsedTables | null;
  /** Of the steps under LOCK TABLES, or of one RENAME after the other; in order. */
  readonly rounds: readonly (readonly Result[])[];
  /** Of the session's own RENAME into the recycle schema, where nobody else may do it. */
  readonly home: Result | null;
  readonly relocations: readonly Relocation[] | null;
  readonly words: Result | null;
  /** The words under another GTID_NEXT than the session's. */
  readonly aside: Result | null;
  /** The probes once more where their words couldn't be read, in letters that can. */
  readonly readable: Result | null;
  /** Of what has a GTID, where there is nothing to move. */
  readonly gtid: Result | null;
  /** Where there were no guards to be asked (ledger/guards.ts). */
  readonly unguarded: Result | null;
}

export const NO_ANSWERS: Answers = {
  inspection: null,
  judged: null,
  probe: null,
  rights: null,
  rename: null,
  mayMove: null,
  mayDrop: null,
  stead: [],
  turns: [],
  ownLock: null,
  cleaned: null,
  locks: null,
  used: null,
  rounds: [],
  home: null,
  relocations: null,
  words: null,
  aside: null,
  gtid: null,
  readable: null,
  unguarded: null,
};

/** The answers that a statement of ours on the user session brings. */
export type UserAnswer =
  | 'judged'
  | 'probe'
  | 'rights'
  | 'rename'
  | 'mayMove'
  | 'mayDrop'
  | 'turn'
  | 'ownLock'
  | 'cleaned'
  | 'home'
  | 'words'
  | 'aside'
  | 'gtid'
  | 'readable'
  | 'unguarded';

/**
 * Of the answers to the commands of a step the one that it brings: the last; of several probes the
 * first that DROP would have ended with, too, or else the first that says nothing on the right; of
 * what clears the session the first OK, which says what has changed.
 */
export function broughtBy(brings: UserAnswer, results: readonly Result[]): Result {
  const last = results.at(-1);
  assert(last !== undefined, 'the last command of a step has an answer');
  // Behind it the session is cleaned, and may get its GTID back.
  if (brings === 'home') return results.at(results.length > 2 ? -2 - OWN_GTID_BEHIND : 0) ?? last;
  if (brings === 'aside') return results.at(-1 - OWN_GTID_BEHIND) ?? last;
  if (brings === 'ownLock') {
    return results.find((said) => said.kind === 'err' && UNDER_LOCKS.has(said.errno)) ?? last;
  }
  if (brings === 'cleaned') return results.find(({ kind }) => kind === 'ok') ?? last;
  if (brings === 'readable') {
    const probes = results.slice(1, -2);
    return probes.find((result) => !saysMayDrop(result)) ?? probes[0] ?? last;
  }
  if (brings !== 'probe' && brings !== 'mayDrop') return last;
  const ends = (result: Result) =>
    result.kind === 'err' &&
    (endsTheDrop(result) || UNDER_LOCKS.has(result.errno) || result.errno === CLOSED_SCHEMA);
  return results.find(ends) ?? results.find((result) => !isAllowed(result)) ?? last;
}

/** `answers` with the one that a step brought. */
export function withBrought(answers: Answers, brings: UserAnswer, answer: Result): Answers {
  if (brings === 'turn') return { ...answers, turns: [...answers.turns, answer] };
  return { ...answers, [brings]: answer };
}

export interface HeldTable {
  readonly id: string;
  readonly holdSchema: string;
  readonly holdName: string;
  readonly relocated: boolean;
  readonly failure: string | null;
}

export type Step =
  | { readonly do: 'inspect' }
  /** `commands` bring the answer `brings`: see `broughtBy`. */
  | {
      readonly do: 'user';
      readonly brings: UserAnswer;
      readonly commands: readonly UserCommand[];
    }
  /** The RENAME by the service; the outcome is the last of `stead`, and there are no turns yet. */
  | ({ readonly do: 'stead' } & SteadRename)
  /** The service looks what the session has locked. */
  | { readonly do: 'locks' }
  /** The service looks what is in use. */
  | { readonly do: 'used' }
  /** The answers are the next of `rounds`. */
  | {
      readonly do: 'round';
      readonly commands: readonly UserCommand[];
      readonly renames: boolean;
    }
  | {
      readonly do: 'relocate';
      readonly tables: readonly RelocateTable[];
      readonly logged: boolean;
      /** Foreign keys lead out of them or into them, or they have triggers: taken off first. */
      readonly detach: boolean;
    }
  /** The tables changed between two looks: forget the intents and look again. */
  | {
      readonly do: 'again';
      readonly because: string;
      /** The answer where there have been looks enough; null: that they keep changing. */
      readonly otherwise: UndropError | null;
    }
  | {
      readonly do: 'answer';
      /** Payload of an OK or ERR packet. */
      readonly payload: Buffer;
      readonly held: readonly HeldTable[];
      /** What our refusal was, for the log. */
      readonly refusal: UndropError | null;
    };

/** The next step; after 'answer' there is none. */
export function nextStep(asked: DropRequest, answers: Answers): Step {
  const { inspection } = answers;
  if (inspection === null) return { do: 'inspect' };
  const request = asMeant(asked, inspection);
  const decision = decide(request, inspection);
  switch (decision.kind) {
    case 'refuse':
      return refuse(decision.error);
    case 'again':
      return again(decision.because, decision.otherwise);
    case 'error':
      return serversError(request, inspection, decision.error, answers);
    case 'judged':
      return judged(request, inspection, answers);
    case 'unrecorded':
      return unrecorded(request, inspection, decision.error, answers);
    case 'native':
      return native(request, answers);
    case 'words':
      return wordsOnly(request, inspection, decision, answers);
    case 'move':
      return move(request, inspection, decision, answers);
  }
}

/** Settings of the session may say more than the text. */
function asMeant(drop: DropRequest, { facts }: Inspection): DropRequest {
  if ('errno' in facts || !facts.addsIfExists) return drop;
  return { ...drop, statement: { ...drop.statement, ifExists: true } };
}

/** One name of the statement and all that is known of it. */
interface Name {
  readonly index: number;
  readonly kind: SaidKind | 'base';
  readonly name: QualifiedName;
  readonly seen: IntentTable;
}

type Waited = Pick<Name, 'name'>;

interface Move extends Name {
  readonly holdName: string;
}

type Decision =
  | { readonly kind: 'refuse'; readonly error: UndropError }
  | { readonly kind: 'again'; readonly because: string; readonly otherwise?: UndropError }
  | { readonly kind: 'error'; readonly error: ErrPacket }
  | { readonly kind: 'judged' }
  /** Nothing could be recorded, so nothing is moved; the server may have a reason of its own. */
  | { readonly kind: 'unrecorded'; readonly error: UndropError }
  | { readonly kind: 'native' }
  | {
      readonly kind: 'words';
      readonly named: readonly Name[];
      readonly blocked: readonly BlockedParent[];
      /** Tables that stay, and whose locks a drop would have taken before it said so. */
      readonly waitsFor: readonly Waited[];
    }
  | {
      readonly kind: 'move';
      readonly moves: readonly Move[];
      readonly named: readonly Name[];
      /** Parents that stay, as the server would not drop them. */
      readonly blocked: readonly BlockedParent[];
    };

function decide(request: DropRequest, inspection: Inspection): Decision {
  const { judge, facts } = inspection;
  const isVerdict = judge?.kind === 'err' && judge.errno !== TEMPORARY_IN_XA;
  if (isVerdict && judge.errno === ER_MAX_PREPARED_STMT_COUNT_REACHED) {
    return { kind: 'refuse', error: new UndropError('UNDROP_NOT_JUDGED', {}) };
  }
  if (isVerdict) return { kind: 'judged' };
  if ('errno' in facts) return { kind: 'error', error: facts };
  const failed = inspection.kinds.find((kind) => typeof kind !== 'string');
  if (typeof failed === 'object') return { kind: 'error', error: failed };
  const shadowed = refusalOfShadowed(request, inspection);
  if (shadowed !== null) return { kind: 'refuse', error: shadowed };
  if (inspection.kinds.every((kind) => kind === 'temporary')) return { kind: 'native' };
  const { intent, intentError } = inspection;
  if (intent === null) {
    assert(intentError !== null, 'no intent without an error');
    return { kind: 'unrecorded', error: intentError };
  }
  const refusal = refusalBeforeLooking(request, inspection, intent, facts);
  if (refusal !== null) return { kind: 'refuse', error: refusal };
  const names = namesOf(request, inspection, intent);
  if (names === null) {
    // Another session drops it between the two looks; or the service account may not see it.
    const otherwise = unseenBase(request, inspection, intent);
    return { kind: 'again', because: 'only the session sees a table', otherwise };
  }
  return decideNames(request, names, {
    checksForeignKeys: facts.checksForeignKeys,
    charset: facts.charset,
    foldsCase: intent.lowerCaseTableNames !== 0,
  });
}

/** DROP SEQUENCE looks past a temporary table for a sequence of that name; no RENAME does. */
function refusalOfShadowed(
  { statement }: DropRequest,
  { kinds, sequences }: Inspection,
): UndropError | null {
  const isShadowed = kinds.some((kind, index) => kind === 'temporary' && !sequences[index]);
  if (statement.object !== 'sequence' || !isShadowed) return null;
  const why = 'a temporary table has a name that DROP SEQUENCE looks for';
  return new UndropError('UNDROP_NOT_UNDERSTOOD', { why });
}

/** What speaks against a drop, whatever its tables are; null: nothing does. */
export function refusalBeforeLooking(
  request: DropRequest,
  inspection: Pick<Inspection, 'judge' | 'kinds' | 'names' | 'rulings'>,
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
    const params = { table: fullName(recycled), what: whatIsRecycled(recycled) };
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

/** Of what isn't there, and of what is no base table, no rule speaks. */
function refusalByRule(
  request: DropRequest,
  { kinds, rulings = [] }: Pick<Inspection, 'kinds' | 'rulings'>,
  intent: IntentFacts,
): UndropError | null {
  for (const [index, seen] of intent.tables.entries()) {
    const rule = rulings[index]?.refusedBy ?? null;
    const kind = kinds[index];
    const known = kind === 'denied' || kind === 'unlocked' ? kindSeen(seen) : kind;
    if (known !== 'base' || rule === null) continue;
    const tables = sentenceStart(request);
    return new UndropError('UNDROP_RULE', { tables, table: fullName(seen), rule });
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
 * Joins what the user session and the service saw. Null where the user session sees a base table
 * that the service doesn't: then nobody recorded it, and nobody may rename it.
 */
function namesOf(request: DropRequest, inspection: Inspection, intent: IntentFacts): Name[] | null {
  const names: Name[] = [];
  for (const [index, seen] of intent.tables.entries()) {
    const kind = inspection.kinds[index];
    const name = inspection.names[index];
    assert(typeof kind === 'string' && name !== undefined, 'each name was looked at');
    const known = kind === 'denied' || kind === 'unlocked' ? kindSeen(seen) : kind;
    if (known === 'base' && seen.holdUntil === null) return null;
    names.push({ index, kind: known === 'base' ? kindOfBase(request, seen) : known, name, seen });
  }
  return names;
}

function kindOfBase(
  { statement, server }: DropRequest,
  seen: IntentTable,
): 'base' | 'table' | 'missing' | 'nothing' {
  if (isOfEngine(seen, server)) return server.versionId < 110_800 ? 'missing' : 'nothing';
  return statement.object === 'sequence' && seen.kind !== 'sequence' ? 'table' : 'base';
}

/**
 * What MariaDB's performance_schema has, no statement drops: it isn't found (seen on 10.11), or
 * the answer is OK (on 11.8).
 */
function isOfEngine({ schema }: IntentTable, { flavour }: DropRequest['server']): boolean {
  return flavour === 'mariadb' && schema.toLowerCase() === 'performance_schema';
}

/**
 * Without any right on the name, or a lock of it, the session can't tell; the RENAME will say who
 * may what, and next-under-locks.ts asks for the locks.
 */
function kindSeen(seen: IntentTable): 'view' | 'base' | 'missing' {
  return seen.kind === 'sequence' ? 'base' : seen.kind;
}

function unseenBase(
  request: DropRequest,
  inspection: Inspection,
  intent: IntentFacts,
): UndropError {
  const index = inspection.kinds.indexOf('base');
  const table = intent.tables[index];
  const name = table === undefined ? 'it' : fullName(table);
  return new UndropError('UNDROP_NOT_SEEN', { tables: sentenceStart(request), table: name });
}

/** MySQL 8 and later: one name that can't be dropped, and nothing is. */
function isAtomicDrop({ server }: DropRequest): boolean {
  return server.flavour === 'mysql' && server.versionId >= 80_000;
}

function decideNames(
  request: DropRequest,
  names: readonly Name[],
  facts: Pick<UserFacts, 'checksForeignKeys' | 'charset'> & { readonly foldsCase: boolean },
): Decision {
  const { checksForeignKeys, foldsCase } = facts;
  const bases = names.filter(({ kind }) => kind === 'base');
  const others = names.filter(({ kind }) => kind !== 'base');
  const absent = names.filter(({ kind }) => kind === 'missing' || kind === 'view');
  const isAtomic = isAtomicDrop(request);
  if (isAtomic && !request.statement.ifExists && absent.length > 0) {
    // They are looked at one by one, and natively all of them go at once.
    const isBetween = absent.some(
      ({ kind, seen }) => kind === 'missing' && seen.holdUntil !== null,
    );
    if (isBetween && bases.length > 0) {
      return { kind: 'again', because: 'only the service sees a table' };
    }
    return { kind: 'words', named: absent, blocked: [], waitsFor: bases };
  }
  const rules = { isAtomic, foldsCase };
  const blocked = checksForeignKeys
    ? blockedParents(
        bases.map(({ seen }) => seen),
        rules,
      )
    : [];
  // Nor is a temporary table beside it dropped there.
  if (isAtomic && blocked.length > 0) {
    const waitsFor = [...bases, ...blocked.flatMap(({ key }) => childOf(key, facts))];
    return { kind: 'words', named: [], blocked, waitsFor };
  }
  if (blocked.length === bases.length) {
    return { kind: 'words', named: others, blocked, waitsFor: [] };
  }
  const moves: Move[] = [];
  for (const base of bases.filter(({ seen }) => !blocked.some(({ table }) => table === seen))) {
    const due = base.seen.holdUntil;
    assert(due !== null, 'a table that is moved has an intent');
    const holdName = formatHoldName({ state: 'HOLD', id: base.seen.id, due });
    moves.push({ ...base, holdName });
  }
  return { kind: 'move', moves, named: others, blocked };
}

/**
 * None where it can't be said in the session's charset; that of the request is one of those that
 * read it the same.
 */
function childOf(
  { schema, table }: ForeignKeyName,
  { charset }: Pick<UserFacts, 'charset'>,
): readonly Waited[] {
  const name = { schema: Buffer.from(schema), table: Buffer.from(table) };
  const isPlain = [...name.schema, ...name.table].every((byte) => byte < 0x80);
  return isPlain || charset.startsWith('utf8') ? [{ name }] : [];
}

/** The server refuses the text: asked once more, so that its words are the session's last. */
function judged(request: DropRequest, inspection: Inspection, answers: Answers): Step {
  const { judge } = inspection;
  const { judged: verdict } = answers;
  if (verdict === null) {
    const isSyntax = judge?.kind === 'err' && judge.errno === 1064;
    const text = (isSyntax ? request.tail : null) ?? request.text;
    return { do: 'user', brings: 'judged', commands: [{ kind: 'prepare', text }] };
  }
  // It takes now what it refused a moment ago.
  if (verdict.kind !== 'err') return again('the syntax is valid now');
  return answerWith(verdict);
}

/**
 * The way back can't be recorded, so the table stays. That may be as the server is read-only, or
 * held for reading by another session: then the server's own words are the answer, asked for by
 * RENAMEs that can't succeed. Who may drop and not rename is denied those before they wait, so that
 * the session has its turn at the locks in a statement that asks for the right to drop alone.
 */
function unrecorded(
  request: DropRequest,
  inspection: Inspection,
  error: UndropError,
  { probe, mayDrop, turns }: Answers,
): Step {
  const names = inspection.names.filter((_name, index) => inspection.kinds[index] !== 'temporary');
  const [first] = names;
  if (first === undefined) return refuse(error);
  if (probe === null) return probeStep(request, inspection, [first]);
  const said = mayDrop ?? probe;
  assert(said.kind === 'err', 'a RENAME into a schema that does not exist fails');
  if (SAME_AS_DROP.has(said.errno)) return answerWith(said);
  if (said.errno !== 1142) return refuse(error);
  if (mayDrop === null && names.length > 1) {
    const commands = names.map((name) => {
      return { kind: 'query' as const, text: probeSql(name, request) };
    });
    return { do: 'user', brings: 'mayDrop', commands };
  }
  const [turn] = turns;
  const denied = inspection.names[placeOfDenied(said, inspection)];
  if (turn === undefined) return turnStep(request, { name: denied ?? first });
  assert(turn.kind === 'err', 'there is no such partition');
  const isDropDenied = turn.errno === 1142;
  return isDropDenied || SAME_AS_DROP.has(turn.errno) ? answerWith(turn) : refuse(error);
}

/**
 * An error that says nothing on the names. In XA every statement gets 1399, which MariaDB shows
 * twice for what DROP TABLE is; so it is asked for by a RENAME that can't succeed. So is 1046,
 * where nobody has judged the text: its words are the session's last then.
 */
function serversError(
  request: DropRequest,
  inspection: Inspection,
  error: ErrPacket,
  { probe }: Answers,
): Step {
  const name = inspection.names[inspection.kinds.findIndex((kind) => typeof kind !== 'string')];
  if (error.errno === FILE_NOT_FOUND) return holdFailed(request, error);
  const isTemporaryInXa = error.errno === TEMPORARY_IN_XA;
  const asked = isTemporaryInXa || [1046, 1399].includes(error.errno);
  if (!asked || name === undefined) return answerWith(error);
  if (probe === null) return probeStep(request, inspection, [name]);
  const expected = isTemporaryInXa ? 1399 : error.errno;
  return answerWith(probe.kind === 'err' && probe.errno === expected ? probe : error);
}

/** MySQL 8 and later: of a temporary table in XA, by SHOW CREATE and by a PREPARE of its drop. */
const TEMPORARY_IN_XA = 4091;

/** A file of a table is missing: a RENAME would move the others and leave it in two halves. */
const FILE_NOT_FOUND = 29;

/** Every name is a temporary table of this session: what it asked for, of exactly those names. */
function native(request: DropRequest, { words, inspection }: Answers): Step {
  if (words !== null) return answerWith(words);
  assert(
    inspection?.kinds.every((kind) => kind === 'temporary') === true,
    'only temporary tables are dropped natively',
  );
  return {
    do: 'user',
    brings: 'words',
    commands: [
      ...closing(inspection),
      {
        kind: 'query',
        text: dropOwnTemporarySql(inspection.names, { ...request, ...request.statement }),
      },
    ],
  };
}

/** Errors of a RENAME that the DROP would have given too, word for word. */
const SAME_AS_DROP: ReadonlySet<number> = new Set([
  1205, // lock wait timeout
  1213, // deadlock
  1223, // own FLUSH TABLES WITH READ LOCK
  1290, // read_only
  1317, // KILL QUERY
  1399, // XA
  1568, // transaction characteristics
  1580, // a log table in use
  1778, // an implicit commit while GTID_NEXT is set
  1792, // read-only transaction
  1820, // password expired
  1836, // read-only mode
  1837, // GTID_NEXT was used up
  1969, // max_statement_time
  3024, // max_execution_time
  4145, // own BACKUP STAGE
]);

/** Of these the probe of the next name says nothing. */
const OF_THE_MOMENT: ReadonlySet<number> = new Set([1205, 1213, 1317, 1969, 3024]);

function endsTheDrop(error: ErrPacket): boolean {
  return SAME_AS_DROP.has(error.errno) || mayNotDrop(error);
}

/**
 * Nothing to move: end the transaction by RENAMEs that can't succeed, then the words. Each name is
 * asked for, as the right to drop is needed for all of them.
 */
function wordsOnly(
  request: DropRequest,
  inspection: Inspection,
  decision: Extract<Decision, { kind: 'words' }>,
  answers: Answers,
): Step {
  const { probe } = answers;
  if (isUnderLocks(inspection, answers)) {
    const looked = underLocks(request, inspection, [], answers);
    if ('do' in looked) return looked;
    return saidOrSay(request, inspection, decision, answers);
  }
  const asked = inspection.names.filter((_name, index) => inspection.kinds[index] !== 'temporary');
  if (!hasGtidNext(inspection)) {
    if (probe === null) return probeStep(request, inspection, asked);
    const ended = probeEnds(request, inspection, probe, answers);
    if (ended !== null) return ended;
    const waiting = waitFirst(request, decision, answers);
    if (waiting !== null) return waiting;
    const logging = gtidStep(request, inspection, decision, answers);
    if (logging !== null) return logging;
  }
  return saidOrSay(request, inspection, decision, answers);
}

/** Null: nobody has its tables locked, or it can't be asked. */
function waitFirst(
  request: DropRequest,
  { waitsFor }: Extract<Decision, { kind: 'words' }>,
  { turns }: Answers,
): Step | null {
  const waiting = nextTurn(turns, turnTables(waitsFor));
  switch (waiting?.kind) {
    case 'wait':
      return turnStep(request, waitsFor[waiting.at]);
    case 'gone':
      return again('a table was gone when it was waited for');
    case 'error':
      return SAME_AS_DROP.has(waiting.error.errno) ? answerWith(waiting.error) : null;
    case undefined:
      return null;
  }
}

/** A drop that says notes alone is logged, and the client may be told its GTID. */
function gtidStep(
  request: DropRequest,
  { facts }: Inspection,
  { named, blocked }: Extract<Decision, { kind: 'words' }>,
  { gtid }: Answers,
): Step | null {
  const tracks = 'tracksGtids' in facts && facts.tracksGtids;
  const absent = named.find(({ kind }) => kind !== 'temporary');
  const isNoted = request.statement.ifExists && blocked.length === 0;
  if (gtid !== null || !tracks || !isNoted || absent === undefined) return null;
  const text = gtidSql(absent.name, request);
  return { do: 'user', brings: 'gtid', commands: [{ kind: 'query', text }] };
}

function saidOrSay(
  request: DropRequest,
  inspection: Inspection,
  { named, blocked }: Extract<Decision, { kind: 'words' }>,
  answers: Answers,
): Step {
  const next = wordsStep(request, inspection, { named, blocked }, answers);
  if (next !== null) return next;
  const words = answers.unguarded ?? answers.words;
  assert(words !== null, 'no step is left only when the words were said');
  const said = counting(words, wordsFor(request, inspection, { named, blocked }).notes);
  const { gtid } = answers;
  if (gtid?.kind === 'ok' && said.kind === 'ok') return answerWith(okOfBoth(gtid, said));
  return answerWith(inFull(said, request, blocked));
}

function probeStep(
  request: DropRequest,
  inspection: Inspection,
  names: readonly QualifiedName[],
): Step {
  assert(names.length > 0, 'there is a name that is no temporary table');
  const commands: UserCommand[] = [
    ...closing(inspection),
    ...names.map((name) => ({ kind: 'query' as const, text: probeSql(name, request) })),
  ];
  return { do: 'user', brings: 'probe', commands };
}

/** Null where the drop goes on. */
function probeEnds(
  request: DropRequest,
  inspection: Inspection,
  probe: Result,
  answers: Answers,
): Step | null {
  assert(probe.kind === 'err', 'a RENAME into a schema that does not exist fails');
  const isFollowed = inspection.names.length > 1 && OF_THE_MOMENT.has(probe.errno);
  if (isFollowed) return raised(probe, inspection, answers);
  if (SAME_AS_DROP.has(probe.errno)) return answerWith(probe);
  if (probe.errno === CLOSED_SCHEMA) return closedSchema(request, inspection, probe, answers);
  if (!mayNotDrop(probe) || isGranted(inspection, probe, answers)) return null;
  const reading = readableStep(request, inspection, probe, answers);
  return reading ?? deniedDrop(request, inspection, probe, answers);
}

/** Of a view the right to drop can't be asked but by a RENAME, whose words have to be read. */
function readableStep(
  request: DropRequest,
  inspection: Inspection,
  error: ErrPacket,
  { readable }: Answers,
): Step | null {
  const { facts, kinds } = inspection;
  const charset = 'resultsCharset' in facts ? facts.resultsCharset : null;
  const names = inspection.names.filter((_name, index) => kinds[index] !== 'temporary');
  const hasView = inspection.names.some((_name, index) => isSeenAsView(inspection, index));
  const [first] = names;
  if (readable !== null || deniedRights(error) !== null || !hasView) return null;
  if (charset === null || !/^\w+$/.test(charset) || first === undefined) return null;
  const probes = names.map((name) => probeSql(name, request));
  const texts = [resultsSql('utf8'), ...probes, resultsSql(charset), probeSql(first, request)];
  const commands = texts.map((text) => ({ kind: 'query' as const, text }));
  return { do: 'user', brings: 'readable', commands };
}

function move(
  request: DropRequest,
  inspection: Inspection,
  decision: Extract<Decision, { kind: 'move' }>,
  answers: Answers,
): Step {
  if (isUnderLocks(inspection, answers)) {
    const moved = underLocks(request, inspection, decision.moves, answers);
    return 'do' in moved ? moved : afterRename(request, inspection, decision, moved, answers);
  }
  const { probe } = answers;
  const { moves, named, blocked } = decision;
  // The RENAME asks for the rights on what it moves; on the other names they are needed as well.
  const others = [
    ...named.filter(({ kind }) => kind !== 'temporary').map(({ name }) => name),
    ...namesOfBlocked(inspection, blocked),
  ];
  const mayProbe = others.length > 0 && !hasGtidNext(inspection);
  if (mayProbe && probe === null) return probeStep(request, inspection, others);
  const ended = probe === null ? null : probeEnds(request, inspection, probe, answers);
  if (ended !== null) return ended;
  const groups = renameGroups(
    moves,
    ({ seen }) => request.server.flavour === 'mariadb' && seen.triggers.length > 0,
  );
  const renamed =
    groups.length > 1
      ? renameInTurn(request, inspection, groups, answers)
      : renameAtOnce(request, inspection, moves, answers);
  return 'do' in renamed ? renamed : afterRename(request, inspection, decision, renamed, answers);
}

/** One RENAME of all. */
function renameAtOnce(
  request: DropRequest,
  inspection: Inspection,
  moves: readonly Move[],
  answers: Answers,
): Step | Moved {
  const { probe, rename } = answers;
  if (rename === null) {
    const closed = probe === null ? closing(inspection) : [];
    const text = renameSql({ ...request, moves, wait: waitText(request.statement) });
    return { do: 'user', brings: 'rename', commands: [...closed, { kind: 'query', text }] };
  }
  const ok =
    rename.kind === 'err' ? notRenamed(request, inspection, [moves], rename, answers) : rename;
  if ('do' in ok) return ok;
  assert(ok.kind === 'ok', 'RENAME answers OK or ERR');
  if (!warnsOfKeys(inspection, moves, ok)) return { ok, moves, failed: null, keepsLocks: false };
  if (answers.cleaned === null) {
    const clean = { kind: 'query' as const, text: cleanSql(request.groupId) };
    return { do: 'user', brings: 'cleaned', commands: [clean] };
  }
  const unwarned = { ...ok, warnings: 0, payload: okWithWarnings(ok, 0) };
  return { ok: unwarned, moves, failed: null, keepsLocks: false };
}

/** MySQL warns of keys to columns that aren't unique (6124); of the drop it says nothing. */
function warnsOfKeys(
  inspection: Inspection,
  moves: readonly Move[],
  { warnings }: OkPacket,
): boolean {
  const hasKeys = moves.some(({ seen }) => hasForeignKeys(seen));
  return hasKeys && warnings > 0 && !hasGtidNext(inspection);
}

/**
 * One RENAME after the other, as a native drop there takes one table after the other. Like that it
 * asks for the rights on all of them first, and waits for the locks of all of them; from then on
 * what ends it leaves the first ones dropped.
 */
function renameInTurn(
  request: DropRequest,
  inspection: Inspection,
  groups: readonly (readonly Move[])[],
  answers: Answers,
): Step | Moved {
  const { probe, mayMove, turns, rounds } = answers;
  const moves = groups.flat();
  if (mayMove === null) {
    const closed = probe === null ? closing(inspection) : [];
    const text = askMovesSql({ ...request, moves });
    return { do: 'user', brings: 'mayMove', commands: [...closed, { kind: 'query', text }] };
  }
  assert(mayMove.kind === 'err', 'a RENAME of a table to itself fails');
  if (!MAY_MOVE.has(mayMove.errno)) {
    const ok = notRenamed(request, inspection, groups, mayMove, answers);
    if (!('do' in ok)) return { ok, moves, failed: null, keepsLocks: false };
    const held = groups.slice(0, renamedInStead(answers)).flat();
    if (held.length === 0 || (ok.do !== 'answer' && ok.do !== 'again')) return ok;
    return {
      ok: null,
      moves: held,
      failed: failedLater(request, moves, held, ok),
      keepsLocks: false,
    };
  }
  const waiting = nextTurn(turns, turnTables(moves));
  if (waiting?.kind === 'wait') return turnStep(request, moves[waiting.at]);
  if (waiting?.kind === 'gone') return again('a table was gone when it was to be renamed');
  if (waiting?.kind === 'error') return renameFailed(request, waiting.error);
  let ok: OkPacket | null = null;
  for (const [index, group] of groups.entries()) {
    const [said] = rounds[index] ?? [];
    if (said === undefined) {
      const text = renameSql({ ...request, moves: group, wait: waitText(request.statement) });
      return { do: 'round', commands: [{ kind: 'query', text }], renames: true };
    }
    if (said.kind === 'err') {
      if (index === 0) return renameFailed(request, said);
      const [held, others] = [groups.slice(0, index).flat(), groups.slice(index).flat()];
      const failed = endedBefore(
        request,
        others.map((move) => move.index),
        said,
      );
      return { ok, moves: held, failed, keepsLocks: false };
    }
    assert(said.kind === 'ok', 'RENAME answers OK or ERR');
    ok = said;
  }
  return { ok, moves, failed: null, keepsLocks: false };
}

/** The table itself is in the way, or somebody has it locked: the rights were looked at before. */
const MAY_MOVE: ReadonlySet<number> = new Set([1050, 1205]);

function renamedInStead({ stead }: Answers): number {
  return stead.filter(({ kind }) => kind === 'renamed').length;
}

/** The answer where the first ones are held by then. */
function failedLater(
  request: DropRequest,
  moves: readonly Move[],
  held: readonly Move[],
  step: Extract<Step, { do: 'answer' | 'again' }>,
): Extract<Step, { do: 'answer' }> {
  if (step.do === 'answer') return step;
  const others = moves.filter((one) => !held.includes(one)).map(({ index }) => index);
  const tables = sentenceStart(namingOnly(request, others));
  return refuse(new UndropError('UNDROP_CHANGED_MEANWHILE', { tables, times: 1 }));
}

/** What was renamed. */
interface Moved {
  /** Null where there was nothing to rename, or the service has done it in part. */
  readonly ok: OkPacket | null;
  readonly moves: readonly Move[];
  /** The answer where it ended before the last. */
  readonly failed: Extract<Step, { do: 'answer' }> | null;
  /** The session has them locked. */
  readonly keepsLocks: boolean;
}

function afterRename(
  request: DropRequest,
  inspection: Inspection,
  decision: Extract<Decision, { kind: 'move' }>,
  { ok, moves, failed, keepsLocks }: Moved,
  answers: Answers,
): Step {
  const { named, blocked } = decision;
  const spoken = answers.unguarded ?? answers.aside ?? answers.words;
  const { notes } = wordsFor(request, inspection, { named, blocked });
  const words = spoken === null ? null : counting(spoken, notes);
  assert(ok !== null || failed !== null, 'what is held was renamed');
  const going = homeward(request, inspection, { moves, keepsLocks }, answers);
  if (going !== null && 'do' in going) return going;
  const relocations = answers.relocations ?? going;
  if (relocations === null) {
    const { facts } = inspection;
    assert('logged' in facts, 'facts were read');
    const tables = moves.map(({ index, seen, holdName }) => ({
      id: seen.id,
      fromSchema: seen.schema,
      holdName,
      table: seen.table,
      stays: inspection.stay[index] ?? (keepsLocks ? STAYS_LOCKED : null),
    }));
    const isBound = moves.some(({ seen }) => hasForeignKeys(seen) || seen.triggers.length > 0);
    return { do: 'relocate', tables, logged: facts.logged, detach: !keepsLocks && isBound };
  }
  const hasWords = failed === null && named.length + blocked.length > 0;
  const saying = hasWords ? wordsStep(request, inspection, { named, blocked }, answers) : null;
  if (saying !== null) return beside(inspection, saying);
  const held = moves.flatMap((moved) => heldTable(moved, relocations));
  if (held.length < moves.length) {
    // What was put back is named; the others are dropped.
    const isHeld = (id: string) => held.some((table) => table.id === id);
    const back = moves.filter(({ seen }) => !isHeld(seen.id)).map(({ index }) => index);
    const tables = sentenceStart(namingOnly(request, back));
    return { ...refuse(new UndropError('UNDROP_CHANGED_MEANWHILE', { tables, times: 1 })), held };
  }
  if (ok === null || failed !== null) {
    assert(failed !== null, 'what is held was renamed');
    return { ...failed, held };
  }
  if (words?.kind === 'ok' && blocked.length === 0) {
    return { ...answerWith(okOfBoth(ok, words)), held };
  }
  const said = words === null ? ok : inFull(words, request, blocked);
  return { ...answerWith(said), held };
}

/**
 * Where the session has locks beside which nobody else may rename the tables, it does so itself,
 * if it may: they aren't seen in their own schema then. Null: the service is to try, or nobody.
 */
function homeward(
  request: DropRequest,
  inspection: Inspection,
  { moves, keepsLocks }: Pick<Moved, 'moves' | 'keepsLocks'>,
  { home, relocations }: Answers,
): Step | readonly Relocation[] | null {
  const { facts, intent, stay } = inspection;
  assert('logged' in facts && intent !== null, 'they were there before the RENAME');
  const mayGo = moves.every(
    ({ index, name, seen }) =>
      name.schema !== null &&
      stay[index] === null &&
      !hasForeignKeys(seen) &&
      seen.triggers.length === 0,
  );
  const isItsOwn = keepsLocks || intent.hasBackupLock;
  if (!isItsOwn || !mayGo || relocations !== null) return null;
  const holdSchema = recycleSchemaFor(facts.logged);
  if (home === null) {
    const texts = [homeSql({ ...request, moves, home: holdSchema }), cleanSql(request.groupId)];
    const going = texts.map((text) => ({ kind: 'query' as const, text }));
    const { commands } = underOwnGtid(facts.gtidNext, going);
    return { do: 'user', brings: 'home', commands };
  }
  if (home.kind !== 'ok') return null;
  return moves.map(({ seen: { id }, holdName }) => {
    return { id, outcome: 'moved' as const, holdSchema, holdName };
  });
}

/** The session has set GTID_NEXT to a GTID: an error, or the RENAME, uses it up. */
function hasGtidNext({ facts }: Inspection): boolean {
  return 'gtidNext' in facts && facts.gtidNext !== null;
}

/** The RENAME has used the session's GTID up: its words are said under another. */
function beside({ facts }: Inspection, step: Step): Step {
  const gtidNext = 'gtidNext' in facts ? facts.gtidNext : null;
  if (gtidNext === null || step.do !== 'user' || step.brings !== 'words') return step;
  const { commands, at } = underOwnGtid(gtidNext, step.commands);
  return at === 0 ? step : { ...step, brings: 'aside', commands };
}

/** Some tables are held, the others are as they were: so would a native drop have ended there. */
function endedBefore(
  request: DropRequest,
  others: readonly number[],
  error: ErrPacket,
): Extract<Step, { do: 'answer' }> {
  if (SAME_AS_DROP.has(error.errno)) return answerWith(error);
  return holdFailed(namingOnly(request, others), error);
}

/** What a RENAME says where the session holds LOCK TABLES: 1192 where it takes none then. */
const UNDER_LOCKS: ReadonlySet<number> = new Set([1099, 1100, 1192]);

function isUnderLocks({ kinds, intent }: Inspection, answers: Answers): boolean {
  const { probe, rename, mayMove } = answers;
  if (kinds.includes('unlocked') || (intent?.lockedTables ?? []).length > 0) return true;
  return [probe, rename, mayMove].some(
    (said) => said?.kind === 'err' && UNDER_LOCKS.has(said.errno),
  );
}

/** What was moved, or the step to be done. */
function underLocks(
  request: DropRequest,
  inspection: Inspection,
  moves: readonly Move[],
  answers: Answers,
): Step | Moved {
  const { intent, kinds, facts } = inspection;
  const { probe, rename, mayMove, locks, rounds, used } = answers;
  assert(intent !== null, 'without an intent nothing is moved');
  // What came before the drop, unanswered then, may have changed them.
  if (intent.lockedTables !== null && locks === null) return { do: 'locks' };
  const names = inspection.names.flatMap((name, index) => {
    const seen = intent.tables[index];
    return kinds[index] === 'temporary' || seen === undefined ? [] : [{ name, seen }];
  });
  const foldsCase = intent.lowerCaseTableNames !== 0;
  const gtidNext = 'gtidNext' in facts ? facts.gtidNext : null;
  const drop = { request, names, moves, used, gtidNext, foldsCase, endsTheDrop };
  const next = nextUnderLocks({ ...drop, locks: locks?.known ?? null }, rounds);
  switch (next.kind) {
    case 'session': {
      const isFirst =
        [probe, rename, mayMove].every((said) => said === null) && rounds.length === 0;
      const commands = [...(isFirst ? closing(inspection) : []), ...next.commands];
      return { do: 'round', commands, renames: next.renames };
    }
    case 'used':
      return { do: 'used' };
    case 'answer':
      return answerWith(next.error);
    case 'denied':
      if (mayNotDrop(next.error)) return deniedDrop(request, inspection, next.error, answers);
      return refuseLocked(request);
    case 'alias':
      return refuseLocked(request);
    case 'left':
      return again('the session had a table locked under an alias');
    case 'moved': {
      const { ok, count, failed, keepsLocks } = next;
      if (count === 0 && failed?.errno === 1142) {
        if (mayNotDrop(failed)) return deniedDrop(request, inspection, failed, answers);
        return refuseLocked(request);
      }
      if (count === 0 && failed !== null) return renameFailed(request, failed);
      const others = moves.slice(count).map(({ index }) => index);
      const ended = failed === null ? null : endedBefore(request, others, failed);
      return { ok, moves: moves.slice(0, count), failed: ended, keepsLocks };
    }
  }
}

/** The RENAME ended the transaction and says so; the notes are those of the last statement. */
function okOfBoth(rename: OkPacket, words: OkPacket): OkPacket {
  const { warnings } = words;
  return { ...rename, warnings, payload: okWithWarnings(rename, warnings) };
}

function heldTable(moved: Move, relocations: readonly Relocation[]): HeldTable[] {
  const { holdName } = moved;
  const { id, schema } = moved.seen;
  const relocation = relocations.find((candidate) => candidate.id === id);
  if (relocation === undefined) {
    return [{ id, holdSchema: schema, holdName, relocated: false, failure: 'not tried' }];
  }
  switch (relocation.outcome) {
    case 'moved': {
      // Its name may say another due time by now.
      const { holdSchema, holdName: name, failure = null } = relocation;
      return [{ id, holdSchema, holdName: name, relocated: failure === null, failure }];
    }
    case 'failed':
      return [{ id, holdSchema: schema, holdName, relocated: false, failure: relocation.failure }];
    case 'put-back':
      return [];
  }
}

/** The OK of the session where the service has renamed in the user's stead. */
function notRenamed(
  request: DropRequest,
  inspection: Inspection,
  groups: readonly (readonly Move[])[],
  error: ErrPacket,
  answers: Answers,
): Step | OkPacket {
  if (error.errno === CLOSED_SCHEMA) {
    return closedSchema(request, inspection, error, answers) ?? renameFailed(request, error);
  }
  if (error.errno === LOG_TABLE) return logTable(answers);
  const isForKey = error.errno === NOT_UNIQUE && !hasGtidNext(inspection);
  if (error.errno !== 1142 && !isForKey) return renameFailed(request, error);
  // What fails for a key has come past the rights on all of them.
  const wasAsked = isForKey || isGranted(inspection, error, answers);
  if (mayNotDrop(error) && !wasAsked) return deniedDrop(request, inspection, error, answers);
  const { mayDrop } = answers;
  const ended = mayDrop === null ? null : probeEnds(request, inspection, mayDrop, answers);
  if (ended !== null) return ended;
  if (hasGtidNext(inspection)) {
    const cause = 'the GTID is the session’s own';
    return refuse(new UndropError('UNDROP_PRIVILEGES', { tables: sentenceStart(request), cause }));
  }
  const moves = groups.flat();
  // A RENAME names the first table alone whose rights are missing.
  const isJudged = wasAsked || moves.length === 1;
  const left = groups.slice(renamedInStead(answers)).flat();
  const next = nextInStead(answers, {
    isJudged,
    renames: groups.length,
    tables: turnTables(left),
  });
  const others = namingOnly(
    request,
    left.map(({ index }) => index),
  );
  switch (next.kind) {
    case 'own': {
      const commands = left.map(({ name }) => {
        return { kind: 'prepare' as const, text: ownLockSql(name, request) };
      });
      return { do: 'user', brings: 'ownLock', commands };
    }
    case 'wait':
      return turnStep(request, left[next.at]);
    case 'ask':
    case 'clean': {
      const texts = textsInStead(next.kind, request, left);
      const commands = texts.map((text) => ({ kind: 'query' as const, text }));
      return { do: 'user', brings: BROUGHT_IN_STEAD[next.kind], commands };
    }
    case 'rename':
      return steadStep(inspection, groups[renamedInStead(answers)] ?? [], next.killAfterMs);
    case 'renamed':
      return next.ok;
    case 'gone':
      return again('a table was gone when it was to be renamed');
    case 'error':
      return next.error.errno === 1142
        ? answerWith(next.error)
        : renameFailed({ ...request, ...others }, next.error);
    case 'crowded': {
      const [tables, times] = [sentenceStart(others), answers.stead.length];
      return refuse(new UndropError('UNDROP_CHANGED_MEANWHILE', { tables, times }));
    }
    case 'denied':
    case 'failed': {
      const code = next.kind === 'denied' ? 'UNDROP_PRIVILEGES' : 'UNDROP_HOLD_FAILED';
      const { cause } = next;
      return refuse(new UndropError(code, { tables: sentenceStart(others), cause }));
    }
  }
}

function turnTables(all: readonly Waited[]): readonly TurnTable[] {
  return all.map(({ name }) => name);
}

/** The session waits for the lock of one table. */
function turnStep(request: DropRequest, move: Waited | undefined): Step {
  assert(move !== undefined, 'a table has its turn');
  const text = turnSql(move.name, { ...request, wait: waitSeconds(request) });
  return { do: 'user', brings: 'turn', commands: [{ kind: 'query', text }] };
}

const BROUGHT_IN_STEAD = { ask: 'mayDrop', clean: 'cleaned' } as const;

function textsInStead(
  kind: keyof typeof BROUGHT_IN_STEAD,
  request: DropRequest,
  moves: readonly Waited[],
): readonly Buffer[] {
  switch (kind) {
    case 'ask':
      return moves.map(({ name }) => probeSql(name, request));
    case 'clean':
      // A KILL QUERY hits one of them, and the drop is done.
      return [cleanSql(request.groupId), cleanSql(request.groupId)];
  }
}

/** Of MariaDB's WAIT n and NOWAIT. */
function waitSeconds({ statement: { wait } }: DropRequest): string | null {
  return wait?.kind === 'nowait' ? '0' : (wait?.text ?? null);
}

function steadStep(inspection: Inspection, moves: readonly Move[], killAfterMs: number): Step {
  const { facts } = inspection;
  assert('logged' in facts, 'facts were read');
  const { logged, checksForeignKeys } = facts;
  const tables = moves.map(({ seen: { id, schema, table }, holdName }) => {
    return { id, schema, table, holdName };
  });
  return { do: 'stead', tables, logged, checksForeignKeys, killAfterMs };
}

function renameFailed(request: DropRequest, error: ErrPacket): Step {
  if (SAME_AS_DROP.has(error.errno)) return answerWith(error);
  switch (error.errno) {
    case 1017: // MySQL 5.6 for a table that is missing
    case 1146:
      return again('a table was gone when it was to be renamed');
    case 1099:
    case 1100:
    case 1192:
      return refuseLocked(request);
    default:
      return holdFailed(request, error);
  }
}

type Naming = Pick<DropRequest, 'statement'>;

/** Of the names of the statement those at `indices`. */
function namingOnly({ statement }: DropRequest, indices: readonly number[]): Naming {
  const names = statement.names.filter((_name, index) => indices.includes(index));
  return { statement: { ...statement, names } };
}

function refuseLocked(request: DropRequest): Extract<Step, { do: 'answer' }> {
  return refuse(new UndropError('UNDROP_LOCKED_TABLES', { tables: sentenceStart(request) }));
}

function holdFailed(request: Naming, error: ErrPacket): Extract<Step, { do: 'answer' }> {
  const tables = sentenceStart(request);
  return refuse(new UndropError('UNDROP_HOLD_FAILED', { tables, cause: causeOf(error) }));
}

function causeOf({ errno, message }: ErrPacket): string {
  return `${errno} ${message.toString()}`;
}

function inFull(said: Result, request: DropRequest, blocked: readonly BlockedParent[]): Result {
  const [parent] = blocked;
  return parent === undefined ? said : parentErrorInFull(said, request.server, parent);
}

function namesOfBlocked(
  { names, intent }: Inspection,
  blocked: readonly BlockedParent[],
): readonly QualifiedName[] {
  return names.filter((_name, index) =>
    blocked.some(({ table }) => table === intent?.tables[index]),
  );
}

/**
 * The words for every name that is no base table, by statements that can't destroy one. Null where
 * they were said.
 */
function wordsStep(
  request: DropRequest,
  inspection: Inspection,
  { named, blocked }: Pick<Extract<Decision, { kind: 'words' }>, 'named' | 'blocked'>,
  answers: Answers,
): Step | null {
  const { server } = request;
  const words = answers.aside ?? answers.words;
  const [parent] = blocked;
  if (words !== null) {
    if (parent === undefined || !hasGuards(server) || !isGuardMissing(words)) return null;
    if (answers.unguarded !== null) return null;
    const text = parentErrorSql(server, parent);
    return { do: 'user', brings: 'unguarded', commands: [{ kind: 'query', text }] };
  }
  const said = wordsFor(request, inspection, { named, blocked });
  const commands = said.texts.map((text) => ({ kind: 'query' as const, text }));
  return { do: 'user', brings: 'words', commands };
}

function wordsFor(
  request: DropRequest,
  { intent }: Inspection,
  { named, blocked }: Pick<Extract<Decision, { kind: 'words' }>, 'named' | 'blocked'>,
): Said {
  const [parent] = blocked;
  const parentAt = parent === undefined ? -1 : (intent?.tables.indexOf(parent.table) ?? -1);
  return sayWords(request, { names: named, blocked, parentAt });
}

/** The server has one note where a native drop has several. */
function counting(said: Result, notes: number | undefined): Result {
  if (said.kind !== 'ok' || notes === undefined || said.warnings === 0) return said;
  return { ...said, warnings: notes, payload: okWithWarnings(said, notes) };
}

/** Of schemas that are the server's own: nobody may rename there. */
const CLOSED_SCHEMA = 1044;

/** Null where there is nothing that could be dropped, which is to be said. */
function closedSchema(
  request: DropRequest,
  inspection: Inspection,
  error: ErrPacket,
  { rights, words }: Answers,
): Step | null {
  const names = inspection.names.filter((_name, index) => inspection.kinds[index] !== 'temporary');
  if (rights === null) {
    const text = dropRightsSql(names, { ...request, wait: waitSeconds(request) });
    return { do: 'user', brings: 'rights', commands: [{ kind: 'query', text }] };
  }
  const isDenied = rights.kind === 'err' && [1142, CLOSED_SCHEMA].includes(rights.errno);
  if (!isDenied && engineHas(request, inspection)) return null;
  if (!isDenied) return renameFailed(request, error);
  const inEngine = inspection.intent?.tables.find(({ schema }) => schema === 'performance_schema');
  // MySQL 8 and later: of what isn't there it says so.
  const isAbsent = inspection.intent?.tables.every(
    ({ schema }, index) => schema !== 'performance_schema' || inspection.kinds[index] === 'missing',
  );
  if (inEngine !== undefined && isAbsent === true && isAtomicDrop(request)) return null;
  if (rights.errno === 1142 || inEngine === undefined) return answerWith(rights);
  const [said] = /'[^']*'@'[^']*'/.exec(rights.message.toString()) ?? [];
  const user = said ?? accountOf(inspection);
  // MySQL: there the right to drop is nobody's.
  if (words !== null) return answerWith(words);
  const message = `DROP command denied to user ${user} for table '${inEngine.table}'`;
  const text = signalSql({ errno: 1142, sqlState: '42000', message });
  return { do: 'user', brings: 'words', commands: [{ kind: 'query', text }] };
}

/** As the server says it, whose texts can't be read in every charset. */
function accountOf({ facts }: Inspection): string {
  const account = 'account' in facts ? facts.account : '';
  const at = account.lastIndexOf('@');
  return `'${account.slice(0, Math.max(at, 0))}'@'${account.slice(at + 1)}'`;
}

function engineHas({ server }: DropRequest, { intent }: Inspection): boolean {
  return intent?.tables.some((table) => isOfEngine(table, server)) === true;
}

/**
 * Of MySQL since 8.4, for the parent of a foreign key to columns that aren't unique: only a session
 * with restrict_fk_on_non_standard_key off may rename it, and any may drop it.
 */
const NOT_UNIQUE = 6125;

/** A log table while it is written can't be renamed alone (1581), and not be dropped. */
const LOG_TABLE = 1581;

function logTable({ words }: Answers): Step {
  if (words !== null) return answerWith(words);
  const message = "You cannot 'DROP' a log table if logging is enabled";
  const text = signalSql({ errno: 1580, sqlState: 'HY000', message });
  return { do: 'user', brings: 'words', commands: [{ kind: 'query', text }] };
}

/** The RENAME was denied, and the right to drop may be among those that are missing. */
export function mayNotDrop(error: ErrPacket): boolean {
  if (error.errno !== 1142) return false;
  const rights = deniedRights(error);
  return rights === null || rights.denied.includes('DROP');
}

/** The RENAME came past the right to drop, and what else is missing can be read. */
function saysMayDrop(result: Result): boolean {
  if (result.kind !== 'err' || !isAllowed(result)) return false;
  return result.errno !== 1142 || !mayNotDrop(result);
}

/** What can't be read may be anything; then it is the answer about the rights that counts. */
function isGranted(
  inspection: Inspection,
  error: ErrPacket,
  { rights, readable }: Answers,
): boolean {
  if (deniedRights(error) !== null) return false;
  if (readable !== null && saysMayDrop(readable)) return true;
  const isAll = inspection.names.every((_name, index) => !isSeenAsView(inspection, index));
  return isAll && isNoView(rights);
}

/** The words of DROP itself; of views, which these words could drop, made of the RENAME's. */
function deniedDrop(
  request: DropRequest,
  inspection: Inspection,
  error: ErrPacket,
  answers: Answers,
): Step {
  const { rights } = answers;
  const tables = inspection.names.filter((_name, index) => !isSeenAsView(inspection, index));
  // A temporary table may be dropped by whoever has made it.
  const names = inspection.names.filter(
    (name, index) => tables.includes(name) && inspection.kinds[index] !== 'temporary',
  );
  if (names.length === 0) return sayDenied(inspection, error, answers);
  if (rights === null) {
    const text = dropRightsSql(names, { ...request, wait: waitSeconds(request) });
    return { do: 'user', brings: 'rights', commands: [{ kind: 'query', text }] };
  }
  if (rights.kind === 'err' && rights.errno === 1142) {
    // The first that is denied is named; it may be a view.
    const [at, atTable] = [error, rights].map((said) => placeOfDenied(said, inspection));
    const isView = at !== undefined && atTable !== undefined && at >= 0 && at < atTable;
    return isView ? sayDenied(inspection, error, answers) : answerWith(rights);
  }
  if (deniedRights(error) === null && answers.readable === null) {
    return renameFailed(request, rights.kind === 'err' ? rights : error);
  }
  if (tables.length < inspection.names.length) return sayDenied(inspection, error, answers);
  return again('the right to drop has come');
}

/** Which name of the statement an error ends with, in the quotes of either server; -1: none. */
function placeOfDenied({ message }: ErrPacket, { names }: Inspection): number {
  const text = message.toString('latin1');
  return names.findIndex(({ table }) => {
    const name = Buffer.from(table).toString('latin1');
    return text.endsWith(`'${name}'`) || text.endsWith(`\`${name}\``);
  });
}

function isSeenAsView({ kinds, intent }: Inspection, index: number): boolean {
  return kinds[index] === 'view' || intent?.tables[index]?.kind === 'view';
}

/**
 * "DROP, ALTER command denied to …": the list is never translated, the sentence may be. Null where
 * it can't be read: under character_set_results=utf16 and the like a text ends at its first NUL.
 */
function deniedRights(error: ErrPacket): { readonly denied: string; readonly at: number } | null {
  const match = /\b(DROP|ALTER|CREATE|INSERT)(, ?(DROP|ALTER|CREATE|INSERT))*\b/.exec(
    error.message.toString('latin1'),
  );
  return match === null ? null : { denied: match[0], at: match.index };
}

/** Raised in the session, so that SHOW WARNINGS has it too. */
function sayDenied(inspection: Inspection, error: ErrPacket, answers: Answers): Step {
  const { readable } = answers;
  const said = inWordsOfDrop(error);
  if (readable?.kind !== 'err') return raised(said, inspection, answers);
  const signal = signalOf(inWordsOfDrop(readable), 'utf8');
  return raised(said, inspection, answers, signal);
}

/** The answer is `said`; SHOW WARNINGS has it too, where it can be raised. */
function raised(
  said: ErrPacket,
  { facts }: Inspection,
  { words }: Answers,
  signal = signalOf(said, 'resultsCharset' in facts ? facts.resultsCharset : null),
): Step {
  if (words !== null || signal === null) return answerWith(said);
  const text = signalSql(signal);
  return { do: 'user', brings: 'words', commands: [{ kind: 'query', text }] };
}

/** The same error as DROP gives it: it names only the right that DROP needs. */
export function inWordsOfDrop(error: ErrPacket): ErrPacket {
  const rights = deniedRights(error);
  if (rights === null) return error;
  const message = Buffer.concat([
    error.message.subarray(0, rights.at),
    Buffer.from('DROP'),
    error.message.subarray(rights.at + rights.denied.length),
  ]);
  const { errno, sqlState } = error;
  return { ...error, message, payload: encodeErr({ errno, sqlState, message }) };
}

/** The client's text was prepared to be judged; give the handle back with the next write. */
function closing({ judge }: Inspection): UserCommand[] {
  return judge?.kind === 'prepared' ? [{ kind: 'close', statementId: judge.statementId }] : [];
}

function again(
  because: string,
  otherwise: UndropError | null = null,
): Extract<Step, { do: 'again' }> {
  return { do: 'again', because, otherwise };
}

function answerWith(result: Result): Extract<Step, { do: 'answer' }> {
  assert(result.kind === 'ok' || result.kind === 'err', 'a DROP answers OK or ERR');
  return { do: 'answer', payload: result.payload, held: [], refusal: null };
}

/** A refusal of our own: an ERR with the error's code in front, nothing held. */
export function refuse(error: UndropError): Extract<Step, { do: 'answer' }> {
  const { errno, sqlState } = error.entry;
  const message = Buffer.from(`${error.code}: ${error.message}`);
  const payload = encodeErr({ errno, sqlState, message });
  return { do: 'answer', payload, held: [], refusal: error };
}

function fullName({ schema, table }: { readonly schema: string; readonly table: string }): string {
  return `${schema}.${table}`;
}

/** "Table a was" or "Tables a, b were", the start of a sentence that goes on with "not dropped". */
export function sentenceStart(request: Naming): string {
  const names = request.statement.names.map(({ schema, table }) => {
    const parts = schema === null ? [table] : [schema, table];
    return parts.map((part) => Buffer.from(part).toString()).join('.');
  });
  const [shown, more] = [names.slice(0, 5).join(', '), names.length - 5];
  const list = more > 0 ? `${shown} and ${more} more` : shown;
  return names.length === 1 ? `Table ${list} was` : `Tables ${list} were`;
}
