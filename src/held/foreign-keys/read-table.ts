/**
 * Reads the definition of a table, and the foreign keys and plain indexes in the text of SHOW
 * CREATE TABLE, as the four servers print it for a service session: one a line, names in backticks,
 * which may contain line breaks. Keys are null if a line can't be parsed: then nothing may be
 * detached.
 */

import { isServerError } from '../../connections/errors.js';
import { col, ident, note, type ServiceConnection, sql } from '../../connections/sql.js';
import type { ForeignKey, KeyAction } from '../../ledger/detached/detached.js';
import { definitionLines, KEY_ACTIONS } from '../../ledger/detached/detached.js';
import { NAME_CHARACTERS_MAX } from '../../names/names.js';
import * as ER from '../../wire/server-errors.js';

interface TableDefinition {
  readonly definition: string;
  /** Null: the definition has keys in an unknown form. */
  readonly keys: readonly ForeignKey[] | null;
}

/** `missing` only if the server itself reports that; `view` for all that isn't a table. */
export async function readTable(
  pool: ServiceConnection,
  { id, schema, table }: { readonly id: string; readonly schema: string; readonly table: string },
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

const NAME = '`(?:[^`]|``)+`';
const NAMES = `\\((${NAME}(?:, ?${NAME})*)\\)`;
const ACTION = `(${KEY_ACTIONS.join('|')})`;
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

export function readIndexes(definition: string): readonly PlainIndex[] {
  return definitionLines(definition).flatMap((line) => {
    const [, name, columns = ''] = INDEX.exec(line) ?? [];
    return name === undefined ? [] : [{ name: unquote(name), columns: split(columns) }];
  });
}

/**
 * `schema` is the table's own. `names` are those of information_schema, which cuts them; null if
 * the names in the text are used.
 */
export function readForeignKeys(
  definition: string,
  schema: string,
  names: readonly string[],
): readonly ForeignKey[] | null {
  const indexes = readIndexes(definition);
  const keys = definitionLines(definition).flatMap((line): ForeignKey[] => {
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
        onDelete: (onDelete as KeyAction | undefined) ?? null,
        onUpdate: (onUpdate as KeyAction | undefined) ?? null,
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
