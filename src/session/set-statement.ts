/**
 * MariaDB's `SET STATEMENT setting = value FOR DROP TABLE …`: every statement of ours in the
 * session runs under the same settings, so that what they mean for locks, time and the binary log
 * they mean here too.
 *
 * Invariant: settings that would change what a text or a name is are not taken.
 */
import type { Result } from '../wire/result-reader.js';
import type { CommandSession, SessionCommand } from './user-session.js';

/** Each by a number, and none that changes how a text is read or an answer is written. */
const SETTINGS = [
  'lock_wait_timeout',
  'max_statement_time',
  'innodb_lock_wait_timeout',
  'foreign_key_checks',
  'sql_log_bin',
];
const SETTING = `(?:${SETTINGS.join('|')})\\s*=\\s*[0-9.]+`;
const PREFIX = new RegExp(
  `^\\s*SET\\s+STATEMENT\\s+${SETTING}(?:\\s*,\\s*${SETTING})*\\s+FOR\\s+$`,
  'i',
);

/** What stands before the DROP, where it can stand before statements of ours; null otherwise. */
export function settingsBefore(text: Buffer, dropAt: number): Buffer | null {
  const prefix = text.subarray(0, dropAt);
  return PREFIX.test(prefix.toString('latin1')) ? prefix : null;
}

/** The user session with `prefix` before each text that is run. */
export class SessionUnderSettings implements CommandSession {
  readonly #session: CommandSession;
  readonly #prefix: Buffer;

  constructor(session: CommandSession, prefix: Buffer) {
    this.#session = session;
    this.#prefix = prefix;
  }

  run(commands: readonly SessionCommand[]): Promise<readonly Result[]> {
    return this.#session.run(
      commands.map((command) =>
        command.kind === 'query'
          ? { ...command, text: Buffer.concat([this.#prefix, command.text]) }
          : command,
      ),
    );
  }
}
