/**
 * Runs a TRUNCATE, from top to bottom. The user session checks the DROP privilege and waits for the
 * metadata lock; the service account records an intent, creates an empty copy, and renames: the
 * table gets its hold name, and the copy its name in the same atomic statement.
 *
 * Invariants: no statement on the user session empties a base table of a user. A table is renamed
 * only if its intent is in the ledger and a copy exists for it; OK is sent only after that. If
 * another session altered the table between the copy and the RENAME, the next copy is made like the
 * table that is held, and the first copy is held, too; so neither a row nor an ALTER is lost.
 */
import { quoteIdentifier, quoteKeyName } from '../../connections/sql.js';
import { assert, UndropError } from '../../errors.js';
import type { ForeignKey } from '../../ledger/detached/detached.js';
import type { ForeignKeyName, IntentTable } from '../../ledger/write.js';
import { formatHoldName, parseHoldName, type QualifiedTable } from '../../names/names.js';
import { SERVICE_RENAME_TRIES } from '../../tries.js';
import { decodeErr } from '../../wire/response.js';
import * as ER from '../../wire/server-errors.js';
import type { OneTable } from '../steps/inspect-names.js';
import { inspectOneTable, refusalBeforeInspection } from '../steps/inspect-names.js';
import { takeByService } from '../steps/rename/take-by-service.js';
import * as user from '../steps/session/user-session.js';
import * as steps from '../steps/world.js';
import { answerWith, askText, query, refuse, sentenceStart } from '../steps/world.js';
import type { CopyPort, NotMade } from './copy-port.js';

/**
 * The table got a trigger since the last read, which can't go to another schema with it. Or a held
 * table still has a foreign key of the same name, which is about to be detached: MariaDB and MySQL
 * 5.6 report that as an existing table, but hold names are unique.
 */
const PASSING: readonly number[] = [ER.TRG_IN_WRONG_SCHEMA, ER.FK_DUP_NAME, ER.TABLE_EXISTS_ERROR];

type End = steps.Answer | 'held' | 'changed';
type Tried = End | 'busy' | 'timeout';

/** Where a table that can't be held is emptied by the server. */
export interface Passing {
  /** Uncommitted rows of others count. */
  isEmpty(table: QualifiedTable): Promise<boolean>;
  /** `why`: continues the sentence "a table …". */
  said(request: steps.DropRequest, why: string): void;
}

/** A TRUNCATE, over all its tries. */
interface Truncating {
  readonly world: steps.World;
  readonly copies: CopyPort;
  /** Null: one that can't be held is refused. */
  readonly passing: Passing | null;
  readonly table: OneTable;
  /** The tables that got hold names, the oldest first. */
  readonly held: steps.HeldTable[];
  /** The fingerprint of the copy that has the table's name; null: none has. */
  liveFingerprint: string | null;
  /** The foreign keys for the next copy; null: those of the table. */
  keys: readonly ForeignKey[] | null;
  /** The session has locked the table by LOCK TABLES. */
  isLocked: boolean;
}

/** In these schemas the server empties its own counters, or nothing. */
const OF_THE_SERVER: readonly string[] = ['performance_schema', 'information_schema'];
/** The server's own, which its programs or people empty to fill them anew (time zones, logs). */
const ITS_TABLES =
  /^mysql\.(?:time_zone(?:_leap_second|_name|_transition|_transition_type)?|slow_log|general_log)$/;

export async function truncate(
  world: steps.World,
  { copies: copiesInLog, passing }: Ports,
  request: steps.DropRequest,
): Promise<steps.Reply> {
  const table = await inspectOneTable(world, request);
  if ('kind' in table) {
    const refusal = table.kind === 'again' ? null : table.refusal;
    const isByNature = passing !== null && refusal !== null && BY_NATURE.includes(refusal.code);
    return isByNature ? pass(world, request, { passing, why: refusal.message }) : table;
  }
  const { seenAs, schema } = table;
  const isOfServer =
    OF_THE_SERVER.includes(schema.toLowerCase()) || ITS_TABLES.test(`${schema}.${table.table}`);
  if (seenAs === 'temporary' || isOfServer) {
    return answerWith(await askText(world, user.truncateOwnSql(table.name, request)));
  }
  const it: Truncating = {
    ...{ world, copies: copiesInLog(table.facts.logged), table, passing },
    held: [],
    liveFingerprint: null,
    keys: null,
    isLocked: false,
  };
  const end = await takeByService<End>(world, request, {
    wait: () => waitForMetadataLock(it),
    take: (killAfterMs) => tryToSwap(it, killAfterMs),
  });
  return replyTo(it, end);
}

interface Ports {
  readonly copies: (logged: boolean) => CopyPort;
  readonly passing: Passing | null;
}

/** Refusals for what the session or the name is, not for what happens at the moment. */
const BY_NATURE: readonly string[] = [
  ...['UNDROP_NOT_DONE_YET', 'UNDROP_NOT_UNDERSTOOD', 'UNDROP_NAME_CHARSET', 'UNDROP_BAD_NAME'],
];

/** The server empties the table. */
async function pass(
  world: steps.World,
  request: steps.DropRequest,
  { passing, why }: { readonly passing: Passing; readonly why: string },
): Promise<steps.Answer> {
  const [name] = request.statement.names;
  assert(name !== undefined, 'it names one table');
  passing.said(request, why);
  // A prepared one has its names from its PREPARE.
  const isBound = request.isSyntaxChecked === true;
  const text = isBound ? user.truncateOwnSql(name, request) : request.text;
  return answerWith(await askText(world, Buffer.from(text)));
}

/** Waits for the table as long as the session's own settings allow. Null: it had its turn. */
async function waitForMetadataLock(it: Truncating): Promise<steps.Answer | null> {
  const { world } = it;
  const { name, request, seenAs } = it.table;
  const [own, turn] = await world.run([
    { kind: 'prepare', text: user.ownLockSql(name, request) },
    query(user.waitForLockSql(name, request)),
  ]);
  assert(turn?.kind === 'err', 'there is no such partition');
  if (turn.errno === ER.BAD_DB_ERROR) return user.raise(world, request, sayMissing(it.table));
  if (!ER.METADATA_LOCK_GRANTED.includes(turn.errno)) return answerWith(turn);
  if (seenAs === 'view') return user.raise(world, request, sayMissing(it.table));
  it.isLocked = own?.kind === 'err' && own.errno === ER.TABLE_NOT_LOCKED;
  return null;
}

/** A read by the service, and after it one RENAME. */
async function tryToSwap(it: Truncating, killAfterMs: number): Promise<Tried> {
  const { world, table, isLocked } = it;
  const { request, facts } = table;
  const own = { schema: table.schema, table: table.table };
  const { passing } = it;
  const isEmpty = passing !== null && world.isUnruled && (await passing.isEmpty(own));
  if (isEmpty) return pass(world, request, { passing, why: 'that is empty' });
  const recorded = await world.recordTargets(facts, [own]);
  const { intent, intentError, rulings } = recorded;
  if (intent === null) return refuse(intentError);
  const refusal = refusalBeforeInspection({ request, facts, kinds: ['base'], rulings }, intent);
  if (refusal !== null) return refuse(refusal);
  const [seen] = intent.tables;
  if (seen?.kind === 'view') return user.raise(world, request, sayMissing(table));
  // It disappeared meanwhile.
  if (seen === undefined || seen.holdUntil === null || seen.engine === null) return 'busy';
  const { hasBackupLock, utcNow } = intent;
  const { checksForeignKeys } = facts;
  const why = whyNotTruncated(seen, { checksForeignKeys, hasBackupLock, isLocked });
  if (why !== null && 'how' in why) return notHeld(it, why);
  if (why !== null && 'child' in why) {
    const clause = await it.copies.clauseOf({ ...why.child, id: seen.id }, why.child.name);
    return user.raise(world, request, parentSignal(why.child, clause));
  }
  if (why !== null) return user.raise(world, request, why);
  const { id, holdUntil } = seen;
  const held = { id, holdName: formatHoldName({ state: 'HOLD', id, due: holdUntil }) };
  return swap(it, { seen, held, utcNow, killAfterMs });
}

/** The copy is made like the held table, if there is one. */
async function swap(
  it: Truncating,
  how: {
    readonly seen: IntentTable;
    readonly held: Pick<steps.HeldTable, 'id' | 'holdName'>;
    readonly utcNow: Date;
    readonly killAfterMs: number;
  },
): Promise<Tried> {
  const { world, copies, held } = it;
  const { logged, checksForeignKeys } = it.table.facts;
  const { id, schema, table } = how.seen;
  const { utcNow, killAfterMs } = how;
  const last = held.at(-1);
  const own = { schema, table };
  const source = last === undefined ? own : { schema: last.holdSchema, table: last.holdName };
  const hasTriggers = how.seen.triggers.length > 0;
  const request = { id, source, own, keys: it.keys, utcNow, hasTriggers };
  const copy = await copies.makeCopy(request);
  if (copy.kind !== 'copy') return notSwapped(it, copy);
  const holdSchema = copy.isLater ? schema : copy.schema;
  const { holdName } = how.held;
  const tables = [{ id, schema, table, holdName, holdSchema, ghost: copy }];
  const rename = { tables, logged, checksForeignKeys, killAfterMs, isLast: true };
  const outcome = await world.take(rename);
  if (outcome.kind !== 'renamed') {
    await copies.dropCopy(copy);
    return notSwapped(it, outcome);
  }
  const place = { id, schema: holdSchema, table: holdName };
  const isFree = outcome.isFree === true;
  const { now, ...heldAt } = await copies.freeHeld({ place, own, keys: copy.keys, isFree });
  held.push({ id, ...heldAt, relocated: heldAt.pendingWork === null });
  if (now === null) return 'held';
  // Keep keys that have disappeared: they are detached briefly while their parent is being held, or
  // while another TRUNCATE adds them.
  const wasAltered =
    now.added.length > 0 || now.fingerprint !== (it.liveFingerprint ?? copy.fingerprint);
  it.liveFingerprint = copy.fingerprint;
  it.keys = [...copy.keys, ...now.added];
  if (!wasAltered) return 'held';
  // A second ALTER can't be followed.
  return held.length === 1 ? 'busy' : 'changed';
}

/** `how`: continues the sentence "a table that is dropped by TRUNCATE …". */
interface NotHeld {
  readonly how: string;
  readonly instead?: string;
}

async function notHeld(
  { world, table, passing }: Truncating,
  { how, instead = INSTEAD }: NotHeld,
): Promise<steps.Answer> {
  const { request, schema, table: name } = table;
  if (passing !== null) return pass(world, request, { passing, why: how });
  const tables = `Table ${schema}.${name} was not emptied and`;
  const params = { tables, how: `by TRUNCATE ${how}`, instead };
  return refuse(new UndropError('UNDROP_NOT_DONE_YET', params));
}

async function notSwapped(
  it: Truncating,
  why: NotMade | Exclude<steps.ServiceRenameOutcome, { kind: 'renamed' }>,
): Promise<Tried> {
  const { world, table } = it;
  const tables = sentenceStart(table.request);
  switch (why.kind) {
    case 'gone':
      return 'busy';
    case 'busy':
      return why.isTimeout === true ? 'timeout' : 'busy';
    case 'versioned':
      return user.raise(world, table.request, VERSIONED);
    case 'none':
      return notHeld(it, { how: why.why });
    case 'denied':
      return refuse(new UndropError('UNDROP_PRIVILEGES', { tables, cause: why.cause }));
    case 'unserved': {
      const step = `truncate ${table.schema}.${table.table}`;
      const cause = `${why.cause}; the table is unchanged: run the statement again`;
      return refuse(
        new UndropError('UNDROP_SERVICE_FAILED', { step, server: 'the server', cause }),
      );
    }
    case 'failed':
      if ('errno' in why && PASSING.includes(why.errno ?? 0)) return 'busy';
      return refuse(new UndropError('UNDROP_HOLD_FAILED', { tables, cause: why.cause }));
  }
}

async function replyTo({ world, table, held }: Truncating, end: End): Promise<steps.Answer> {
  const { request } = table;
  const bound = held.find(({ pendingWork }) => pendingWork?.binds !== undefined)?.pendingWork;
  if (bound !== undefined && bound !== null) {
    const tables = `The rows of ${table.schema}.${table.table} are`;
    return { ...refuse(new UndropError('UNDROP_KEYS_LEFT', { tables, why: bound.text })), held };
  }
  if (end === 'held') return { ...answerWith(await user.clean(world, request)), held };
  if (held.length === 0) {
    if (end !== 'changed') return end;
    return refuse(steps.changedMeanwhile(sentenceStart(request), SERVICE_RENAME_TRIES));
  }
  // The emptied table has been dropped since, with the ALTER that it lacked.
  if (end !== 'changed' && saysGone(end))
    return { ...answerWith(await user.clean(world, request)), held };
  const kept = await world.keepLonger(held);
  const places = kept.map(({ holdSchema, holdName }) => `${holdSchema}.${holdName}`).join(', ');
  const tables = `Table ${table.schema}.${table.table} was emptied and lacks an ALTER TABLE of another session, which is held with the rows as ${places}; rows that were inserted since were`;
  return { ...refuse(steps.changedMeanwhile(tables, kept.length)), held: kept };
}

function saysGone({ refusal, payload }: steps.Answer): boolean {
  return refusal === null && ER.ABSENT_TABLE.includes(decodeErr(payload).errno);
}

// ── refusals ─────────────────────────────────────────────────────────────────────────────────────
// Why a table isn't truncated, by the facts of the service: the server's own error if it would not
// empty the table either, else a refusal of undrop. Pure.

interface Context {
  readonly checksForeignKeys: boolean;
  readonly hasBackupLock: boolean;
  /** The session has locked the table by LOCK TABLES. */
  readonly isLocked: boolean;
}

/** A signal: the server's own error. Null: no reason. */
function whyNotTruncated(
  seen: IntentTable,
  { checksForeignKeys, hasBackupLock, isLocked }: Context,
): NotHeld | user.Signal | { readonly child: ForeignKeyName } | null {
  const { engine, kind } = seen;
  if (kind === 'sequence') {
    const message = `Storage engine SEQUENCE of the table ${inFull(seen)} doesn't have this option`;
    return { errno: ER.ILLEGAL_HA, sqlState: 'HY000', message };
  }
  // A held child was dropped before, and is about to lose its key.
  const child = seen.foreignKeysIn.find(({ table }) => parseHoldName(table) === null);
  if (child !== undefined && checksForeignKeys) return { child };
  if (engine?.toLowerCase() !== 'innodb') return { how: 'of another engine than InnoDB' };
  if (hasBackupLock) return { how: 'beside LOCK INSTANCE FOR BACKUP' };
  return isLocked ? { how: 'under LOCK TABLES', instead: 'Run UNLOCK TABLES first.' } : null;
}

const INSTEAD = 'Drop the table, which is held, and create it anew; or ask an operator of undrop.';

export const VERSIONED: user.Signal = {
  errno: ER.VERS_NOT_SUPPORTED,
  sqlState: 'HY000',
  message: 'System-versioned tables do not support TRUNCATE TABLE',
};

function sayMissing({ schema, table }: QualifiedTable): user.Signal {
  return {
    errno: ER.NO_SUCH_TABLE,
    sqlState: '42S02',
    message: `Table '${schema}.${table}' doesn't exist`,
  };
}

function parentSignal({ schema, table, name }: ForeignKeyName, clause: string): user.Signal {
  const what = `${inFull({ schema, table })}, CONSTRAINT ${quoteKeyName(name)}${clause}`;
  const message = `Cannot truncate a table referenced in a foreign key constraint (${what})`;
  return { errno: ER.TRUNCATE_ILLEGAL_FK, sqlState: '42000', message };
}

function inFull({ schema, table }: QualifiedTable): string {
  return `${quoteIdentifier(schema)}.${quoteIdentifier(table)}`;
}
