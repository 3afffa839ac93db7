/**
 * The drops in a MariaDB block whose places can be taken by RENAMEs in the same text. Pure.
 *
 * Invariant: each of them runs once at most, and nothing in the block can tell the one statement
 * from the other. Whatever is in doubt is a reason to refuse the block.
 */
import type { DropTableStatement } from './grammar/drop-table.js';
import type { Refused } from './verdict.js';

export interface BlockDrop {
  /** Where the statement stands in the text, without its `;`. */
  readonly start: number;
  readonly end: number;
  readonly statement: DropTableStatement;
}

/**
 * A handler sees errors, which a RENAME has others of; a temporary table may come to stand before
 * the one that is dropped, a foreign key come to lead into it, another table take its name; a GOTO
 * goes back; what the statement before the block has left behind is gone when the tables have been
 * looked at. A word of these within a literal is one too many, which does no harm.
 */
const IN_THE_WAY: readonly (readonly [RegExp, string])[] = [
  [/\b(?:handler|exception)\b/i, 'that has a handler'],
  [/\btemporary\b/i, 'that has temporary tables'],
  [/\breferences\b/i, 'that makes foreign keys'],
  [/\brename\b/i, 'that renames'],
  [/\bgoto\b/i, 'that has a GOTO'],
  [/row_count|found_rows|warning_count|error_count/i, 'that asks for counts of a statement'],
  [/\b(?:diagnostics|warnings|errors)\b/i, 'that asks for the warnings of a statement'],
  [/sql_log_bin/i, 'that sets sql_log_bin'],
  [/\/\*m?!/i, 'that has a version comment'],
];

/** The drops in the order of the text; or why not, as it follows "in a compound statement". */
export function dropsOfBlock(
  bytes: Uint8Array,
  { statements }: Refused,
): readonly BlockDrop[] | { readonly why: string } {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
  const found = IN_THE_WAY.find(([words]) => words.test(text));
  if (found !== undefined) return { why: found[1] };
  const drops: BlockDrop[] = [];
  for (const { start, end, verdict, repeats = false } of statements) {
    if (verdict.kind === 'not-ours') continue;
    if (verdict.kind !== 'drop-table') return { why: 'that drops in another way as well' };
    if (verdict.statement.isDoubtful) return { why: 'with a name that only the server can judge' };
    if (repeats) return { why: 'that may drop it more than once' };
    drops.push({ start, end, statement: verdict.statement });
  }
  return drops;
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
