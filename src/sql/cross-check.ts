/**
 * A second opinion on what a DROP TABLE names, by node-sql-parser: its one door. Our reading is
 * written out in its plainest form, odd names replaced by placeholders, and the library has to read
 * the same list out of it. See docs/decisions/node-sql-parser.md for why no more is asked of it.
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

/** Whether the library reads the same tables, and the same IF EXISTS, as `statement` has. */
export function crossCheck(statement: DropTableStatement): SecondOpinion {
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
