/**
 * The drops in a MariaDB block whose places can be taken by RENAMEs in the same text. Pure.
 *
 * Invariant: each of them runs once at most, and nothing in the block can tell the one statement
 * from the other. Whatever is in doubt is a reason to refuse the block.
 */
import type { DropTableStatement } from './grammar/drop-table.js';
import type { TableName } from './grammar/table-name.js';
import type { Refused } from './verdict.js';

export interface BlockDrop {
  /** Where the statement stands in the text, without its `;`. */
  readonly start: number;
  readonly end: number;
  readonly statement: DropTableStatement;
}

export interface Block {
  /** In the order of the text. */
  readonly drops: readonly BlockDrop[];
  /** It goes on behind an error, or does something else then. */
  readonly hasHandler: boolean;
  /** It may drop triggers. */
  readonly hasTriggers: boolean;
  /** It makes foreign keys. */
  readonly hasKeys: boolean;
  /** From the first drop on it does nothing but drop tables and create some, all of it for sure. */
  readonly isQuiet: boolean;
}

/**
 * A temporary table may come to stand before the one that is dropped, another table take its name;
 * a GOTO goes back; what the statement before the block has left behind is gone when the tables
 * have been looked at; of errors a RENAME has another number for a table that is gone. A word of
 * these within a literal is one too many, which does no harm.
 */
const IN_THE_WAY: readonly (readonly [RegExp, string])[] = [
  [/\bexception\b/i, 'that has a handler of ORACLE mode'],
  [/\btemporary\b/i, 'that has temporary tables'],
  [/\brename\b/i, 'that renames'],
  [/\bgoto\b/i, 'that has a GOTO'],
  [/row_count|found_rows|warning_count|error_count/i, 'that asks for counts of a statement'],
  [/\b(?:diagnostics|warnings|errors)\b/i, 'that asks for the warnings of a statement'],
  [/sql_log_bin/i, 'that sets sql_log_bin'],
  [/\/\*m?!/i, 'that has a version comment'],
];

/** Why they can't be taken over, as it follows "in a compound statement", and what helps. */
export interface NotTaken {
  readonly why: string;
  /** Default: to send the drop by itself. */
  readonly instead?: string;
}

/** `PREPARE … FROM @v` and the like: its value then is not the one that could be asked for now. */
const UNSEEN_TEXT: NotTaken = {
  why: 'that executes a text which only the server knows, as it comes to it, and which may be a drop',
  instead:
    'Write that text as a literal in the statement, or send its PREPARE as a statement of its own, or use a direct connection.',
};

/** The drops, or why not. */
export function dropsOfBlock(bytes: Uint8Array, { statements }: Refused): Block | NotTaken {
  const text = latin1(bytes);
  const found = IN_THE_WAY.find(([words]) => words.test(text));
  if (found !== undefined) return { why: found[1] };
  const hasHandler = /\bhandler\b/i.test(text);
  // Of a table that has gone meanwhile a drop says the one, a RENAME the other.
  if (hasHandler && /\b(?:1051|1146)\b/.test(text)) return { why: 'that handles error 1051' };
  const drops: BlockDrop[] = [];
  for (const { start, end, verdict, repeats = false } of statements) {
    if (verdict.kind === 'not-ours') continue;
    if (verdict.kind === 'dynamic') return UNSEEN_TEXT;
    if (verdict.kind !== 'drop-table') return { why: 'that drops in another way as well' };
    if (verdict.statement.empties === true) return { why: 'that empties a table' };
    if (verdict.statement.partitions !== undefined) return { why: 'that destroys partitions' };
    if (verdict.statement.isDoubtful) return { why: 'with a name that only the server can judge' };
    if (repeats) return { why: 'that may drop it more than once' };
    drops.push({ start, end, statement: verdict.statement });
  }
  // A foreign key may come to lead into what is dropped behind it.
  if (/\breferences\b/i.test(text.slice(0, drops.at(-1)?.start))) {
    return { why: 'that makes foreign keys before it' };
  }
  return {
    drops,
    hasHandler,
    hasTriggers: /\btrigger\b/i.test(text),
    hasKeys: /\breferences\b/i.test(text),
    isQuiet: isQuiet(text, statements),
  };
}

/** Words of all that may pass by a statement, come to one twice, or change what a drop asks for. */
const NOT_FLAT =
  /\b(?:if(?!\s+(?:not\s+)?exists\b)|case|loop|while|repeat|for|leave|iterate|declare|return|call|foreign_key_checks)\b/i;
const CREATES = /^create\s+table\b/i;

function isQuiet(text: string, statements: Refused['statements']): boolean {
  if (!/^\s*begin\s+not\s+atomic\b/i.test(text) || NOT_FLAT.test(text)) return false;
  const first = statements.findIndex(({ verdict }) => verdict.kind === 'drop-table');
  return statements.slice(first).every(({ verdict, start, end }) => {
    const one = text.slice(start, end);
    return verdict.kind === 'drop-table' || (CREATES.test(one) && !/\bselect\b/i.test(one));
  });
}

/**
 * Whether a table that is missing now may have come to be when `drop` has its turn: what is before
 * it makes one, and names it.
 */
export function mayComeToBe(bytes: Uint8Array, drop: BlockDrop, { table }: TableName): boolean {
  const before = latin1(bytes).slice(0, drop.start).toLowerCase();
  if (/\bcall\b/.test(before)) return true;
  if (!/\b(?:create|alter)\b/.test(before)) return false;
  const name = latin1(table).toLowerCase();
  // Of other letters nobody here knows which are one to the server.
  return !/^\w+$/.test(name) || new RegExp(`\\b${name}\\b`).test(before);
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
}

/** The text with `instead` in the place of each drop, in their order. */
export function withInstead(
  bytes: Uint8Array,
  drops: readonly BlockDrop[],
  instead: readonly Uint8Array[],
): Buffer {
  const parts: Uint8Array[] = [];
  let at = 0;
  for (const [index, { start, end }] of drops.entries()) {
    parts.push(bytes.subarray(at, start), instead[index] ?? new Uint8Array());
    at = end;
  }
  return Buffer.concat([...parts, bytes.subarray(at)]);
}
