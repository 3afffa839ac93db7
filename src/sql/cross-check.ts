/**
 * A second opinion on the names in a DROP TABLE, by node-sql-parser; no other file uses it. It
 * reads the client's own text if the library reads such texts as the servers do; most are of that
 * kind. See docs/inside/decisions/statements.md.
 *
 * Invariant: a disagreement is a refusal, never a vote.
 */
import { isDeepStrictEqual } from 'node:util';
import type { DropTableStatement } from './verdict.js';

interface Parser {
  astify(sql: string): unknown;
}

let parser: Promise<Parser> | null = null;

/** Loads the library, which takes about 35 ms, before the first statement needs it. */
export function warmCrossCheck(): Promise<Parser> {
  parser ??= loadParser();
  return parser;
}

/** The longest text for the library, which takes some microseconds for each name. */
const OWN_TEXT_BYTES_MAX = 8_192;
/**
 * Texts of these bytes alone mean the same in every charset and sql_mode: no comment, no string, no
 * backslash, no `$`, which the library reads differently than servers do.
 */
const OWN_TEXT = /^[\t\n\r ]*DROP[\t\n\r ]+TABLE[\t\n\r ][\w\t\n\r .,;`-]*$/i;
/**
 * The library reads a doubled backtick as two, `--` as a comment, the beginning of the name
 * `ifexistsa` as IF EXISTS, and these words as aliases.
 */
const READ_OTHERWISE = /``|--|IF\s*EXISTS\w|IFEXISTS|\b(?:WAIT|NOWAIT|RESTRICT|CASCADE)\b/i;

/**
 * The difference between the library's reading and the statement, for a message. Null: it reads the
 * same tables and IF EXISTS, or `text` isn't suitable for it.
 */
export async function crossCheck(
  { ifExists, names }: DropTableStatement,
  text: Uint8Array,
): Promise<string | null> {
  if (text.length > OWN_TEXT_BYTES_MAX) return null;
  const sql = Buffer.from(text).toString('latin1');
  if (!OWN_TEXT.test(sql) || READ_OTHERWISE.test(sql)) return null;
  const library = await warmCrossCheck();
  let tree: unknown;
  try {
    tree = library.astify(sql.replace(/[;\s]+$/, ''));
  } catch {
    // Its grammar lacks names that servers accept: words that it reserves, digits after a dot.
    return null;
  }
  const expected = {
    type: 'drop',
    keyword: 'table',
    prefix: ifExists ? 'if exists' : null,
    name: names.map(({ schema, table }) => ({
      db: schema === null ? null : Buffer.from(schema).toString('latin1'),
      table: Buffer.from(table).toString('latin1'),
      as: null,
    })),
  };
  return isDeepStrictEqual(tree, expected)
    ? null
    : `the second parser reads ${JSON.stringify(tree)}`;
}

async function loadParser(): Promise<Parser> {
  const { default: library } = await import('node-sql-parser/build/mysql.js');
  return new library.Parser();
}
