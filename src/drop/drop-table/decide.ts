/**
 * Decides about each name of a DROP TABLE: held, reported as something else, or blocked by a
 * foreign key. Pure: facts in, decision out.
 *
 * Invariant: a table is moved only if both the session and the service saw it as a base table and
 * its intent is in the ledger.
 */
import { assert, UndropError } from '../../errors.js';
import { isRenamedOnce } from '../../held/relocate/blockers.js';
import {
  type ForeignKeyName,
  hasForeignKeys,
  type IntentFacts,
  type IntentTable,
} from '../../ledger/write.js';
import {
  foldName,
  formatHoldName,
  keyOf,
  parseHoldName,
  type QualifiedTable,
  recycleSchemaFor,
} from '../../names/names.js';
import type { Ruling } from '../../policy/decide.js';
import { isMysql8, type ServerVersion } from '../../wire/connection/handshake-v10.js';
import * as ER from '../../wire/server-errors.js';
import { knownKind, type Seen } from '../steps/inspect-names.js';
import { hidesDirectories } from '../steps/session/facts.js';
import type { QualifiedName, Signal } from '../steps/session/user-session.js';
import type * as steps from '../steps/world.js';
import { again, sentenceStart } from '../steps/world.js';

/** All facts of a drop once its intents are in the ledger. */
export interface Drop extends Seen {
  readonly intent: IntentFacts;
  /** The ruling on each name. */
  readonly rulings: readonly Ruling[];
}

/** A name of the statement with its facts. */
export interface Name {
  readonly index: number;
  /** `table`: a base table, in a DROP SEQUENCE, which doesn't drop it. */
  readonly kind: 'base' | 'temporary' | 'view' | 'table' | 'missing';
  readonly name: QualifiedName;
  readonly seen: IntentTable;
}

export interface Move extends Name {
  readonly holdName: string;
  /** Its own schema, or the recycle schema: the target of its first RENAME. */
  readonly holdSchema: string;
}

export type Decision =
  | steps.Again
  | {
      /** Base tables that are held. */
      readonly moves: readonly Move[];
      /** Names that the server reports something about. */
      readonly named: readonly Name[];
      /** Parents that stay, because the server would not drop them. */
      readonly blocked: readonly BlockedParent[];
    };

export function decide(drop: Drop): Decision {
  const { request, facts, intent } = drop;
  const names: Name[] = [];
  for (const [index, seen] of intent.tables.entries()) {
    const kind = drop.kinds[index];
    const name = drop.names[index];
    assert(kind !== undefined && name !== undefined, 'each name was looked at');
    const known = knownKind(kind, seen);
    // No intent: another session drops it, or the service account may not see it.
    if (known === 'base' && seen.holdUntil === null) return unseen(request, seen);
    const isOther = request.statement.object === 'sequence' && seen.kind !== 'sequence';
    names.push({ index, kind: known === 'base' && isOther ? 'table' : known, name, seen });
  }
  const bases = names.filter(({ kind }) => kind === 'base');
  const others = names.filter(({ kind }) => kind !== 'base');
  const absent = names.filter(({ kind }) => kind === 'missing' || kind === 'view');
  // MySQL 8 and later: if one name can't be dropped, nothing is.
  const isAtomic = isMysql8(request.server);
  if (isAtomic && !request.statement.ifExists && absent.length > 0) {
    // The session reads them one by one, while natively all of them are dropped at once.
    const isSeenByServiceOnly = absent.some(
      ({ kind, seen }) => kind === 'missing' && seen.holdUntil !== null,
    );
    if (isSeenByServiceOnly && bases.length > 0) return again('only the service sees a table');
    return { moves: [], named: absent, blocked: [] };
  }
  const tables = bases.map(({ seen }) => seen);
  const rules = { isAtomic, foldsCase: intent.lowerCaseTableNames !== 0 };
  const blocked = facts.checksForeignKeys ? blockedParents(tables, rules) : [];
  // A temporary table beside it isn't dropped there either.
  if (isAtomic && blocked.length > 0) return { moves: [], named: [], blocked };
  const moved = bases.filter(({ seen }) => !blocked.some(({ table }) => table === seen));
  const once = namesRenamedOnce(drop, moved);
  // All of them in one RENAME.
  const isSplit = isAtomic && once.length < moved.length;
  const moves: Move[] = [];
  for (const base of moved) {
    const { id, schema, holdUntil: due } = base.seen;
    assert(due !== null, 'a table that is moved has an intent');
    const holdName = formatHoldName({ state: 'HOLD', id, due });
    const isOnce = !isSplit && once.includes(base);
    moves.push({ ...base, holdName, holdSchema: isOnce ? recycleSchemaFor(facts.logged) : schema });
  }
  return { moves, named: others, blocked };
}

/** Whether the session itself renames, whatever its tables are. */
export function mustRenameItself(facts: steps.UserFacts, server: ServerVersion): boolean {
  return facts.tracksGtids || hidesDirectories(facts, server);
}

/** The service renames them. It would wait for the locks of a session with LOCK TABLES. */
function namesRenamedOnce(
  { request: { server }, facts, intent, blockers }: Drop,
  moved: readonly Name[],
): readonly Name[] {
  const { lockedTables, hasBackupLock } = intent;
  const hasLocks = hasBackupLock || (lockedTables ?? []).length > 0;
  if (hasLocks || mustRenameItself(facts, server)) return [];
  return moved.filter(({ index, seen }) => {
    const blocker = blockers[index] ?? null;
    return seen.kind === 'base' && isRenamedOnce({ blocker, isBound: isBound(seen) });
  });
}

function unseen(request: steps.DropRequest, { schema, table }: IntentTable): steps.Again {
  const params = { tables: sentenceStart(request), table: `${schema}.${table}` };
  return again('only the session sees a table', new UndropError('UNDROP_NOT_SEEN', params));
}

/** Names for which DROP needs a privilege, and a lock. */
export function namesToAsk({ names, kinds }: Pick<Seen, 'names' | 'kinds'>) {
  return names.filter((_name, index) => kinds[index] !== 'temporary');
}

// ── parents ──────────────────────────────────────────────────────────────────────────────────────
// Parents that the server would not drop, because tables outside the statement refer to them, and
// its error for that. Pure. The error is raised by SIGNAL, never by a DROP that names the parent,
// because its last child may be dropped meanwhile.

export interface BlockedParent {
  readonly table: IntentTable;
  /** The first one in the way. */
  readonly key: ForeignKeyName;
}

interface DropRules {
  /** MySQL 8 and later: all or nothing, wherever in the statement the children stand. */
  readonly isAtomic: boolean;
  /** Names that differ in case are one. */
  readonly foldsCase: boolean;
  /**
   * It is dropped with all tables in it, also with others than those in the list; default: none.
   */
  readonly schema?: string;
}

/** Servers that aren't atomic drop one table after the other: children must come first. */
function blockedParents(
  tables: readonly IntentTable[],
  { isAtomic, foldsCase, schema: whole }: DropRules,
): readonly BlockedParent[] {
  const own = (name: QualifiedTable) => (foldsCase ? foldName(keyOf(name)) : keyOf(name));
  const isWithin = (child: ForeignKeyName) =>
    whole !== undefined && own({ schema: whole, table: child.table }) === own(child);
  const gone = new Set(isAtomic ? tables.map(own) : []);
  const blocked: BlockedParent[] = [];
  for (const table of tables) {
    // A held child was dropped before, and is about to lose its key.
    const key = table.foreignKeysIn.find(
      (child) => !gone.has(own(child)) && !isWithin(child) && parseHoldName(child.table) === null,
    );
    if (key === undefined) gone.add(own(table));
    else blocked.push({ table, key });
  }
  return blocked;
}

/** The server's error for a schema that it would not drop with all its tables; null: none. */
export function parentInSchema(
  { request, facts, schema }: Pick<Drop, 'request' | 'facts'> & { readonly schema: string },
  { tables, lowerCaseTableNames }: IntentFacts,
): Signal | null {
  if (!facts.checksForeignKeys) return null;
  const rules = { isAtomic: true, foldsCase: lowerCaseTableNames !== 0, schema };
  const [parent] = blockedParents(tables, rules);
  return parent === undefined ? null : parentError(request.server, parent);
}

/** Whether keys or triggers have to be detached before it is moved. */
export function isBound(table: IntentTable): boolean {
  return table.triggers.length > 0 || hasForeignKeys(table);
}

const BEFORE_MYSQL_8 = 'Cannot delete or update a parent row: a foreign key constraint fails';
/** The error that the server gives for a parent. */
export function parentError(server: ServerVersion, { table, key }: BlockedParent): Signal {
  if (server.flavour === 'mariadb') {
    return { errno: ER.ROW_IS_REFERENCED_2, sqlState: '23000', message: BEFORE_MYSQL_8 };
  }
  if (!isMysql8(server)) {
    return { errno: ER.ROW_IS_REFERENCED, sqlState: '23000', message: BEFORE_MYSQL_8 };
  }
  const message =
    `Cannot drop table '${table.table}' referenced by a foreign key constraint ` +
    `'${key.name}' on table '${key.table}'.`;
  return { errno: ER.FK_CANNOT_DROP_PARENT, sqlState: 'HY000', message };
}

/**
 * The groups of tables for one RENAME each, in their order: none follows a table with triggers in
 * its group. MariaDB (seen on 10.11 and 11.8): a RENAME of several tables that is killed while it
 * waits in InnoDB (for a transaction that has written to a child of one of them) is rolled back,
 * and empties the .TRG file of a table that it had renamed; nothing can open that table then (error
 * 1343). Tables that the service moves elsewhere have groups of their own.
 */
export function renameGroups<T>(
  tables: readonly T[],
  hasTriggers: (table: T) => boolean,
  isElsewhere: (table: T) => boolean = () => false,
): readonly (readonly T[])[] {
  const groups: T[][] = [];
  for (const table of tables) {
    const last = groups.at(-1);
    const isOther = last?.some((one) => isElsewhere(one) !== isElsewhere(table));
    if (last === undefined || isOther === true || last.some(hasTriggers)) groups.push([table]);
    else last.push(table);
  }
  return groups;
}
