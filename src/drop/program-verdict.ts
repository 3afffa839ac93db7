/**
 * The server's verdict on the text of a drop where it prepares nothing (max_prepared_stmt_count):
 * the text as the body of a program in a schema that isn't there, with something behind it that no
 * grammar takes. Where the server stumbles over that alone, it takes the text.
 *
 * Invariant: nothing of it is executed, and no transaction ended: each ends as a syntax error.
 */
import type { ErrPacket } from '../wire/response/err.js';
import type { Result } from '../wire/result-reader.js';
import type { UserCommand } from './user-session.js';

/** Not preparable, or no statement handle left: the server gives no verdict on the syntax. */
export const NO_VERDICT: ReadonlySet<number> = new Set([1295, 1461]);

const SYNTAX_ERROR = 1064;
/** What a parser says: too long, syntax, twice, wrong for a schema or a table, wrong bytes. */
const OF_PARSER: ReadonlySet<number> = new Set([1059, SYNTAX_ERROR, 1066, 1102, 1103, 1300]);
const SEMICOLON = 0x3b;

/** What the server thinks of a text; null: nobody can tell. */
export type Verdict = { readonly taken: true } | { readonly taken: false; readonly why: ErrPacket };

/** `groupId` makes the words unmistakable. */
interface Asked {
  readonly text: Uint8Array;
  readonly groupId: string;
}

/**
 * Asks for the verdict; what is asked first is a text that every server takes. Nothing is asked of
 * a text in which another statement might begin.
 */
export function askVerdict({ text, groupId }: Asked): readonly UserCommand[] {
  const statement = withoutEnd(text);
  if (statement.includes(SEMICOLON)) return [];
  return [Buffer.from('DROP TABLE a'), statement].map((body) => ({
    kind: 'query' as const,
    text: Buffer.concat([asProgram({ text: body, groupId }), Buffer.from(`\n${sealOf(groupId)}`)]),
  }));
}

/** What stands before semicolons and blanks. */
function withoutEnd(text: Uint8Array): Uint8Array {
  const end = text.findLastIndex((byte) => byte > 0x20 && byte !== SEMICOLON);
  return text.subarray(0, end + 1);
}

/** Reads the answers to `askVerdict`. */
export function readVerdict(results: readonly Result[], groupId: string): Verdict | null {
  const [known, asked] = results;
  if (known?.kind !== 'err' || asked?.kind !== 'err' || !stopsAtSeal(known, groupId)) return null;
  if (stopsAtSeal(asked, groupId)) return { taken: true };
  return OF_PARSER.has(asked.errno) ? { taken: false, why: asked } : null;
}

/** Has the server say its words once more of a text that it doesn't take. */
export function asProgram({ text, groupId }: Asked): Buffer {
  const program = `\`_undrop_none_${groupId}\`.\`p\``;
  const verb = `CREATE /* undrop judge ${groupId} */ PROCEDURE ${program}() `;
  return Buffer.concat([Buffer.from(verb), text]);
}

/** No grammar takes another name behind a drop; where one is missing, the bracket is too much. */
function sealOf(groupId: string): string {
  return `\`undrop_${groupId}\` )`;
}

/** The words quote the text from where the server stumbled; of that there is nothing else then. */
function stopsAtSeal({ errno, message }: ErrPacket, groupId: string): boolean {
  const text = message.toString('latin1');
  const at = text.indexOf(sealOf(groupId));
  return errno === SYNTAX_ERROR && at > 0 && text[at - 1] !== '\n';
}

/** Asks whether the parser takes the text of a CREATE, whatever else is wrong with it. */
export function askParser({ text, groupId }: Asked): Buffer {
  const program = asProgram({ text: withoutEnd(text), groupId });
  return Buffer.concat([program, Buffer.from(`\n${endOf(groupId)}`)]);
}

/** Reads the answer to `askParser`. */
export function passesParser(result: Result | undefined, groupId: string): boolean {
  if (result?.kind !== 'err' || result.errno !== SYNTAX_ERROR) return false;
  return result.message.toString('latin1').includes(endOf(groupId));
}

/** Behind a CREATE a name could be that of an option, or an alias. */
function endOf(groupId: string): string {
  return `) \`undrop_${groupId}\``;
}
