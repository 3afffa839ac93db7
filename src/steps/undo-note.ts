/**
 * The note after a drop that says how it is undone, and until when (UNDROP_NOTE): a diagnostic of
 * the user's session, so that SHOW WARNINGS of any client has it. SIGNAL raises it, and no server
 * takes a SIGNAL that is a note, so its level is Warning.
 *
 * Invariant: the server's own diagnostics win, because SIGNAL clears them; a session that wants no
 * notes (sql_notes=0) gets none.
 */
import { idTimeMs, isPinned, parseHoldName } from '../names/names.js';
import { type OkPacket, okWithWarnings } from '../wire/response.js';
import { ER_UNKNOWN_ERROR } from '../wire/server-errors.js';
import { ask, type Effect, type HeldTable, type Steps } from './procedure.js';
import { SIGNAL_CHARACTERS_MAX, signalSql } from './session/user-session-sql.js';
import { clean } from './session-answers.js';

export interface Undoable {
  readonly held: readonly Pick<HeldTable, 'id' | 'holdName'>[];
  /** Names of the tables that are held, or of the schema that they were in. */
  readonly names: readonly (readonly string[])[];
  readonly what: 'TABLE' | 'DATABASE';
}

/** `ok`, or the same with one more warning. */
export function* tellUndo(
  request: { readonly groupId: string },
  ok: OkPacket,
  undoable: Undoable,
): Steps<OkPacket, Effect<'user'>> {
  const message = ok.warnings > 0 ? null : undoNote(undoable, request.groupId);
  if (message === null) return ok;
  const [notes] = yield* ask(NOTES_SQL);
  if (notes?.kind === 'rows' && notes.rows[0]?.[0]?.toString() !== '1') return ok;
  const signal = { errno: ER_UNKNOWN_ERROR, sqlState: '01000', message };
  const [said] = notes?.kind === 'rows' ? yield* ask(signalSql(signal)) : [];
  if (said?.kind === 'ok') return { ...ok, ...withWarnings(ok, said.warnings) };
  // A KILL QUERY has hit one of them, and the drop is done.
  yield* clean(request);
  return ok;
}

const NOTES_SQL = Buffer.from('SELECT /* undrop notes */ CAST(@@sql_notes + 0 AS BINARY) LIMIT 1');

function withWarnings(ok: OkPacket, warnings: number): Pick<OkPacket, 'warnings' | 'payload'> {
  return { warnings, payload: okWithWarnings(ok, warnings) };
}

/** Who has less time than this to undo it isn't told of it. */
const TIME_MS_MIN = 60_000;

/** At most as long as MySQL takes it; null: there is nothing to undo, or no time. */
export function undoNote({ held, names, what }: Undoable, groupId: string): string | null {
  const dues = held.flatMap(({ holdName }) => parseHoldName(holdName)?.due ?? []);
  const [first] = dues.sort((one, other) => one.getTime() - other.getTime());
  if (first === undefined || first.getTime() - idTimeMs(groupId) < TIME_MS_MIN) return null;
  const until = `until ${first.toISOString().slice(0, 16).replace('T', ' ')} UTC`;
  const undo = `Undo ${isPinned(first) ? 'at any time' : until}:`;
  const listed = names.map((name) => name.map(quoted).join('.')).join(', ');
  const [table, another] = held;
  const isOne = what === 'TABLE' && another === undefined;
  const texts = [
    `${undo} UNDROP ${what} ${listed} (${isOne ? `id ${table?.id}` : `drop ${groupId}`})`,
    isOne ? `${undo} UNDROP TABLE '${table?.id}'` : `${undo} UNDROP ${what} ${listed}`,
    `${undo} SHOW DROPPED TABLES has what drop ${groupId} held`,
  ];
  return texts.find((text) => Array.from(text).length <= SIGNAL_CHARACTERS_MAX) ?? null;
}

function quoted(name: string): string {
  return `\`${name.replaceAll('`', '``')}\``;
}
