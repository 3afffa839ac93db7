/**
 * The definition of a trigger: read in the bytes of its own charset and in UTF-8, and executed
 * again as the first time: the same bytes, under the same sql_mode and charsets, which the server
 * stores with the trigger.
 */

import { runWithTimeout } from '../../connections/pool/statement-timeout.js';
import type { ServicePool, SQLQuery } from '../../connections/sql.js';
import { col, ident, note, quoteIdentifier, sql } from '../../connections/sql.js';
import { assert, UndropError } from '../../errors.js';
import type { HeldTrigger } from '../../ledger/detached/detached.js';
import { isAscii, quotedTable } from '../../ledger/detached/detached.js';
import type { KeyedTable } from '../foreign-keys/add-keys.js';

/** Rejects with the server's error: 1359 if another trigger has its name. */
export async function createTrigger(
  pool: ServicePool,
  { id, schema, table }: KeyedTable,
  trigger: HeldTrigger,
): Promise<void> {
  const last = await statementOf(pool, trigger, table);
  // Names without a schema in the text refer to the default one.
  const use = sql`USE ${ident(schema)}`;
  await runWithTimeout(pool, [use, setModes(trigger, id)], { last });
}

/** A single statement, so that none is read under settings that are half changed. */
export function setModes(trigger: HeldTrigger, id: string): SQLQuery {
  const { characterSetClient, collationConnection, sqlMode } = trigger;
  return sql`SET ${note('trigger', id)} character_set_client = ${characterSetClient},
    collation_connection = ${collationConnection}, sql_mode = ${sqlMode}`;
}

/** The CREATE TRIGGER for a table of that name, in the trigger's own charset. */
export async function statementOf(
  pool: ServicePool,
  trigger: HeldTrigger,
  table: string,
): Promise<Buffer> {
  const { head, tail, characterSetClient } = trigger;
  const name = await inCharset(pool, quotedTable(trigger, table), characterSetClient);
  return Buffer.concat([Buffer.from(head, 'base64'), name, Buffer.from(tail, 'base64')]);
}

/** A quoted name, as the source of a pattern. */
export const QUOTED = '(?:`(?:[^`]|``)*`|"(?:[^"]|"")*"|\'(?:[^\']|\'\')*\')';
/**
 * `CREATE DEFINER=… TRIGGER `, and the name after it, if it has no schema; nothing else in between,
 * such as a comment with these words.
 */
const DEFINER = `(?:${QUOTED}|\\w+)`;
const NAMED = new RegExp(
  `^(CREATE\\s+(?:OR\\s+REPLACE\\s+)?DEFINER\\s*=\\s*${DEFINER}(?:@${DEFINER})?\\s+TRIGGER\\s+(?:IF\\s+NOT\\s+EXISTS\\s+)?)(\`[^\`]+\`|"[^"]+"|\\w+)(\\.?)`,
  'i',
);

/**
 * The same for a session with another default schema, or none. Null if the trigger's name isn't
 * found in the text.
 */
export async function qualifiedStatementOf(
  pool: ServicePool,
  trigger: HeldTrigger,
  { schema, table }: Pick<KeyedTable, 'schema' | 'table'>,
): Promise<Buffer | null> {
  const head = Buffer.from(trigger.head, 'base64').toString('latin1');
  const [, before = '', quoted = '', dot = ''] = NAMED.exec(head) ?? [];
  const isName = quoted.replaceAll(/[`"]/g, '') === trigger.name;
  if (dot === '' && !isName) return null;
  const start = dot === '' ? before.length : head.length;
  const { characterSetClient: charset, tail } = trigger;
  const prefix = await inCharset(pool, `${quoteIdentifier(schema)}.`, charset);
  return Buffer.concat([
    Buffer.from(head.slice(0, start), 'latin1'),
    ...(dot === '' ? [prefix] : []),
    Buffer.from(head.slice(start), 'latin1'),
    prefix,
    await inCharset(pool, quotedTable(trigger, table), charset),
    Buffer.from(tail, 'base64'),
  ]);
}

/**
 * The text in a charset. Only what isn't ASCII is converted: that is the same in each charset of a
 * client, but sjis has another backslash in its conversion. Rejects with UNDROP_BAD_NAME if that
 * charset lacks a character.
 */
export async function inCharset(pool: ServicePool, text: string, charset: string): Promise<Buffer> {
  if (isAscii(text) || charset.startsWith('utf8')) return Buffer.from(text);
  const runs = text.match(NOT_ASCII) ?? [];
  const converted = sql`CONVERT(${runs.join('\n')} USING ${ident(charset)})`;
  const [rows = []] = await pool.run(
    sql`SELECT ${note('trigger')} HEX(${converted}) AS there,
        HEX(CONVERT(${converted} USING utf8mb4)) AS back`,
  );
  const [row = {}] = rows;
  if (col.text(row, 'back').toLowerCase() !== Buffer.from(runs.join('\n')).toString('hex')) {
    throw new UndropError('UNDROP_BAD_NAME', { name: `${text} in ${charset}` });
  }
  // No character of several bytes has a newline in it.
  const there = Buffer.from(col.text(row, 'there'), 'hex').toString('latin1').split('\n');
  return Buffer.from(
    text.replace(NOT_ASCII, () => there.shift() ?? ''),
    'latin1',
  );
}

const NOT_ASCII = /[^\0-\x7f]+/g;

export type ShownTrigger = Readonly<Awaited<ReturnType<typeof showTriggers>>[number]>;

/** In the order in which they fire. Rejects with the server's error if it can't show one. */
export async function showTriggers(pool: ServicePool, { id, schema, table }: KeyedTable) {
  const [named = []] = await pool.run(
    sql`SELECT ${note('look', id)} TRIGGER_NAME AS name, ACTION_TIMING AS timing,
        EVENT_MANIPULATION AS event, ACTION_ORDER AS place, DEFINER AS definer,
        SQL_MODE AS sqlMode, CHARACTER_SET_CLIENT AS client, COLLATION_CONNECTION AS connection,
        DATABASE_COLLATION AS collation, DEFAULT_COLLATION_NAME AS schemaCollation
      FROM information_schema.TRIGGERS
        JOIN information_schema.SCHEMATA ON SCHEMA_NAME = ${schema}
      WHERE EVENT_OBJECT_SCHEMA = ${schema} AND EVENT_OBJECT_TABLE = ${table}
      ORDER BY timing, event, place`,
  );
  if (named.length === 0) return [];
  const shows = named.map(
    (row) => sql`SHOW CREATE TRIGGER ${note('look', id)} ${ident(schema, col.text(row, 'name'))}`,
  );
  const answers = await pool.run([...shows, sql`SET character_set_results = binary`, ...shows]);
  return named.map((row, index) => {
    const [shown = {}] = answers[index] ?? [];
    const [raw = {}] = answers[named.length + 1 + index] ?? [];
    const bytes = raw[STATEMENT];
    assert(Buffer.isBuffer(bytes), 'what is asked for in binary comes as bytes');
    return {
      name: col.text(row, 'name'),
      event: `${col.text(row, 'timing')} ${col.text(row, 'event')}`,
      order: col.number(row, 'place'),
      definer: col.text(row, 'definer'),
      sqlMode: col.text(row, 'sqlMode'),
      characterSetClient: col.text(row, 'client'),
      collationConnection: col.text(row, 'connection'),
      databaseCollation: col.text(row, 'collation'),
      /** The present default collation of its schema. */
      schemaCollation: col.text(row, 'schemaCollation'),
      bytes,
      text: col.text(shown, STATEMENT),
    };
  });
}

const STATEMENT = 'SQL Original Statement';
