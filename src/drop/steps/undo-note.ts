/**
 * How a drop is undone, and until when, for the session that drops (UNDROP_NOTE): in the info text
 * of the OK packet, which costs nothing.
 *
 * Invariant: the info text changes nothing else of the answer.
 */
import { idTimeMs, isPinned, parseHoldName } from '../../names/names.js';
import { isUnquotedName } from '../../sql/grammar/table-name.js';
import { clientCharsetOf, isStorable } from '../../sql/lex/client-charset.js';
import { okWithInfo } from '../../wire/response.js';
import type { HeldTable, UserFacts } from './world.js';

/** The values of UNDROP_NOTE. */
export type Note = 'info' | 'off';

export interface Undoable {
  readonly held: readonly Pick<HeldTable, 'id' | 'holdName'>[];
  /** Names of the tables that are held, or of the schema that they were in. */
  readonly names: readonly (readonly string[])[];
  readonly what: 'TABLE' | 'DATABASE';
  /** Another table has the name; default: none has. */
  readonly swaps?: boolean;
  /** An addition to the text, without its final period; default: none. */
  readonly remark?: string | null;
}

/** With a length of one byte; some clients show it as a part of the text. */
const INFO_BYTES_MAX = 250;

/** The payload of an OK with the note on the undo in its info text; others unchanged. */
export function withUndoInfo(
  payload: Buffer,
  undoable: Undoable,
  { note, facts }: { readonly note: Note | undefined; readonly facts: UserFacts | null },
): Buffer {
  if (note !== 'info' || facts === null) return payload;
  const texts = undoInfo(undoable).flatMap((text) => inCharset(text, facts.resultsCharset) ?? []);
  return withInfo(payload, texts.find(({ length }) => length <= INFO_BYTES_MAX) ?? null);
}

/** The payload of an OK with the info text of an UNDROP; others unchanged. */
export function withRestoredInfo(
  payload: Buffer,
  text: string,
  { note, facts }: { readonly note: Note | undefined; readonly facts: UserFacts },
): Buffer {
  if (note === undefined || note === 'off') return payload;
  const asciiText = text.replaceAll(/[^\0-\x7f]/gu, '?');
  return withInfo(payload, inCharset(text, facts.resultsCharset) ?? Buffer.from(asciiText));
}

function withInfo(payload: Buffer, text: Buffer | null): Buffer {
  if (payload[0] !== 0x00 || text === null) return payload;
  return okWithInfo(payload, (info) =>
    info.length === 0 ? text : Buffer.concat([info, Buffer.from('  '), text]),
  );
}

/** With the name, and without it; empty: nothing to undo, or no time. */
export function undoInfo(undoable: Undoable): readonly string[] {
  const { held, names, what, swaps = false, remark = null } = undoable;
  const [first] = held;
  const due = first === undefined ? null : firstDue(held, first.id);
  if (first === undefined || due === null) return [];
  const until = isPinned(due) ? 'Held, pinned.' : `Held ${untilText(due)}.`;
  const undo = (target: string) => `${until} Undo: UNDROP ${target}${swaps ? ' SWAP' : ''}`;
  // The id of a table means its statement, too.
  const ofAll = names.length > 1 ? undo(`DROP '${first.id}'`) : null;
  const byId =
    what === 'TABLE' ? undo(`TABLE '${first.id}'`) : `${until} SHOW DROPPED TABLES lists it`;
  const said = ofAll ?? undo(`${what} ${writtenPlainly(names[0] ?? [])}`);
  return [...(remark === null ? [] : [`${said} (${remark})`]), said, ...(ofAll ? [] : [byId])];
}

/** A name as it can be typed, with quotes only where it needs them. */
export function writtenPlainly(name: readonly string[]): string {
  const quoted = (part: string) => `\`${part.replaceAll('`', '``')}\``;
  return name.map((part) => (isUnquotedName(part) ? part : quoted(part))).join('.');
}

/**
 * In character_set_results; null: the text has characters that aren't ASCII, or aren't the same in
 * that charset. A session with results in UTF-16 and the like has no answer but a refusal.
 */
function inCharset(text: string, charset: string): Buffer | null {
  const bytes = Buffer.from(text);
  if (charset === '' || charset === 'binary' || charset.startsWith('utf8')) return bytes;
  const kind = clientCharsetOf(charset);
  const isSame = bytes.length === text.length && kind !== null && isStorable(bytes, kind);
  return isSame ? bytes : null;
}

/** The note is left out if less time than this is left to undo the drop. */
const TIME_MS_MIN = 60_000;

/** The first due time; null: none is held, or not for long after the drop of `id`. */
function firstDue(held: Undoable['held'], id: string): Date | null {
  const dues = held.flatMap(({ holdName }) => parseHoldName(holdName)?.due ?? []);
  const [first] = dues.sort((one, other) => one.getTime() - other.getTime());
  if (first === undefined || first.getTime() - idTimeMs(id) < TIME_MS_MIN) return null;
  return first;
}

export function untilText(due: Date): string {
  return `until ${due.toISOString().slice(0, 16).replace('T', ' ')} UTC`;
}
