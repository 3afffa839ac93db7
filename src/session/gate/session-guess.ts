/**
 * What a session was last seen in, without asking the server: guesses that save round trips, and
 * are checked against the session's own facts before anything depends on them.
 */

import { type KnownMode, modeOfSession } from '../../sql/lex/lex-mode.js';
import { LONG_SLICE_BYTES, type Reading } from '../../sql/reading.js';
import { isRecycleName, mentionsRecycle, namesLogBin } from '../../sql/trigger-scan.js';
import type { SessionGuess } from '../../steps/drop-options.js';
import type { UserFacts } from '../../steps/request.js';
import { COM_INIT_DB, COM_QUERY, COM_STMT_PREPARE } from '../../wire/commands.js';
import type { Login } from '../login/login.js';

/** The longest name that is looked for, which a slice may cut. */
const NAME_BYTES_MAX = 'sql_log_bin'.length;

export class LastSeen {
  readonly #server: Login['server'];
  /** Default schema, charset and user. */
  guess: SessionGuess;
  /** A text that names SQL_LOG_BIN went by; from then on for good, it may be off at any time. */
  logBinMayBeOff = false;
  /**
   * The default schema may be a recycle schema: one was named, in whatever way. Every way to one
   * has its name in it; what is prepared and executed later never leads there.
   */
  mayBeInRecycle: boolean;
  /** The command that was looked at last has such a name in it, and may lead there. */
  #mentionsRecycle = false;

  constructor({ schema, user, server }: Pick<Login, 'schema' | 'user' | 'server'>) {
    this.guess = { schema: schema?.toString() ?? null, charset: 'utf8mb4', user };
    this.#server = server;
    this.mayBeInRecycle = schema !== null && mentionsRecycle(schema);
  }

  /** How its texts are read by these facts; null: how they may be, without asking. */
  known(facts: UserFacts | null): KnownMode {
    if (facts !== null) return modeOfSession(this.#server, facts);
    return this.mayBeInRecycle ? { ...this.#server, inRecycle: 'perhaps' } : this.#server;
  }

  /** The client asks for another default schema; the server may refuse it. */
  inSchema(schema: Uint8Array): void {
    this.guess = { ...this.guess, schema: Buffer.from(schema).toString() };
    this.mayBeInRecycle ||= mentionsRecycle(schema);
  }

  /** A command that is looked at before it goes on. */
  *readingCommand(payload: Uint8Array): Reading<void> {
    if (payload[0] === COM_INIT_DB) this.inSchema(payload.subarray(1));
    let mentions = false;
    let mayLead = payload[0] !== COM_QUERY && payload[0] !== COM_STMT_PREPARE;
    for (let at = 0; at < payload.length; at += LONG_SLICE_BYTES) {
      if (at > 0) yield;
      const slice = payload.subarray(Math.max(0, at - NAME_BYTES_MAX), at + LONG_SLICE_BYTES);
      this.logBinMayBeOff ||= namesLogBin(slice);
      mentions ||= mentionsRecycle(slice);
      // A text leads to a schema by the word USE.
      mayLead ||= /use/i.test(Buffer.from(slice).toString('latin1'));
    }
    this.#mentionsRecycle = mentions && mayLead;
    this.mayBeInRecycle ||= this.#mentionsRecycle;
  }

  /** As it was before the command that was looked at last. */
  inFacts({ schema, charset, user, account, logged }: UserFacts): void {
    this.guess = { schema, charset, user, account };
    this.logBinMayBeOff ||= !logged;
    const isInRecycle = schema !== null && isRecycleName(schema);
    this.mayBeInRecycle = isInRecycle || this.#mentionsRecycle;
  }
}
