/**
 * Reports what happens in one session: which state it enters, what was held, refused or only
 * observed, and the error on which it ends. The fault of an error picks the level of its line.
 *
 * Invariant: no password and no whole statement gets to the log; a text is cut and cleaned before.
 */
import { randomBytes } from 'node:crypto';
import type { ClientWho } from '../audit.js';
import type { Answered, Intercepted } from '../drop/intercepted.js';
import { loggedText } from '../drop/steps/refusals/refusals.js';
import { faultOf, LOG_LEVELS, toClientError, UndropError } from '../errors.js';
import { type Log, report } from '../log.js';
import { encodePacket } from '../wire/framing.js';
import { encodeErr } from '../wire/response.js';
import type { Observed } from './gate/classify-packet.js';
import type { LoginRelay } from './login/login.js';

export class SessionReport {
  readonly #log: Log;
  /** The user as it was last seen. */
  readonly #who: () => ClientWho;

  constructor(log: Log, who: () => ClientWho) {
    this.#log = log;
    this.#who = who;
  }

  /** A state machine of the session (itself, or its command phase) changed its state. */
  onState(machine: 'session' | 'commands', from: string, to: string): void {
    if (this.#log.isLevelEnabled?.('debug') === false) return;
    this.#log.debug({ ...this.#who(), machine, from, to }, 'changed the state of a session');
  }

  /** An event that needs no action; `error`: the session is cut off. */
  note(level: 'debug' | 'info' | 'error', error: unknown, message: string): void {
    this.#log[level]({ ...this.#who(), err: error }, message);
  }

  /** The session ends on `error`; `reference` is what the client gets instead of details. */
  onFailure(error: unknown, fields: { readonly phase: string; readonly reference: string }): void {
    const message =
      error instanceof UndropError ? error.message : 'ending a session after an internal error';
    const level = LOG_LEVELS[faultOf(error)];
    this.#log[level]({ ...this.#who(), ...fields, err: error }, message);
  }

  /** Undrop answered a statement. */
  onAnswer({ text }: Intercepted, { refusal, dropped }: Answered): void {
    const who = this.#who();
    if (refusal !== null) {
      const fault = faultOf(refusal);
      const { code, message } = refusal;
      const how = { level: LOG_LEVELS[fault], message };
      report(this.#log, [{ event: 'refused', ...who, code, statement: loggedText(text) }], how);
    }
    if (dropped === null) return;
    const { hints, audited } = dropped;
    const code = refusal?.code ?? null;
    if (hints.length > 0) {
      const statement = loggedText(text);
      report(this.#log, [{ event: 'hint', ...who, hints, code, statement }]);
    }
    report(this.#log, audited);
  }

  /** The ledger doesn't have the outcome of a drop; recovery will write it. */
  onUnfinished(error: unknown, { isHeld }: { readonly isHeld: boolean }): void {
    const fields = { ...this.#who(), err: error };
    if (isHeld)
      this.#log.warn(fields, 'cannot record the outcome of a drop in the ledger; recovery will');
    else this.#log.debug(fields, 'cannot delete the ledger rows of a failed drop; recovery will');
  }

  /** A statement passed that would have been held or refused (UNDROP_MODE=observe). */
  onObserved({ text, isClear, tables }: Observed): void {
    const fields = { event: 'observed', ...this.#who(), tables } as const;
    const how = isClear
      ? {}
      : { message: 'passed a statement that may be a drop to the server; its tables are not held' };
    report(this.#log, [{ ...fields, statement: loggedText(text) }], how);
  }
}

/** The phase of a session, as far as it decides where an error can be put. */
type ErrorPlace =
  | { readonly name: 'dialling' | 'closed' }
  | { readonly name: 'login'; readonly relay: Pick<LoginRelay, 'state' | 'nextToClient'> }
  | { readonly name: 'commands'; readonly commands: { readonly errorSequenceId: number | null } };

/**
 * The packet with the error that ends a session; null within a response, where no client would read
 * it as an error. Before the greeting it has no SQLSTATE, because the capabilities aren't known.
 * `reference`: of the line in the log.
 */
export function finalError(phase: ErrorPlace, error: unknown) {
  const reference = randomBytes(6).toString('hex');
  const shown = toClientError(error, reference);
  let sequenceId: number | null = 0;
  if (phase.name === 'commands') sequenceId = phase.commands.errorSequenceId;
  if (phase.name === 'login') sequenceId = phase.relay.nextToClient;
  const isGreeted =
    phase.name === 'commands' || (phase.name === 'login' && phase.relay.state !== 'greeting');
  const sqlState = isGreeted ? shown.sqlState : null;
  const payload = encodeErr({ ...shown, sqlState, message: Buffer.from(shown.message) });
  return { packet: sequenceId === null ? null : encodePacket(payload, sequenceId), reference };
}
