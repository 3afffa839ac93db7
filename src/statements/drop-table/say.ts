/**
 * Makes the server report on the names of a DROP TABLE that aren't base tables, and on parents that
 * it would not drop. Temporary tables among them are dropped.
 *
 * Invariant: no statement here can destroy a base table.
 */
import { assert } from '../../assert.js';
import { type Answer, answerWith } from '../../steps/reply.js';
import type { DropRequest } from '../../steps/request.js';
import { ask, type UserSession } from '../../steps/session/user-session.js';
import {
  dropTemporarySql,
  notSequenceSignal,
  type Signal,
  viewSignal,
} from '../../steps/session/user-session-sql.js';
import { raise } from '../../steps/session-answers.js';
import { type OkPacket, okWithWarnings } from '../../wire/response.js';
import { type BlockedParent, type Drop, type Name, parentError } from './decide.js';

export interface Unmoved {
  readonly named: readonly Name[];
  readonly blocked: readonly BlockedParent[];
}

export async function say(
  session: UserSession,
  { request }: Drop,
  { named, blocked }: Unmoved,
): Promise<OkPacket | Answer> {
  const error = errorOf(request, named, blocked);
  if (error === null) return dropTemporary(session, request, named);
  const temporary = named.filter(({ kind }) => kind === 'temporary');
  if (temporary.length > 0) await dropTemporary(session, request, temporary);
  return raise(session, request, error);
}

/** Null: the names alone make the server report the error. */
function errorOf(
  { server, statement }: DropRequest,
  names: readonly Name[],
  [parent]: readonly BlockedParent[],
): Signal | null {
  if (parent !== undefined) return parentError(server, parent);
  // MariaDB's texts for other objects are errors of their own; under IF EXISTS they are notes.
  if (statement.ifExists) return null;
  for (const { kind, seen } of names) {
    if (kind === 'view' && server.flavour === 'mariadb') return viewSignal(seen);
    if (kind === 'table') return notSequenceSignal(seen);
  }
  return null;
}

/** The server reports a name that isn't a temporary table as unknown. */
async function dropTemporary(
  session: UserSession,
  request: DropRequest,
  names: readonly Name[],
): Promise<OkPacket | Answer> {
  const { object, ifExists } = request.statement;
  const text = dropTemporarySql(
    names.map(({ name }) => name),
    { ...request, object, ifExists },
  );
  const [said] = await ask(session, text);
  assert(said !== undefined, 'DROP has an answer');
  return said.kind === 'ok' ? said : answerWith(said);
}

/** The first ended the transaction, which its flags show; the notes are those of the second. */
export function okOfBoth(first: OkPacket, { warnings }: OkPacket): OkPacket {
  return { ...first, warnings, payload: okWithWarnings(first, warnings) };
}
