/**
 * The service account's work for a TRUNCATE besides its RENAME. Before it: an empty copy of the
 * table, which waits in the recycle schema for the RENAME that gives it the table's name. After it:
 * the held table is compared with the copy, and freed of what binds other tables; its foreign keys
 * are added to the copy, which has the table's name then.
 *
 * Invariants: the copy has a hold name and no row in the ledger, so that the collector removes one
 * that nobody could drop; a copy whose definition differs from its source's is never used. The keys
 * are in the intent before the RENAME, so that recovery adds them if necessary.
 */

import { isKilled, isServerError, isServiceError, tolerantly } from '../../connections/errors.js';
import { LockWaitBudget, runWithTimeout } from '../../connections/pool/statement-timeout.js';
import { ident, note, readServerFacts, type ServicePool, sql } from '../../connections/sql.js';
import { assert, rootCause } from '../../errors.js';
import type { KeyedTable } from '../../held/foreign-keys/add-keys.js';
import {
  addKeys,
  alter,
  clauseOf,
  dropKey,
  isVersioned,
  readTable,
} from '../../held/foreign-keys/add-keys.js';
import { detach, withOriginalNames } from '../../held/foreign-keys/detach.js';
import { hasOwnNames } from '../../held/relocate/checks.js';
import { detachAndRelocate } from '../../held/relocate/relocate.js';
import { untilFree } from '../../held/relocate/until-free.js';
import { mayFollow } from '../../held/triggers/detach-triggers.js';
import * as parts from '../../ledger/detached/detached.js';
import { findRows } from '../../ledger/read.js';
import { createSchema } from '../../ledger/tables.js';
import type { QualifiedTable } from '../../names/names.js';
import { formatHoldName, ghostIdOf, isSameName, recycleSchemaFor } from '../../names/names.js';
import { isMysql8 } from '../../wire/connection/handshake-v10.js';
import * as ER from '../../wire/server-errors.js';
import type { HeldTable } from '../steps/world.js';

export type CopyPort = ReturnType<typeof copyPort>;

export function copyPort(pool: ServicePool) {
  return {
    /** An empty copy of the table, under a hold name in the recycle schema. */
    makeCopy: (request: CopyRequest) => makeCopy(pool, request),
    /** For a copy that didn't get the table's name. */
    dropCopy: (copy: Copy) => dropCopy(pool, copy),
    /** The rest of a child's foreign key, as the server's error has it; empty: it has none. */
    clauseOf: (child: KeyedTable, name: string) => clauseOf(pool, child, name),
    /** Reads the held table, and takes off it what binds other tables. */
    freeHeld: (table: Held) => freeHeld(pool, table),
  };
}

export type NotMade =
  /** Another session has the table locked, or changed or dropped it meanwhile. */
  | { readonly kind: 'busy'; readonly isTimeout?: true }
  | { readonly kind: 'versioned' }
  /** Why the table can't have a copy, as a continuation of "by TRUNCATE". */
  | { readonly kind: 'none'; readonly why: string }
  /** `failed`: by an error of the server; `unserved`: the service connection broke. */
  | { readonly kind: 'failed' | 'unserved'; readonly cause: string };

interface CopyRequest {
  /** The id of the table's drop. */
  readonly id: string;
  readonly source: QualifiedTable;
  /** The future name of the copy. */
  readonly own: QualifiedTable;
  /** The copy gets them. */
  readonly hasTriggers: boolean;
  /** Foreign keys that were detached from the source; null: none were. */
  readonly keys: readonly parts.ForeignKey[] | null;
  /** The server's clock. */
  readonly utcNow: Date;
}

export interface Copy extends KeyedTable {
  readonly kind: 'copy';
  /** The definition of the source when the copy was created, without its foreign keys. */
  readonly fingerprint: string;
  /** The foreign keys to add once it has the table's name. */
  readonly keys: readonly parts.ForeignKey[];
  /** The table leaves its schema after the RENAME: its triggers, or names of CHECKs, go first. */
  readonly isLater: boolean;
}

/** An unused copy that couldn't be dropped is collected after an hour. */
const UNUSED_MS = 3_600_000;

/** The maximum of pending TRUNCATEs of one table. */
const PENDING_ROWS_MAX = 20;

async function makeCopy(pool: ServicePool, request: CopyRequest): Promise<Copy | NotMade> {
  const id = ghostIdOf(request.id);
  const due = new Date(request.utcNow.getTime() + UNUSED_MS);
  const table = formatHoldName({ state: 'HOLD', id, due });
  const copy = { id, schema: recycleSchemaFor(pool.isLogged), table };
  const end = await tryToCopy(pool, request, copy);
  if (end.kind !== 'copy') await dropCopy(pool, copy);
  return end;
}

/** It is empty, and has a name that no other statement uses. Does not reject for the service. */
async function dropCopy(pool: ServicePool, { id, schema, table }: KeyedTable): Promise<void> {
  const drop = sql`DROP TABLE ${note('ghost', id)} IF EXISTS ${ident(schema, table)}`;
  await tolerantly(() => runWithTimeout(pool, drop));
}

async function tryToCopy(
  pool: ServicePool,
  request: CopyRequest,
  copy: KeyedTable,
): Promise<Copy | NotMade> {
  const { source, own } = request;
  const { id } = copy;
  try {
    const pending = request.keys ?? (await readPendingKeys(pool, own));
    const look = await readTable(pool, { id, ...source });
    if (typeof look === 'string') return { kind: 'busy' };
    // The server doesn't empty these either.
    if (isVersioned(look.definition)) return { kind: 'versioned' };
    if (look.keys === null) return { kind: 'none', why: 'with foreign keys that are not read' };
    if (request.hasTriggers && !(await mayFollow(pool, { id, ...own })))
      return { kind: 'none', why: 'with triggers that are not the service account’s to create' };
    const hasNames = isMysql8(await readServerFacts(pool))
      ? hasOwnNames(look.definition, source.table)
      : false;
    if (hasNames === null) return { kind: 'none', why: NO_COPY };
    const found = await keysByOwnNames(pool, look.keys, { own, now: { id, ...source } });
    const keys = [...found, ...keysBesides(found, pending)];
    const fingerprint = fingerprintOf(look.definition, source.table);
    await createLike(pool, copy, request);
    await tryKeys(pool, copy, keys);
    const made = await readTable(pool, copy);
    assert(typeof made !== 'string', 'what was made a moment ago is there');
    if (fingerprintOf(made.definition, copy.table) === fingerprint) {
      const isRecorded = await recordKeys(pool, request, keys);
      const isLater = request.hasTriggers || hasNames;
      return isRecorded ? { kind: 'copy', ...copy, fingerprint, keys, isLater } : { kind: 'busy' };
    }
    // Another session may have altered the source between the check and the copy.
    const now = await readTable(pool, { id, ...source });
    const isSame =
      typeof now !== 'string' && fingerprintOf(now.definition, source.table) === fingerprint;
    return isSame ? { kind: 'none', why: NO_COPY } : { kind: 'busy' };
  } catch (error) {
    if (!isServiceError(error)) throw error;
    if (isKilled(error) || isServerError(error, ...ER.ABSENT_TABLE, ...ER.ABSENT_TO_RENAME)) {
      return { kind: 'busy' };
    }
    return { kind: isServerError(error) ? 'failed' : 'unserved', cause: rootCause(error) };
  }
}

const NO_COPY = 'and has a CHECK, or a file of its own, which a copy of it would lack';

async function createLike(
  pool: ServicePool,
  { id, schema, table }: KeyedTable,
  { source }: CopyRequest,
): Promise<void> {
  const create = sql`CREATE TABLE ${note('ghost', id)} ${ident(schema, table)}
    LIKE ${ident(source.schema, source.table)}`;
  try {
    await runWithTimeout(pool, create);
  } catch (error) {
    if (!isServerError(error, ER.BAD_DB_ERROR)) throw error;
    await createSchema(pool, schema);
    await runWithTimeout(pool, create);
  }
}

/** With the names that they have once the table has its `own`; `now`: its present name. */
async function keysByOwnNames(
  pool: ServicePool,
  keys: readonly parts.ForeignKey[],
  { own, now }: { readonly own: QualifiedTable; readonly now: KeyedTable },
): Promise<readonly parts.ForeignKey[]> {
  const { id, schema: fromSchema, table: holdName } = now;
  const table = { id, fromSchema, holdName, table: own.table };
  const where = { table, schema: own.schema, tables: [] };
  return Promise.all(keys.map((key) => withOriginalNames(pool, key, where)));
}

/**
 * Keys that another TRUNCATE of the table is about to add to it. They are read before the table, so
 * that each is found there or here.
 */
async function readPendingKeys(
  pool: ServicePool,
  own: QualifiedTable,
): Promise<readonly parts.ForeignKey[]> {
  const rows = await findRows(pool, { by: 'name', ...own }, { rowsMax: PENDING_ROWS_MAX });
  const children = rows.flatMap(({ detached }) => detached.keysIn);
  return children
    .filter((child) => !child.isDone && isSameName(child.childSchema, own.schema))
    .filter(({ childTable }) => isSameName(childTable, own.table))
    .map(({ key }) => key);
}

/** The keys of `more` that aren't among `keys`. */
function keysBesides(
  keys: readonly parts.ForeignKey[],
  more: readonly parts.ForeignKey[],
): readonly parts.ForeignKey[] {
  const names = new Set(keys.map(({ name }) => name.toLowerCase()));
  return more.filter(({ name }) => {
    const isNew = !names.has(name.toLowerCase());
    names.add(name.toLowerCase());
    return isNew;
  });
}

/**
 * Adds the keys to the copy under unused names, and drops them: a refusal of the server, or a
 * locked parent, shows before the table has lost its own.
 */
async function tryKeys(
  pool: ServicePool,
  copy: KeyedTable,
  keys: readonly parts.ForeignKey[],
): Promise<void> {
  if (keys.length === 0) return;
  const tried = keys.map((key, n) => ({ ...key, name: `${copy.table}_ibfk_${n + 1}` }));
  await addKeys(pool, { ...copy, keys: tried }, { server: await readServerFacts(pool) });
  const dropped = tried.map(({ name }) => dropKey(name));
  await alter(pool, copy, { changes: dropped });
}

/**
 * Records them as keys of a child that are detached, which they are after the RENAME (detach.ts).
 * False: the intent is gone.
 */
async function recordKeys(
  pool: ServicePool,
  { id, own }: CopyRequest,
  keys: readonly parts.ForeignKey[],
): Promise<boolean> {
  if (keys.length === 0) return true;
  const [row] = await findRows(pool, { by: 'id', prefix: id }, { texts: false });
  if (row === undefined) return false;
  const child = { childSchema: own.schema, childTable: own.table, isDone: false };
  const detached = { ...parts.NOTHING_DETACHED, keysIn: keys.map((key) => ({ ...child, key })) };
  return parts.recordDetached(pool, { id, detached, definition: null });
}

export interface SeenTable {
  readonly fingerprint: string;
  /** Its foreign keys that the copy doesn't get. */
  readonly added: readonly parts.ForeignKey[];
}

async function readHeld(pool: ServicePool, { place, own, keys }: Held): Promise<SeenTable | null> {
  const look = await readTable(pool, place);
  if (typeof look === 'string' || look.keys === null) return null;
  const now = await keysByOwnNames(pool, look.keys, { own, now: place });
  const fingerprint = fingerprintOf(look.definition, place.table);
  return { fingerprint, added: keysBesides(keys, now) };
}

const INDEX_NAME = /^ {2}KEY `(?:[^`]|``)+`/;

/** Equal for two tables that differ in name, rows and foreign keys only. */
function fingerprintOf(definition: string, table: string): string {
  const lines = parts
    .definitionLines(parts.ownDefinition(definition, table, 'ghost'))
    .filter((line) => !parts.FOREIGN_KEY_LINE.test(line))
    .map((line) => lineOfCopy(line.replace(/,$/, '')));
  // CREATE TABLE … LIKE reorders indexes that foreign keys have created.
  const isIndex = (line: string) => line.startsWith('  KEY ');
  // While a key is added, the name of its index is in another case for a moment (add-keys.ts).
  const inOneCase = (line: string) => line.replace(INDEX_NAME, (name) => name.toLowerCase());
  const indexes = lines.filter(isIndex).map(inOneCase).sort();
  return [...lines.filter((line) => !isIndex(line)), ...indexes].join('\n');
}

/** Removes the counter, and the name of a CHECK. */
function lineOfCopy(line: string): string {
  if (line.startsWith(') ')) return line.replace(/ AUTO_INCREMENT=\d+/, '');
  return line.replace(/^( {2}CONSTRAINT )`(?:[^`]|``)+`(?= CHECK )/, '$1');
}

interface Held {
  /** Its hold name. */
  readonly place: KeyedTable;
  /** Its original name. */
  readonly own: QualifiedTable;
  /** The keys of the copy. */
  readonly keys: readonly parts.ForeignKey[];
  /** No foreign key was on it after its RENAME. */
  readonly isFree: boolean;
}

/** With its place now. */
interface Freed extends Pick<HeldTable, 'pendingWork' | 'holdSchema' | 'holdName'> {
  readonly now: SeenTable | null;
}

/**
 * Reads the held table, then detaches what binds other tables, and adds the keys in the ledger to
 * the table that has its name. `now` is null if the server or the service fails; `pendingWork`: why
 * the rest is left to the pending relocations.
 */
async function freeHeld(pool: ServicePool, table: Held): Promise<Freed> {
  const { place, own, keys, isFree } = table;
  const seen = await tolerantly(async () => [await readHeld(pool, table)]);
  const [now = null] = seen.value;
  const at = { id: place.id, holdSchema: place.schema, holdName: place.table };
  const isLater = place.schema === own.schema;
  const isBare = isFree && !isLater && keys.length === 0 && now?.added.length === 0;
  if (isBare) return { now, ...at, pendingWork: null };
  const held = { ...at, fromSchema: place.schema, table: own.table, isEmptied: true };
  const lockWaitBudget = new LockWaitBudget();
  const how = { lockWaitBudget };
  const [pendingWork = null] = isLater ? [] : await detach(pool, [held], how);
  const first = { ...at, outcome: 'moved', pendingWork } as const;
  const tried = isLater ? await detachAndRelocate(pool, [held], how) : [first];
  const [last = first] = await untilFree(pool, [held], tried);
  if (last.outcome === 'put-back') return { now, ...at, pendingWork: null };
  const { holdSchema, holdName } = last.outcome === 'moved' ? last : at;
  return { now, holdSchema, holdName, pendingWork: last.pendingWork ?? null };
}
