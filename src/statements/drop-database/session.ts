/**
 * The user's session while its DROP DATABASE is under way: what is said there beside the DROP
 * itself, and whether it broke.
 */

import { signalSql } from '../../steps/session/signal.js';
import type { UserCommand, UserSession } from '../../steps/session/user-session.js';
import { cleanSql } from '../../steps/session/user-session-sql.js';
import type { Result } from '../../wire/result-reader.js';
import { DropDatabaseAborted } from './aborted.js';
import { patienceSql, type SchemaName } from './sql.js';

export class SchemaSession {
  readonly #userSession: UserSession;
  readonly #name: SchemaName;
  readonly #groupId: string;
  #brokeOff: unknown = null;

  constructor(userSession: UserSession, name: SchemaName, groupId: string) {
    this.#userSession = userSession;
    this.#name = name;
    this.#groupId = groupId;
  }

  /** Why nobody hears an answer any more; null: the session is there. */
  get brokeOff(): unknown {
    return this.#brokeOff;
  }

  /** Rejects where the session broke. */
  async run(commands: readonly UserCommand[]): Promise<readonly Result[]> {
    try {
      return await this.#userSession.run(commands);
    } catch (error) {
      this.#brokeOff = error;
      throw error;
    }
  }

  /** How long it waits for locks. Said twice, as a KILL that came late may hit one. */
  async setPatience(seconds: number): Promise<void> {
    const command: UserCommand = { kind: 'query', text: patienceSql(seconds, this.#name) };
    const said = await this.run([command, command]);
    const failed = said.find(({ kind }) => kind !== 'ok');
    if (failed?.kind === 'err' && said.every(({ kind }) => kind !== 'ok')) {
      throw new DropDatabaseAborted(failed);
    }
  }

  /** What becomes of it changes nothing of the drop. */
  async setPatienceBack(seconds: number): Promise<void> {
    if (this.#brokeOff !== null) return;
    try {
      await this.setPatience(seconds);
    } catch (error) {
      if (!(error instanceof DropDatabaseAborted)) throw error;
    }
  }

  /** Behind errors of ours, which some servers show behind the DROP. */
  async clean(): Promise<void> {
    if (this.#brokeOff !== null) return;
    await this.run([{ kind: 'query', text: cleanSql(this.#groupId) }]);
  }

  /** So that the session's diagnostics have the server's own error, and none of ours. */
  async sayAgain(halt: DropDatabaseAborted): Promise<DropDatabaseAborted> {
    const { said } = halt;
    if (said === null) return halt;
    const message = Array.from(said.message.toString()).slice(0, 128).join('');
    const { errno, sqlState } = said;
    await this.clean();
    await this.run([{ kind: 'query', text: signalSql({ errno, sqlState, message }) }]);
    return halt;
  }
}
