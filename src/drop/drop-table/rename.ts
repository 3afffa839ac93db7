/**
 * Renames the base tables of a drop to their hold names. The service account does that, straight
 * into the recycle schema, after the server has confirmed in the user's session that the user may
 * drop them, and has waited there for the locks of others. Tables with foreign keys or triggers,
 * and all tables of a session with LOCK TABLES, are renamed in their own schema first, by the
 * session itself: by one atomic RENAME; MariaDB takes several if one of them has triggers
 * (renameGroups). In a session that holds LOCK TABLES, servers before MySQL 8.0.13 take an ALTER of
 * each.
 *
 * Invariant: a table is renamed only for a user with the right to drop it.
 */
import { assert, UndropError } from '../../errors.js';
import { hasForeignKeys } from '../../ledger/write.js';
import { parseHoldName } from '../../names/names.js';
import { SERVICE_RENAME_TRIES, SERVICE_RENAME_TRIES_FIRST } from '../../tries.js';
import { type ErrPacket, type OkPacket, okWithWarnings } from '../../wire/response.js';
import * as ER from '../../wire/server-errors.js';
import type { Seen } from '../steps/inspect-names.js';
import { takeByService } from '../steps/rename/take-by-service.js';
import * as user from '../steps/session/user-session.js';
import * as steps from '../steps/world.js';
import { type Drop as Decided, type Move, namesToAsk, renameGroups } from './decide.js';

/** The renamed tables. */
export interface Moved {
  readonly kind: 'moved';
  /** Null: the answer is `failed`. */
  readonly ok: OkPacket | null;
  readonly moves: readonly Move[];
  /** The answer if it ended before the last. */
  readonly failed: steps.Answer | null;
  /** The session has them locked by LOCK TABLES. */
  readonly keepsLocks: boolean;
  /** The service has renamed all of them, and no foreign key was on any of them after that. */
  readonly isFree: boolean;
}

interface Drop extends Decided {
  readonly world: steps.World;
  /** By a check while the intents were recorded; null: there was none. */
  readonly checked: DropCheck | null;
}

type Group = readonly Move[];
/**
 * Nothing was renamed. `locked`: the session is under LOCK TABLES; `alone`: a table needs a
 * statement of its own (drop/steps/rename/rename-by-service.ts).
 */
type NotRenamed = 'locked' | 'alone';
/** For `isFree`, of the service's own, see `Moved`. */
type Done = OkPacket & { readonly isFree?: boolean };
type Renamed = Done | steps.Reply | NotRenamed;

const UNLOCK_SQL = Buffer.from('UNLOCK /* undrop locks */ TABLES');

export async function rename(
  world: steps.World,
  decided: Decided,
  { moves, checked }: { readonly moves: Group } & Pick<Drop, 'checked'>,
): Promise<Moved | steps.Reply> {
  const drop: Drop = { ...decided, world, checked };
  const { server } = drop.request;
  const isMoved = (schema: string, table: string) =>
    moves.some(({ seen }) => seen.schema === schema && seen.table === table);
  // MySQL 8.0.13 and later; in other sessions under LOCK TABLES the RENAME fails.
  const keepsLocks = drop.intent.lockedTables?.some((one) => !isMoved(one.schema, one.table));
  if (keepsLocks && moves.some(({ seen }) => hasForeignKeys(seen))) {
    const ended = await user.askToDrop(drop.world, drop.request, namesToAsk(drop));
    return ended ?? lockedTables(drop, HAS_KEYS);
  }
  const isTriggered = ({ seen }: Move) => server.flavour === 'mariadb' && seen.triggers.length > 0;
  const groups = renameGroups(moves, isTriggered, isAway);
  if (groups.length > 1) {
    // The privileges on all of them, and their locks, come before the first RENAME.
    const names = moves.map(({ name }) => name);
    const ended = await user.askToDrop(world, drop.request, names);
    if (ended !== null) return ended;
  }
  const moved = await renameSequentially(drop, groups, renameGroup);
  if (moved === 'locked') return renameUnderLocks(drop, moves);
  if (moved === 'alone') return renameAlone(drop, moves);
  const knowsLocks = moved.kind === 'moved' && (drop.intent.lockedTables ?? []).length > 0;
  if (!knowsLocks) return moved;
  const locks = await world.locks();
  // Under a hold name it is a table that this session has dropped.
  const isLast = locks?.every(({ table }) => parseHoldName(table) !== null) === true;
  return isLast ? unlockAfterLast(world, moved) : { ...moved, keepsLocks: true };
}

/** A native drop takes one table after the other: an error leaves the first ones dropped. */
async function renameSequentially(
  drop: Drop,
  groups: readonly Group[],
  renameOne: (drop: Drop, group: Group) => Promise<Renamed>,
): Promise<Moved | steps.Reply | NotRenamed> {
  const all = groups.flat();
  const held: Move[] = [];
  let ok: OkPacket | null = null;
  let isFree = true;
  for (const group of groups) {
    const left = held.length === 0 ? drop : namingThose(drop, all.slice(held.length));
    const away = group.some(isAway) ? await renameAway(left, group) : null;
    const taken = away === null ? group.map(inPlace) : group;
    const said = away ?? (await renameOne(left, taken));
    if (said === 'locked' || said === 'alone') {
      assert(held.length === 0, 'under LOCK TABLES, or on MySQL, the first RENAME fails');
      return said;
    }
    if (said.kind !== 'ok') return held.length === 0 ? said : endedAfter(held, said, left);
    held.push(...taken);
    ok = said;
    isFree &&= said.isFree === true;
  }
  return { kind: 'moved', ok, moves: held, failed: null, keepsLocks: false, isFree };
}

function namingThose(drop: Drop, moves: Group): Drop {
  const indices = moves.map(({ index }) => index);
  const request = { ...drop.request, ...steps.namingOnly(drop.request, indices) };
  return { ...drop, request, checked: null };
}

/** The first ones are held, and stay so. */
function endedAfter(held: Group, ended: steps.Reply, { request }: Drop): Moved {
  const tables = steps.sentenceStart(request);
  const failed = ended.kind === 'answer' ? ended : steps.refuse(steps.changedMeanwhile(tables, 1));
  return { kind: 'moved', ok: null, moves: held, failed, keepsLocks: false, isFree: false };
}

async function renameGroup(drop: Drop, moves: Group): Promise<Renamed> {
  const { world, request } = drop;
  const text = user.renameSql(moves, { ...request, wait: user.waitText(request.statement) });
  const said = await world.rename(text);
  assert(said.kind === 'ok' || said.kind === 'err', 'RENAME answers OK or ERR');
  if (said.kind === 'ok') {
    return said.warnings === 0 ? said : withoutKeyWarnings(drop, moves, said);
  }
  if (ER.UNDER_LOCK_TABLES.includes(said.errno)) return 'locked';
  switch (said.errno) {
    case ER.CANT_RENAME_LOG_TABLE:
      return user.raise(world, request, LOG_TABLE);
    case ER.TOO_LONG_IDENT:
      return 'alone';
    case ER.TABLEACCESS_DENIED_ERROR:
    case ER.FK_NO_UNIQUE_INDEX_PARENT:
      return renameForUser(drop, moves);
    default:
      return renameFailed(drop, said);
  }
}

/** A log table that is being written can be neither renamed alone (1581) nor dropped. */
const LOG_TABLE = {
  errno: ER.BAD_LOG_STATEMENT,
  sqlState: 'HY000',
  message: "You cannot 'DROP' a log table if logging is enabled",
};

/** MySQL warns of keys to columns that aren't unique (6124), which DROP doesn't. */
async function withoutKeyWarnings(
  { world, request }: Drop,
  moves: Group,
  ok: OkPacket,
): Promise<OkPacket> {
  const hasKeys = moves.some(({ seen }) => hasForeignKeys(seen));
  if (!hasKeys) return ok;
  await steps.ask(world, user.cleanSql(request.dropId));
  return { ...ok, warnings: 0, payload: okWithWarnings(ok, 0) };
}

function renameFailed({ request }: Drop, error: ErrPacket): steps.Reply {
  if (user.SAME_AS_DROP.includes(error.errno) || error.errno === ER.DBACCESS_DENIED_ERROR) {
    return steps.answerWith(error);
  }
  if (ER.ABSENT_TO_RENAME.includes(error.errno)) return steps.again(GONE);
  return steps.holdFailed(request, error);
}

const GONE = 'a table disappeared before its RENAME';

/** In turn: an error leaves the first ones dropped. */
async function renameAlone(drop: Drop, moves: Group): Promise<Moved | steps.Reply> {
  const ended = await user.askToDrop(drop.world, drop.request, namesToAsk(drop));
  if (ended !== null) return ended;
  const groups = moves.map((move) => [inPlace(move)]);
  const moved = await renameSequentially(drop, groups, renameForUser);
  return moved === 'locked' || moved === 'alone' ? lockedTables(drop, TOO_LONG) : moved;
}

function isAway({ holdSchema, seen }: Move): boolean {
  return holdSchema !== seen.schema;
}

function inPlace(move: Move): Move {
  return { ...move, holdSchema: move.seen.schema };
}

/** Straight into the recycle schema; null: they go there from their own, by another RENAME. */
async function renameAway(drop: Drop, moves: Group): Promise<Done | steps.Reply | 'locked' | null> {
  const taken = await takeTables(drop, moves, SERVICE_RENAME_TRIES_FIRST);
  const { flavour, versionId } = drop.request.server;
  const mayRename = flavour === 'mysql' && versionId >= RENAMES_UNDER_LOCKS;
  const isLeft = taken instanceof UndropError || (taken === 'locked' && mayRename);
  return isLeft ? null : taken;
}

/** MySQL 8.0.13. */
const RENAMES_UNDER_LOCKS = 80_013;

/** Renames for a user who may drop the tables, but not rename them. */
async function renameForUser(drop: Drop, moves: Group): Promise<Renamed> {
  // An error of its own RENAME may be the session's last.
  const taken = await takeTables({ ...drop, checked: null }, moves, SERVICE_RENAME_TRIES);
  return taken instanceof UndropError ? steps.refuse(taken) : taken;
}

/**
 * The service renames what the server would drop for the user. An error: it can't, or others are
 * always faster.
 */
async function takeTables(
  { world, request, facts, checked }: Drop,
  moves: Group,
  triesMax: number,
): Promise<Done | steps.Reply | 'locked' | UndropError> {
  const names = moves.map(({ name }) => name);
  const tables = moves.map(({ seen: { id, schema, table }, holdName, holdSchema }) => {
    return { id, schema, table, holdName, holdSchema };
  });
  const { logged, checksForeignKeys } = facts;
  const how = { tables, logged, checksForeignKeys, isLast: moves.every(isAway) };
  const words = { tables: steps.sentenceStart(request) };
  let check = checked;
  const taken = await takeByService<Done | steps.Reply | 'locked' | UndropError>(world, request, {
    triesMax,
    async wait() {
      check ??= await checkDrop(world, request, { names, facts });
      const { ended, isLocked } = check;
      return ended ?? (isLocked ? 'locked' : null);
    },
    async take(killAfterMs) {
      const taking = world.take({ ...how, killAfterMs });
      const cleaning = check?.cleaned.then((ok) => ok ?? user.clean(world, request));
      assert(cleaning !== undefined, 'the session was asked before');
      check = null;
      // After a failure none of them is running.
      await Promise.allSettled([taking, cleaning]);
      const [outcome, ok] = await Promise.all([taking, cleaning]);
      switch (outcome.kind) {
        case 'renamed':
          return { ...ok, isFree: outcome.isFree === true };
        case 'busy':
          return outcome.isTimeout === true ? 'timeout' : 'busy';
        case 'gone':
          return steps.again(GONE);
        case 'denied':
          return new UndropError('UNDROP_PRIVILEGES', { ...words, cause: outcome.cause });
        case 'failed':
          return new UndropError('UNDROP_HOLD_FAILED', { ...words, cause: outcome.cause });
      }
    },
  });
  if (taken !== 'changed') return taken;
  return steps.changedMeanwhile(words.tables, triesMax);
}

/**
 * In a session that has LOCK TABLES, and can't rename: the server reports for each name whether it
 * is locked for writing, and then accepts an ALTER of each, which ends the lock of that table.
 */
async function renameUnderLocks(drop: Drop, moves: Group): Promise<Moved | steps.Reply> {
  const ended = await user.askToDrop(drop.world, drop.request, namesToAsk(drop));
  if (ended !== null) return ended;
  const groups = moves.map((move) => [inPlace(move)]);
  const moved = await renameSequentially(drop, groups, renameByAlter);
  assert(moved !== 'locked' && moved !== 'alone', 'an ALTER is done or fails');
  if (moved.kind !== 'moved' || moved.failed !== null || (await mayHaveLocks(drop.world)))
    return moved;
  return unlockAfterLast(drop.world, moved);
}

async function renameByAlter(drop: Drop, [move]: Group): Promise<OkPacket | steps.Reply> {
  assert(move !== undefined, 'each table has an ALTER of its own');
  const text = user.alterNameSql(move, drop.request);
  const said = await drop.world.rename(text);
  if (said.kind === 'ok') return said;
  assert(said.kind === 'err', 'ALTER answers OK or ERR');
  if (said.errno !== ER.TABLEACCESS_DENIED_ERROR) return renameFailed(drop, said);
  return lockedTables(drop, 'that needs the privileges ALTER, CREATE and INSERT on it');
}

const TOO_LONG =
  'the name of a key or a CHECK, which begins with the name of the table, would become too long';
/** The service can't detach a key of a table that the session keeps locked. */
const HAS_KEYS = 'its foreign keys cannot be detached before UNLOCK TABLES';

function lockedTables({ request }: Drop, why: string): steps.Answer {
  const tables = steps.sentenceStart(request);
  return steps.refuse(new UndropError('UNDROP_LOCKED_TABLES', { tables, why }));
}

const IN_USE_SQL = Buffer.from('SHOW /* undrop in-use */ OPEN TABLES WHERE In_use > 0');
const LOOKS_MAX = 3;

/**
 * These servers report only which tables are in use, not by whom. A table that the session has
 * locked, also for a view or a trigger, is in use at every check; others come and go. The service
 * can see tables that a view hides from the user.
 */
async function mayHaveLocks(world: steps.World): Promise<boolean> {
  let left: readonly string[] = [];
  for (let looks = 1; looks <= LOOKS_MAX; looks++) {
    const [own] = await steps.ask(world, IN_USE_SQL);
    const theirs = await world.locks();
    if (own?.kind !== 'rows' || theirs === null) return true;
    const seen = [
      ...own.rows.map(([schema, table]) => `session ${schema}.${table}`),
      ...theirs.map(({ schema, table }) => `service ${schema}.${table}`),
    ];
    left = looks === 1 ? seen : left.filter((name) => seen.includes(name));
    if (left.length === 0) return false;
  }
  return true;
}

/** After its last locked table a session leaves LOCK TABLES, as after a native drop. */
async function unlockAfterLast(session: steps.UserSession, moved: Moved): Promise<Moved> {
  const [unlocked] = await steps.ask(session, UNLOCK_SQL);
  if (unlocked?.kind !== 'ok' || moved.ok === null) return moved;
  // That OK has an additional session state change for the end of LOCK TABLES.
  const hasMore = unlocked.payload.length > moved.ok.payload.length;
  return { ...moved, ok: hasMore ? unlocked : moved.ok };
}

// ── the check of the session ─────────────────────────────────────────────────────────────────────
// Asks the user's session whether the server would drop its tables for the user, before the service
// account renames them; mostly while their intents are recorded.

/** Answers of the user's session before the service renames its tables. */
export interface DropCheck {
  /** Null: the server would drop all of them. */
  readonly ended: steps.Answer | null;
  /** The session itself has one locked, and the service would never get the lock. */
  readonly isLocked: boolean;
  /**
   * The response if the service renames them; nothing else is run in the session before it is
   * there. Null: not asked for, because it reports the end of a transaction, and the response may
   * be another one in the end.
   */
  readonly cleaned: Promise<OkPacket | null>;
}

/** Checks the privileges of the session, and waits there for the locks of others. */
export async function checkDrop(
  session: steps.UserSession,
  request: steps.DropRequest,
  { names, facts }: Pick<Seen, 'names' | 'facts'>,
): Promise<DropCheck> {
  let isLocked = false;
  const ended = await user.askToDrop(session, request, names, {
    before: names.map((name) => ({
      kind: 'prepare' as const,
      text: user.ownLockSql(name, request),
    })),
    onBefore: (said) => {
      isLocked = said.some((one) => one.kind === 'err' && one.errno === ER.TABLE_NOT_LOCKED);
    },
  });
  const mayClean = ended === null && !isLocked && !facts.inTransaction;
  const cleaned = mayClean ? user.clean(session, request) : Promise.resolve(null);
  // The session may break before it is awaited.
  cleaned.catch(() => undefined);
  return { ended, isLocked, cleaned };
}
