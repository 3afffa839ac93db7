/**
 * A second opinion on what a DROP TABLE names, by node-sql-parser: its one door. It reads the
 * client's own text where that is of a kind that the library reads as the servers do. Of any other
 * our reading is written out in its plainest form, odd names replaced by placeholders, and the
 * library has to read the same list out of that. See docs/decisions/node-sql-parser.md.
 *
 * Invariant: a disagreement is a refusal, never a vote.
 */
import { createRequire } from 'node:module';
import type { DropTableStatement, TableName } from './grammar/drop-table.js';

export type SecondOpinion = 'agree' | { readonly disagree: string };

interface Parser {
  astify(sql: string): unknown;
}

/** Names that the library reads as the servers do. */
const PLAIN = /^[A-Za-z_][A-Za-z0-9_]{0,63}$/;

let parser: Parser | null = null;

/** Loads the library, which takes about 35 ms, before the first statement needs it. */
export async function warmCrossCheck(): Promise<void> {
  loadedParser();
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
 * Whether the library reads the same tables, and the same IF EXISTS, as `statement` has. `text`:
 * what `statement` was read out of, and nothing else.
 */
export function crossCheck(
  statement: DropTableStatement,
  text: Uint8Array | null = null,
): SecondOpinion {
  return opinionOnText(statement, text) ?? opinionOnReading(statement);
}

/** Null: the text is of no kind that the library reads right, or it doesn't take it. */
function opinionOnText(
  { ifExists, names, empties, partitions }: DropTableStatement,
  text: Uint8Array | null,
): SecondOpinion | null {
  if (text === null || text.length > OWN_TEXT_BYTES_MAX) return null;
  if (empties === true || partitions !== undefined) return null;
  const sql = Buffer.from(text).toString('latin1');
  if (!OWN_TEXT.test(sql) || READ_OTHERWISE.test(sql)) return null;
  let tree: unknown;
  try {
    tree = loadedParser().astify(sql.replace(/[;\s]+$/, ''));
  } catch {
    // Its grammar lacks names that servers take: words that it reserves, digits behind a dot.
    return null;
  }
  const expected = {
    prefix: ifExists ? 'if exists' : null,
    names: names.map(({ schema, table }) => ({
      db: schema === null ? null : Buffer.from(schema).toString('latin1'),
      table: Buffer.from(table).toString('latin1'),
    })),
  };
  return compared(readDrop(tree), expected);
}

/** Of our reading, in its plainest form. */
function opinionOnReading(statement: DropTableStatement): SecondOpinion {
  const names = statement.names.map((name, index) => plainName(name, index));
  const list = names.map(({ db, table }) =>
    db === null ? quote(table) : `${quote(db)}.${quote(table)}`,
  );
  const sql = `DROP TABLE ${statement.ifExists ? 'IF EXISTS ' : ''}${list.join(', ')}`;
  const expected = { prefix: statement.ifExists ? 'if exists' : null, names };
  let seen: unknown;
  try {
    seen = readDrop(loadedParser().astify(sql));
  } catch (error) {
    // The library throws on what its grammar doesn't take: that, too, is a disagreement.
    return { disagree: `the second parser refuses it: ${firstLine(error)}` };
  }
  return compared(seen, expected);
}

function compared(seen: unknown, expected: unknown): SecondOpinion {
  if (JSON.stringify(seen) === JSON.stringify(expected)) return 'agree';
  return { disagree: `the second parser reads ${JSON.stringify(seen)}` };
}

function loadedParser(): Parser {
  if (parser !== null) return parser;
  const require = createRequire(import.meta.url);
  const library = require('node-sql-parser/build/mysql.js') as { Parser: new () => Parser };
  parser = new library.Parser();
  return parser;
}

interface PlainName {
  readonly db: string | null;
  readonly table: string;
}

function plainName(name: TableName, index: number): PlainName {
  const db = name.schema === null ? null : plainPart(name.schema, `undrop_schema_${index}`);
  return { db, table: plainPart(name.table, `undrop_table_${index}`) };
}

function plainPart(bytes: Uint8Array, placeholder: string): string {
  const text = Buffer.from(bytes).toString('latin1');
  return PLAIN.test(text) ? text : placeholder;
}

function quote(name: string): string {
  return `\`${name}\``;
}

/** What the library's tree says of a DROP TABLE; null for any other tree. */
function readDrop(tree: unknown): unknown {
  const { type, keyword, prefix, name } = (tree ?? {}) as Record<string, unknown>;
  if (type !== 'drop' || keyword !== 'table' || !Array.isArray(name)) return null;
  const names = (name as readonly Record<string, unknown>[]).map((one) =>
    one['as'] === null ? { db: one['db'], table: one['table'] } : one,
  );
  return { prefix, names };
}

function firstLine(error: unknown): string {
  return String(error instanceof Error ? error.message : error).split('\n', 1)[0] ?? '';
}
