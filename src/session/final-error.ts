/** The error that ends a session, as it is to be said where the session stands. */
import type { ClientError } from '../errors.js';
import { encodePacket } from '../wire/framing.js';
import { encodeErr } from '../wire/response.js';
import type { CommandPhase } from './commands/command-phase.js';
import type { LoginRelay } from './login/login.js';

type Where =
  | { readonly name: 'dialling' | 'closed' }
  | { readonly name: 'login'; readonly relay: LoginRelay }
  | { readonly name: 'commands'; readonly commands: CommandPhase };

/**
 * Null in the middle of a response, where nothing can be said. Before the greeting it carries no
 * SQLSTATE, as the capabilities aren't known.
 */
export function lastWords(where: Where, error: ClientError): Buffer | null {
  const message = Buffer.from(error.message);
  const isGreeted =
    where.name === 'commands' || (where.name === 'login' && where.relay.state !== 'greeting');
  if (!isGreeted) return encodePacket(encodeErr({ ...error, sqlState: null, message }), 0);
  const payload = encodeErr({ ...error, message });
  const sequenceId =
    where.name === 'login' ? where.relay.nextToClient : where.commands.errorSequenceId;
  return sequenceId === null ? null : encodePacket(payload, sequenceId);
}
