/**
 * Brings the server to say its words for the names of a DROP TABLE that are no base tables, and for
 * parents that it would not drop; which statements do that is in
 * statements/drop-table/server-answers.ts.
 */
import { assert } from '../../assert.js';
import { ask, perform, query, type Steps } from '../../steps/procedure.js';
import { gtidSql, underOwnGtid } from '../../steps/session/user-session-sql.js';
import type { ErrPacket } from '../../wire/response.js';
import { type OkPacket, okWithWarnings } from '../../wire/response.js';
import type { Result } from '../../wire/result-reader.js';
import type { Drop, Name } from './decide.js';
import { type BlockedParent, parentErrorInFull } from './parents.js';
import { sayWords } from './server-answers.js';

export interface Words {
  readonly named: readonly Name[];
  readonly blocked: readonly BlockedParent[];
}

/** `isBeside`: after a RENAME, which has used the session's GTID up if it had one. */
export function* say(
  drop: Drop,
  { named, blocked }: Words,
  { isBeside }: { readonly isBeside: boolean },
): Steps<OkPacket | ErrPacket> {
  const { request, intent, facts } = drop;
  const [parent] = blocked;
  const parentAt = parent === undefined ? -1 : intent.tables.indexOf(parent.table);
  const { texts, notes } = sayWords(request, { names: named, blocked, parentAt });
  const own = isBeside ? facts.gtidNext : null;
  const { commands, at } = underOwnGtid(own, texts.map(query));
  const results = yield* perform('user', { commands, renames: false });
  const said = results[at + texts.length - 1];
  assert(said?.kind === 'ok' || said?.kind === 'err', 'words are an OK or an ERR');
  if (parent !== undefined) return parentErrorInFull(said, request.server, parent);
  return counting(said, notes);
}

/** The server has one note where a native drop has several. */
function counting<T extends OkPacket | ErrPacket>(said: T, notes: number | undefined): Result & T {
  if (said.kind !== 'ok' || notes === undefined || said.warnings === 0) return said;
  return { ...said, warnings: notes, payload: okWithWarnings(said, notes) };
}

/** A drop that says notes alone is logged; null: the client isn't told its GTID. */
export function* logNotes(drop: Drop, { named, blocked }: Words): Steps<OkPacket | null> {
  const { request, facts } = drop;
  const absent = named.find(({ kind }) => kind !== 'temporary');
  const isNoted = request.statement.ifExists && blocked.length === 0;
  if (!facts.tracksGtids || facts.gtidNext !== null || !isNoted || absent === undefined)
    return null;
  const [said] = yield* ask(gtidSql(absent.name, request));
  return said?.kind === 'ok' ? said : null;
}

/** The first ended the transaction and says so; the notes are those of the second. */
export function okOfBoth(first: OkPacket, { warnings }: OkPacket): OkPacket {
  return { ...first, warnings, payload: okWithWarnings(first, warnings) };
}
