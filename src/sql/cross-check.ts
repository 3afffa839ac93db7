/**
 * A second opinion on what a DROP TABLE names, by node-sql-parser: its one door. It reads the
 * client's own text if that is of a kind that the library reads as the servers do; most are. See
 * docs/decisions/node-sql-parser.md.
 *
 * Invariant: a disagreement is a refusal, never a vote.
 */
import { createRequire } from 'node:module';
import { isDeepStrictEqual } from 'node:util';
import type { DropTableStatement } from './grammar/drop-table.js';

interface Parser {
  astify(sql: string): unknown;
}

let parser: Parser | null = null;

/** Loads the library, which takes about 35 ms, before the first statement needs it. */
export function warmCrossCheck(): void {
  parser ??= loadParser();
}

/** So much of a client's text is given to the library: it takes some microseconds for each name. */
const OWN_TEXT_BYTES_MAX = 8_192;
/**
 * Texts of these bytes alone mean the same in every charset and sql_mode: no comment, no string, no
 * backslash, no `$`, of which the library makes something else than a server does.
 */
const OWN_TEXT = /^[\t\n\r ]*DROP[\t\n\r ]+TABLE[\t\n\r ][\w\t\n\r .,;`-]*$/i;
/**
 * It takes a doubled backtick for two, `--` for a comment, the beginning of the name `ifexistsa`
 * for IF EXISTS, and these words for aliases.
 */
const READ_OTHERWISE = /``|--|IF\s*EXISTS\w|IFEXISTS|\b(?:WAIT|NOWAIT|RESTRICT|CASCADE)\b/i;

/**
 * What the library reads in another way than the statement has it, for a message. Null: it reads
 * the same tables and IF EXISTS, or `text`, out of which the statement was read, isn't for it.
 */
export function crossCheck(
  { ifExists, names }: DropTableStatement,
  text: Uint8Array,
): string | null {
  if (text.length > OWN_TEXT_BYTES_MAX) return null;
  const sql = Buffer.from(text).toString('latin1');
  if (!OWN_TEXT.test(sql) || READ_OTHERWISE.test(sql)) return null;
  let tree: unknown;
  try {
    parser ??= loadParser();
    tree = parser.astify(sql.replace(/[;\s]+$/, ''));
  } catch {
    // Its grammar lacks names that servers take: words that it reserves, digits after a dot.
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

function loadParser(): Parser {
  const require = createRequire(import.meta.url);
  const library = require('node-sql-parser/build/mysql.js') as { Parser: new () => Parser };
  return new library.Parser();
}
