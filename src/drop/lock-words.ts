/**
 * Statements of ours on the user's session under LOCK TABLES, built of names as the client's own
 * bytes.
 *
 * Invariant: none of them can destroy a base table. DROP SEQUENCE answers 4090 for what is none.
 */
import type { ClientCharset } from '../sql/lex-mode.js';
import { type QualifiedName, qualified } from './words.js';

interface Said {
  readonly groupId: string;
  readonly charset: ClientCharset;
}

/**
 * An ALTER that can never succeed: before it looks for the column (1091) the server says of a table
 * that isn't locked for writing what it would say of its DROP (1099, 1100).
 */
export function askLockSql(name: QualifiedName, { groupId, charset }: Said): Buffer {
  return Buffer.concat([
    Buffer.from(`ALTER /* undrop locked ${groupId} */ TABLE `),
    qualified(name, charset),
    Buffer.from(` DROP COLUMN \`_undrop_none_${groupId}\``),
  ]);
}

/**
 * MariaDB looks for a lock as it does for DROP TABLE, under whatever alias; then it sees that this
 * is no sequence. Only for names that the service saw as base tables, and only under LOCK TABLES:
 * what is locked nobody else replaces, and one that isn't fails the statement before all else.
 */
export function askAliasSql(name: QualifiedName, { groupId, charset }: Said): Buffer {
  return Buffer.concat([
    Buffer.from(`DROP /* undrop locked ${groupId} */ SEQUENCE `),
    qualified(name, charset),
  ]);
}

/**
 * Before MariaDB and MySQL 8: looks for a lock like DROP TABLE, too, and opens the table anew where
 * it finds one for writing. Needs the right RELOAD.
 */
export function askFlushSql(name: QualifiedName, { groupId, charset }: Said): Buffer {
  const verb = Buffer.from(`FLUSH /* undrop locked ${groupId} */ LOCAL TABLES `);
  return Buffer.concat([verb, qualified(name, charset)]);
}

/** A row where somebody has the table in use. `table` in UTF-8. */
export function openTableSql(
  name: QualifiedName,
  { groupId, charset, table }: Said & { readonly table: string },
): Buffer {
  const from =
    name.schema === null ? null : qualified({ schema: null, table: name.schema }, charset);
  return Buffer.concat([
    Buffer.from(`SHOW /* undrop locked ${groupId} */ OPEN TABLES`),
    ...(from === null ? [] : [Buffer.from(' FROM '), from]),
    Buffer.from(
      ` WHERE In_use > 0 AND \`Table\` = CONVERT(X'${Buffer.from(table).toString('hex')}' USING utf8)`,
    ),
  ]);
}

/** The RENAME of one table, for servers that refuse RENAME under LOCK TABLES. */
export function alterNameSql(
  { name, holdName }: { readonly name: QualifiedName; readonly holdName: string },
  { groupId, charset }: Said,
): Buffer {
  const hold = { schema: name.schema, table: Buffer.from(holdName) };
  return Buffer.concat([
    Buffer.from(`ALTER /* undrop hold ${groupId} */ TABLE `),
    qualified(name, charset),
    Buffer.from(' RENAME TO '),
    qualified(hold, charset),
  ]);
}

/** A RENAME that can never succeed: what is asked for is the right to rename, and the lock. */
export function askRenameSql(name: QualifiedName, { groupId, charset }: Said): Buffer {
  const table = qualified(name, charset);
  const verb = Buffer.from(`RENAME /* undrop locked ${groupId} */ TABLE `);
  return Buffer.concat([verb, table, Buffer.from(' TO '), table]);
}

/** Whether the session has it locked under its own name. */
export function askReadSql(name: QualifiedName, { groupId, charset }: Said): Buffer {
  const verb = Buffer.from(`SELECT /* undrop locked ${groupId} */ 1 FROM `);
  return Buffer.concat([verb, qualified(name, charset), Buffer.from(' LIMIT 0')]);
}

export const UNLOCK_SQL = Buffer.from('UNLOCK /* undrop locks */ TABLES');

/**
 * What statements of ours have left in the session is forgotten, on every server: diagnostics, and
 * with autocommit=0 the transaction of a SELECT, as behind a drop there is none.
 */
export const FORGET_SQL: readonly Buffer[] = [
  Buffer.from('SELECT /* undrop forget */ 1 FROM (SELECT 1) AS one LIMIT 0'),
  Buffer.from('COMMIT /* undrop forget */ AND NO CHAIN NO RELEASE'),
  Buffer.from('DO /* undrop forget */ 0'),
];
