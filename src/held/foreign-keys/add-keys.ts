/**
 * Adds foreign keys to a table as they were, by nothing but metadata. Where the index of a key is
 * one that the server made by itself, it would build another under the key's name in its place:
 *
 *   MySQL 5.7 and later  the index is renamed before, to another case and back: then it stays
 *   before, and MariaDB  `CONSTRAINT index FOREIGN KEY key`: the first name is the index's there
 *
 * May run twice: looks at the table first and goes on from what is there.
 */
import type { ForeignKey } from '../../ledger/detached/detached.js';
import { isServerError, type ServicePool } from '../../service/pool/pools.js';
import { runWithTimeout, type TryOptions } from '../../service/pool/statement-timeout.js';
import type { ServerFacts } from '../../service/server-facts.js';
import { ident, note, type SQLQuery, sql } from '../../service/sql.js';
import { ALGORITHM_NOT_SUPPORTED } from '../../wire/server-errors.js';
import { type PlainIndex, readIndexes, readTable } from './read-table.js';

export interface KeyedTable {
  readonly id: string;
  readonly schema: string;
  readonly table: string;
}

export interface AddKeysOptions extends TryOptions {
  readonly server: ServerFacts;
}

/** Since then it renames indexes, and asks for the right REFERENCES where a key is added. */
export function isMysqlFrom57({ flavour, versionId }: ServerFacts): boolean {
  return flavour === 'mysql' && versionId >= 50_700;
}

/** foreign_key_checks is off: the rows were right, or as wrong as they are now, before. */
const UNCHECKED = sql`SET SESSION foreign_key_checks = 0`;

/**
 * Adds those that are missing. Rejects with the server's error; then none of them was added. False
 * where the table isn't there.
 */
export async function addKeys(
  pool: ServicePool,
  table: KeyedTable,
  keys: readonly ForeignKey[],
  options: AddKeysOptions,
): Promise<boolean> {
  const look = await readTable(pool, table);
  if (typeof look === 'string') return false;
  if (look.keys === null) return true;
  const there = new Set(look.keys.map(({ name }) => name));
  const missing = keys.filter(({ name }) => !there.has(name));
  if (missing.length === 0) return true;
  const how = { ...options, indexes: readIndexes(look.definition) };
  if (isMysqlFrom57(options.server)) await addBehindRenames(pool, table, missing, how);
  else await addUnderIndexName(pool, table, missing, how);
  return true;
}

interface How extends AddKeysOptions {
  /** As they are now. */
  readonly indexes: readonly PlainIndex[];
}

/** An index that was renamed is none that the server made by itself, even to the name it had. */
async function addBehindRenames(
  pool: ServicePool,
  table: KeyedTable,
  keys: readonly ForeignKey[],
  how: How,
): Promise<void> {
  const names = new Set(keys.flatMap(({ index }) => (index === null ? [] : [index])));
  const there = (name: string) =>
    how.indexes.find((index) => index.name.toLowerCase() === name.toLowerCase())?.name;
  const other = [...names].flatMap((name) => {
    const away = inOtherCase(name);
    return there(name) === undefined || away === name ? [] : [{ name, away }];
  });
  const rename = (from: string, to: string) => sql`RENAME INDEX ${ident(from)} TO ${ident(to)}`;
  const first = other.filter(({ name }) => there(name) === name);
  await alter(
    pool,
    table,
    first.map(({ name, away }) => rename(name, away)),
    how,
  );
  await alter(
    pool,
    table,
    other.map(({ name, away }) => rename(away, name)),
    how,
  );
  await alter(pool, table, keys.map(plainKey), how);
}

/** The same name to every statement, as the names of indexes have no case. */
function inOtherCase(name: string): string {
  return name.replace(/[a-z]/i, (letter) =>
    letter === letter.toLowerCase() ? letter.toUpperCase() : letter.toLowerCase(),
  );
}

/** INPLACE: a copy would read the statement otherwise, and take the first name for the key's. */
async function addUnderIndexName(
  pool: ServicePool,
  table: KeyedTable,
  keys: readonly ForeignKey[],
  how: How,
): Promise<void> {
  try {
    await addInOrder(pool, table, keys, how);
  } catch (error) {
    if (!isServerError(error, ...ALGORITHM_NOT_SUPPORTED)) throw error;
    await alter(pool, table, keys.map(plainKey), how);
  }
}

/**
 * The server puts the indexes that it makes for the keys behind all others. Those that stood behind
 * them are taken off and added as they are in the same statement, which copies nothing, so that all
 * stand as before; where that fails, they stand otherwise.
 */
async function addInOrder(
  pool: ServicePool,
  table: KeyedTable,
  keys: readonly ForeignKey[],
  how: How,
): Promise<void> {
  const { indexes } = how;
  const keysOf = (index: PlainIndex) => keys.filter((key) => key.index === index.name);
  const first = indexes.findIndex((index) => keysOf(index).length > 0);
  const behind = first === -1 ? [] : indexes.slice(first);
  const others = behind.filter((index) => keysOf(index).length === 0);
  const unsupported = keys.filter((key) => !behind.some(({ name }) => name === key.index));
  const inOrder = [...behind.flatMap(keysOf), ...unsupported];
  const isMovable = others.length > 0 && others.every(({ isPlain }) => isPlain);
  if (isMovable) {
    const drops = others.map(({ name }) => sql`DROP INDEX ${ident(name)}`);
    const adds = behind.flatMap((index) => {
      const own = keysOf(index);
      return own.length > 0 ? own.map(addition) : [addIndex(index)];
    });
    try {
      await alter(pool, table, [...drops, ...adds, ...unsupported.map(addition)], how);
      return;
    } catch (error) {
      if (!isServerError(error)) throw error;
    }
  }
  await alter(pool, table, inOrder.map(addition), how);
}

function addition(key: ForeignKey): SQLQuery {
  return sql`ADD CONSTRAINT ${ident(key.index ?? key.name)}
    FOREIGN KEY ${ident(key.name)} ${reference(key)}, ALGORITHM=INPLACE`;
}

function addIndex({ name, columns: names }: PlainIndex): SQLQuery {
  return sql`ADD INDEX ${ident(name)} ${columns(names)}`;
}

export function plainKey(key: ForeignKey): SQLQuery {
  return sql`ADD CONSTRAINT ${ident(key.name)} FOREIGN KEY ${reference(key)}`;
}

function reference(key: ForeignKey): SQLQuery {
  return sql`${columns(key.columns)} REFERENCES ${ident(key.parentSchema, key.parentTable)}
    ${columns(key.parentColumns)}${on(sql` ON DELETE `, key.onDelete)}${on(sql` ON UPDATE `, key.onUpdate)}`;
}

function columns(names: readonly string[]): SQLQuery {
  return sql`(${sql.join(
    names.map((name) => ident(name)),
    ', ',
  )})`;
}

function on(event: SQLQuery, action: ForeignKey['onDelete']): SQLQuery {
  return action === null ? sql`` : sql`${event}${ACTIONS[action]}`;
}

const ACTIONS = {
  RESTRICT: sql`RESTRICT`,
  CASCADE: sql`CASCADE`,
  'SET NULL': sql`SET NULL`,
  'NO ACTION': sql`NO ACTION`,
  'SET DEFAULT': sql`SET DEFAULT`,
} as const;

/**
 * One ALTER TABLE, for a moment only; none where there is nothing to change. `unless`: a statement
 * before it in the same text, which fails where it is not to be done.
 */
export async function alter(
  pool: ServicePool,
  { id, schema, table }: KeyedTable,
  changes: readonly SQLQuery[],
  { logged, lockWaitBudget, unless }: TryOptions & { readonly unless?: SQLQuery },
): Promise<void> {
  if (changes.length === 0) return;
  const name = ident(schema, table);
  const statement = sql`ALTER TABLE ${note('keys', id)} ${name} ${sql.join([...changes], ', ')}`;
  const texts = unless === undefined ? [statement] : [unless, statement];
  await runWithTimeout(pool, [UNCHECKED, ...texts], { logged, lockWaitBudget });
}

export function dropKey(name: string): SQLQuery {
  return sql`DROP FOREIGN KEY ${ident(name)}`;
}
