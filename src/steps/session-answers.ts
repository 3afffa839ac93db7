/**
 * Has the user session answer as after a statement of the client's: OK, or a server's error.
 */
import { assert } from '../assert.js';
import type { OkPacket } from '../wire/response.js';
import { encodeErr } from '../wire/response.js';
import { ask, type Effect, type Steps } from './procedure.js';
import { type Answer, answerWith } from './refuse.js';
import type { DropRequest } from './request.js';
import { SIGNAL_CHARACTERS_MAX, type Signal, signalSql } from './session/signal.js';
import { cleanSql } from './session/user-session-sql.js';

/** OK and no diagnostics, as after a statement without rows. */
export function* clean({ groupId }: Pick<DropRequest, 'groupId'>): Steps<OkPacket, Effect<'user'>> {
  // A KILL QUERY hits one of them, and what was taken is held.
  const text = cleanSql(groupId);
  const said = (yield* ask(text, text)).find(({ kind }) => kind === 'ok');
  assert(said?.kind === 'ok', 'DO answers OK');
  return said;
}

/**
 * An error of the server's, raised in the session so that SHOW WARNINGS has it too; cut there if
 * MySQL doesn't take so long a text.
 */
export function* raise(
  { server }: Pick<DropRequest, 'server'>,
  { errno, sqlState, message }: Signal,
): Steps<Answer, Effect<'user'>> {
  const characters = Array.from(message);
  const isCut = server.flavour === 'mysql' && characters.length > SIGNAL_CHARACTERS_MAX;
  const raised = isCut ? characters.slice(0, SIGNAL_CHARACTERS_MAX).join('') : message;
  const [said] = yield* ask(signalSql({ errno, sqlState, message: raised }));
  if (said?.kind === 'err' && !(isCut && said.errno === errno)) return answerWith(said);
  const payload = encodeErr({ errno, sqlState, message: Buffer.from(message) });
  return { kind: 'answer', payload, held: [], refusal: null };
}
