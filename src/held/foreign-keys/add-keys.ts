/**
 * Adds foreign keys to a table as they were, by changes of metadata only. If the server itself
 * created the index of a key, it would build another one under the key's name in its place.
 * Therefore the index is renamed before, to another case and back, and then counts as the user's
 * own. MySQL 5.6 can't rename one; there `CONSTRAINT index FOREIGN KEY key` names the new index
 * like the old one, and the server puts it after all others.
 *
 * May run twice: reads the table first and continues from its present state.
 */

import { isKilled, isServerError, tolerantly } from '../../connections/errors.js';
import { runWithTimeout, type TryOptions } from '../../connections/pool/statement-timeout.js';
import type { ServerFacts, ServicePool, SQLQuery } from '../../connections/sql.js';
import { col, ident, keyIdent, note, readServerFacts, sql } from '../../connections/sql.js';
import { assert } from '../../errors.js';
import * as parts from '../../ledger/detached/detached.js';
import { findRows, isCopyGone } from '../../ledger/read.js';
import { isSameName, NAME_CHARACTERS_MAX, type QualifiedTable } from '../../names/names.js';
import { REPOINT_TRIES, REPOINT_TRIES_BESIDE_CLIENT } from '../../tries.js';
import { isMysql8 } from '../../wire/connection/handshake-v10.js';
import * as ER from '../../wire/server-errors.js';

export interface KeyedTable extends QualifiedTable {
  readonly id: string;
}

/** Keys of one table. */
interface TableKeys extends KeyedTable {
  readonly keys: readonly parts.ForeignKey[];
}

export interface KeyOptions extends TryOptions {
  readonly server: ServerFacts;
}

function renamesIndexes({ flavour, versionId }: ServerFacts): boolean {
  return flavour === 'mariadb' || versionId >= 50_700;
}

/** foreign_key_checks is off: the rows match the key as well as they did before. */
const UNCHECKED = sql`SET SESSION foreign_key_checks = 0`;

/**
 * Adds the missing keys. Rejects with the server's error; then none of them was added. False if the
 * table doesn't exist.
 */
export async function addKeys(
  pool: ServicePool,
  { keys, ...table }: TableKeys,
  options: KeyOptions,
): Promise<boolean> {
  const look = await readTable(pool, table);
  if (typeof look === 'string') return false;
  if (look.keys === null) return true;
  const there = new Set(look.keys.map(({ name }) => name));
  const missing = keys
    .filter(({ name }) => !there.has(name))
    .map((key) => ({ ...key, name: parts.nameToAdd(key.name, table.id) }))
    .filter(({ name }) => !there.has(name));
  if (missing.length === 0) return true;
  if (renamesIndexes(options.server)) {
    const indexes = readIndexes(look.definition);
    await renameIndexes(pool, { ...table, keys: missing, indexes }, options);
    await alter(pool, table, { ...options, changes: missing.map(plainKey) });
    return true;
  }
  try {
    await alter(pool, table, { ...options, changes: missing.map(keyWithIndexName) });
  } catch (error) {
    if (!isServerError(error, ...ER.ALGORITHM_NOT_SUPPORTED)) throw error;
    await alter(pool, table, { ...options, changes: missing.map(plainKey) });
  }
  return true;
}

/** Renames the indexes of the keys to another case, and back. */
async function renameIndexes(
  pool: ServicePool,
  { keys, indexes, ...table }: TableKeys & { readonly indexes: readonly PlainIndex[] },
  options: KeyOptions,
): Promise<void> {
  const first: SQLQuery[] = [];
  const back: SQLQuery[] = [];
  for (const name of new Set(keys.flatMap(({ index }) => index ?? []))) {
    const away = inOtherCase(name);
    const there = indexes.find((index) => index.name.toLowerCase() === name.toLowerCase())?.name;
    if (there === undefined || away === name) continue;
    // An interrupted run has left it under the other name.
    if (there === name) first.push(sql`RENAME INDEX ${ident(name)} TO ${ident(away)}`);
    back.push(sql`RENAME INDEX ${ident(away)} TO ${ident(name)}`);
  }
  await alter(pool, table, { ...options, changes: first });
  await alter(pool, table, { ...options, changes: back });
}

/** The same name for every statement, because index names are case-insensitive. */
function inOtherCase(name: string): string {
  return name.replace(/[a-z]/i, (letter) =>
    letter === letter.toLowerCase() ? letter.toUpperCase() : letter.toLowerCase(),
  );
}

/** INPLACE: a copy would read the statement differently, and take the first name for the key's. */
function keyWithIndexName(key: parts.ForeignKey): SQLQuery {
  return sql`ADD CONSTRAINT ${ident(key.index ?? key.name)}
    FOREIGN KEY ${ident(key.name)} ${reference(key)}, ALGORITHM=INPLACE`;
}

function plainKey(key: parts.ForeignKey): SQLQuery {
  return sql`ADD CONSTRAINT ${ident(key.name)} FOREIGN KEY ${reference(key)}`;
}

function reference(key: parts.ForeignKey): SQLQuery {
  return sql`${columns(key.columns)} REFERENCES ${ident(key.parentSchema, key.parentTable)}
    ${columns(key.parentColumns)}${on(sql` ON DELETE `, key.onDelete)}${on(sql` ON UPDATE `, key.onUpdate)}`;
}

function columns(names: readonly string[]): SQLQuery {
  const list = names.map((name) => ident(name));
  return sql`(${sql.join(list, ', ')})`;
}

function on(event: SQLQuery, action: parts.ForeignKey['onDelete']): SQLQuery {
  return action === null ? sql`` : sql`${event}${ACTIONS[action]}`;
}

const ACTIONS = {
  RESTRICT: sql`RESTRICT`,
  CASCADE: sql`CASCADE`,
  'SET NULL': sql`SET NULL`,
  'NO ACTION': sql`NO ACTION`,
  'SET DEFAULT': sql`SET DEFAULT`,
} as const;

interface AlterOptions extends TryOptions {
  readonly changes: readonly SQLQuery[];
  /** A statement before it in the same text, which fails if it is not to be done. */
  readonly unless?: SQLQuery;
}

/**
 * Runs a single ALTER TABLE, with a short wait for its lock; none if there is nothing to change.
 */
export async function alter(
  pool: ServicePool,
  { id, schema, table }: KeyedTable,
  { changes, lockWaitBudget, unless }: AlterOptions,
): Promise<void> {
  if (changes.length === 0) return;
  const name = ident(schema, table);
  const statement = sql`ALTER TABLE ${note('keys', id)} ${name} ${sql.join([...changes], ', ')}`;
  const texts = unless === undefined ? [statement] : [unless, statement];
  await runWithTimeout(pool, [UNCHECKED, ...texts], { lockWaitBudget });
}

export function dropKey(name: string): SQLQuery {
  return sql`DROP FOREIGN KEY ${keyIdent(name)}`;
}

// ── a key to its parent again ────────────────────────────────────────────────────────────────────
// Gives a foreign key of a live table the original name of its parent again, after the parent was
// renamed to its hold name: the key is dropped, and added by a second statement, because no server
// does both in one (1826). It may run twice: a key that is missing was dropped by the first run.

export interface RepointOptions extends KeyOptions {
  readonly id: string;
  /** The table that the key leads to now. */
  readonly away: QualifiedTable;
}

/**
 * False: the child no longer exists, and the key may be lost with it. Rejects with the server's
 * error if the child is locked or can't be altered.
 */
export async function repointForeignKey(
  pool: ServicePool,
  { childSchema, childTable, key }: parts.ChildKey,
  options: RepointOptions,
): Promise<boolean> {
  const { id } = options;
  const child = { id, schema: childSchema, table: childTable };
  const now = await readKey(pool, child, key.name);
  if (now !== null) {
    if (!isAway(now, key, options)) return true;
    if (parts.isTooLong(key.name))
      throw new Error(`no server adds a key with the name ${key.name}`);
    await assertMayAdd(pool, { child, key }, options);
    if (!(await dropAway(pool, { child, key }, options))) return true;
  }
  const { lockWaitBudget, ...how } = options;
  const triesMax = lockWaitBudget === undefined ? REPOINT_TRIES : REPOINT_TRIES_BESIDE_CLIENT;
  for (let tries = 1; ; tries++) {
    try {
      return await addKeys(pool, { ...child, keys: [key] }, how);
    } catch (error) {
      if (tries === triesMax || !isKilled(error)) throw error;
    }
  }
}

interface KeyOfChild {
  readonly child: KeyedTable;
  readonly key: parts.ForeignKey;
}

/** Null if no such table has such a key. */
export async function readKey(pool: ServicePool, child: KeyedTable, name: string) {
  const look = await readTable(pool, child);
  const keys = typeof look === 'string' ? null : look.keys;
  return keys?.find((found) => found.name === name) ?? null;
}

function isAway(now: parts.ForeignKey, key: parts.ForeignKey, { away }: RepointOptions): boolean {
  const leadsTo = (schema: string, table: string) =>
    isSameName(now.parentSchema, schema) && isSameName(now.parentTable, table);
  return leadsTo(away.schema, away.table) && !leadsTo(key.parentSchema, key.parentTable);
}

/**
 * Another proxy may have repointed the key since it was read, and would lose it; so a statement
 * that fails in that case precedes the ALTER in the same text. False: the key has been repointed.
 */
async function dropAway(pool: ServicePool, { child, key }: KeyOfChild, options: RepointOptions) {
  const unless = sql`SELECT ${note('keys', child.id)} IF(COUNT(*) = 1, 1, (SELECT 1 UNION SELECT 2))
    FROM information_schema.REFERENTIAL_CONSTRAINTS
    WHERE CONSTRAINT_SCHEMA = ${child.schema} AND TABLE_NAME = ${child.table}
      AND CONSTRAINT_NAME = ${key.name} AND REFERENCED_TABLE_NAME = ${options.away.table}`;
  try {
    await alter(pool, child, { ...options, unless, changes: [dropKey(key.name)] });
    return true;
  } catch (error) {
    if (!isServerError(error, ER.SUBQUERY_NO_1_ROW)) throw error;
    const now = await readKey(pool, child, key.name);
    if (now === null) return true;
    if (isAway(now, key, options)) throw error;
    return false;
  }
}

/**
 * Before the key is dropped, because an account without REFERENCES could not add it again. A
 * statement that adds it twice is refused for the duplicate name, also if another proxy has just
 * dropped it; a missing privilege is reported before that.
 */
async function assertMayAdd(pool: ServicePool, { child, key }: KeyOfChild, how: RepointOptions) {
  const { flavour, versionId } = how.server;
  // Other servers don't require REFERENCES.
  if (flavour === 'mariadb' || versionId < 50_700) return;
  try {
    await alter(pool, child, { ...how, changes: [plainKey(key), plainKey(key)] });
  } catch (error) {
    if (isServerError(error, ER.FK_DUP_NAME)) return;
    throw error;
  }
  assert(false, 'a foreign key is not added twice under one name');
}

// ── the definition of a table ────────────────────────────────────────────────────────────────────
// Foreign keys and plain indexes are read from the text of SHOW CREATE TABLE, as the four servers
// print it for a service session: one a line, names in backticks, which may contain line breaks.
// Keys are null if a line can't be parsed: then nothing may be detached.

interface TableDefinition {
  readonly definition: string;
  /** Null: the definition has keys in an unknown form. */
  readonly keys: readonly parts.ForeignKey[] | null;
}

/** `missing` only if the server itself reports that; `view` for all that isn't a table. */
export async function readTable(
  pool: ServicePool,
  { id, schema, table }: KeyedTable,
): Promise<TableDefinition | 'missing' | 'view'> {
  try {
    const [shown = [], named = []] = await pool.run([
      sql`SHOW CREATE TABLE ${note('look', id)} ${ident(schema, table)}`,
      sql`SELECT CONSTRAINT_NAME AS name FROM information_schema.TABLE_CONSTRAINTS
        WHERE CONSTRAINT_SCHEMA = ${schema} AND TABLE_SCHEMA = ${schema} AND TABLE_NAME = ${table}
          AND CONSTRAINT_TYPE = 'FOREIGN KEY'`,
    ]);
    const [row] = shown;
    if (row?.['Create Table'] === undefined) return 'view';
    const definition = col.text(row, 'Create Table');
    const names = named.map((found) => col.text(found, 'name'));
    return { definition, keys: readForeignKeys(definition, schema, names) };
  } catch (error) {
    if (isServerError(error, ...ER.ABSENT_TABLE)) return 'missing';
    throw error;
  }
}

/** The copy that has the name of an emptied table, and the row of that; null: there is none. */
export async function findCopy(pool: ServicePool, id: string) {
  const [row] = await findRows(pool, { by: 'id', prefix: id });
  if (row === undefined) return null;
  const own = { id, schema: row.schema, table: row.table };
  const look = await readTable(pool, own);
  if (typeof look === 'string' || (await isCopyGone(pool, row))) return null;
  return { row, own, definition: look.definition };
}

const NAME = '`(?:[^`]|``)+`';
const NAMES = `\\((${NAME}(?:, ?${NAME})*)\\)`;
const ACTION = `(${parts.KEY_ACTIONS.join('|')})`;
const FOREIGN_KEY = new RegExp(
  `^ {2}CONSTRAINT (${NAME}) FOREIGN KEY ${NAMES} REFERENCES (?:(${NAME})\\.)?(${NAME}) ${NAMES}` +
    `(?: ON DELETE ${ACTION})?(?: ON UPDATE ${ACTION})?,?$`,
);
const INDEX = new RegExp(`^ {2}KEY (${NAME}) (?:${NAMES})?`);

/** No line of a definition ends within a literal. */
const VERSIONED = /\n\) ENGINE=.* WITH SYSTEM VERSIONING$/m;

/** An index that may have duplicate values; a foreign key never creates a unique one. */
export interface PlainIndex {
  readonly name: string;
  /** Empty if it has more than column names: a prefix, an order, an expression. */
  readonly columns: readonly string[];
}

/** Whether it is one of MariaDB's system-versioned tables. */
export function isVersioned(definition: string): boolean {
  return VERSIONED.test(definition);
}

function readIndexes(definition: string): readonly PlainIndex[] {
  return parts.definitionLines(definition).flatMap((line) => {
    const [, name, columns = ''] = INDEX.exec(line) ?? [];
    return name === undefined ? [] : [{ name: unquote(name), columns: split(columns) }];
  });
}

/**
 * `schema` is the table's own. `names` are those of information_schema, which cuts them; null if
 * the names in the text are used.
 */
function readForeignKeys(
  definition: string,
  schema: string,
  names: readonly string[],
): readonly parts.ForeignKey[] | null {
  const indexes = readIndexes(definition);
  const keys = parts.definitionLines(definition).flatMap((line): parts.ForeignKey[] => {
    const match = FOREIGN_KEY.exec(line);
    if (match === null) return [];
    const [, name, columns, parentSchema, parentTable, parentColumns, onDelete, onUpdate] = match;
    const own = unquote(name ?? '');
    const columnNames = split(columns ?? '');
    return [
      {
        name: own,
        columns: columnNames,
        parentSchema: parentSchema === undefined ? schema : unquote(parentSchema),
        parentTable: unquote(parentTable ?? ''),
        parentColumns: split(parentColumns ?? ''),
        onDelete: (onDelete as parts.KeyAction | undefined) ?? null,
        onUpdate: (onUpdate as parts.KeyAction | undefined) ?? null,
        index: indexOf(own, columnNames, indexes),
      },
    ];
  });
  const cut = (name: string) => Array.from(name).slice(0, NAME_CHARACTERS_MAX).join('');
  const sorted = (list: readonly string[]) => JSON.stringify(list.map(cut).sort());
  return sorted(keys.map(({ name }) => name)) === sorted(names) ? keys : null;
}

function indexOf(key: string, columns: readonly string[], indexes: readonly PlainIndex[]) {
  const wanted = JSON.stringify(columns);
  const same = indexes.filter((index) => JSON.stringify(index.columns) === wanted);
  return (same.find(({ name }) => name === key) ?? same[0])?.name ?? null;
}

function split(names: string): readonly string[] {
  return (names.match(new RegExp(NAME, 'g')) ?? []).map(unquote);
}

function unquote(name: string): string {
  return name.slice(1, -1).replaceAll('``', '`');
}

/** The rest of a key, as MariaDB and MySQL before 8 print it in errors; empty: not known. */
export async function clauseOf(
  pool: ServicePool,
  child: KeyedTable,
  name: string,
): Promise<string> {
  if (isMysql8(await readServerFacts(pool))) return '';
  const { value } = await tolerantly(async () => [await readKey(pool, child, name)]);
  const [key = null] = value;
  return key === null ? '' : ` ${parts.referenceText(key)}`;
}
