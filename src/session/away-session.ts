/**
 * A statement that is executed in another default schema than the one that it was prepared in:
 * MySQL goes there and comes back, and tells the client where it has come to, behind an error with
 * the next OK. So does a statement of ours that was prepared there and fails; it stands before
 * every statement of ours that may be the last.
 *
 * Invariant: the session is where it was, or it ends.
 */
import { isFactsSql, readFacts } from '../drop/facts.js';
import { COM_INIT_DB, COM_STMT_EXECUTE } from '../wire/commands.js';
import type { Result } from '../wire/result-reader.js';
import type { CommandSession, SessionCommand } from './user-session.js';

/** Taken when it is prepared, and an error whenever it is executed. */
const FAILS = Buffer.from('DO /* undrop away */ (SELECT 1 UNION SELECT 2)');

type State =
  | { readonly name: 'unknown' | 'at home' }
  | { readonly name: 'away'; readonly now: string }
  | { readonly name: 'prepared'; readonly statementId: number };

export class AwaySession implements CommandSession {
  readonly #inner: CommandSession;
  readonly #preparedIn: string | null;
  #state: State = { name: 'unknown' };

  /** `preparedIn`: the default schema where the statement was prepared. */
  constructor(inner: CommandSession, { preparedIn }: { readonly preparedIn: string | null }) {
    this.#inner = inner;
    this.#preparedIn = preparedIn;
  }

  async run(commands: readonly SessionCommand[]): Promise<readonly Result[]> {
    if (this.#state.name === 'unknown') return this.#look(commands);
    if (this.#state.name === 'away') this.#state = await this.#prepare(this.#state.now);
    const at = commands.findLastIndex(isAnswered);
    if (at < 0 || this.#state.name !== 'prepared') return this.#inner.run(commands);
    const before = commands.slice(0, at).filter(isAnswered).length;
    const results = await this.#inner.run([
      ...commands.slice(0, at),
      { kind: 'packet', payload: execution(this.#state.statementId), isAnswered: true },
      ...commands.slice(at),
    ]);
    return results.filter((_result, index) => index !== before);
  }

  /** Behind the last statement: has no answer. */
  async close(): Promise<void> {
    if (this.#state.name !== 'prepared') return;
    await this.#inner.run([{ kind: 'close', statementId: this.#state.statementId }]);
  }

  /** The facts of the session are asked for anyway. */
  async #look(commands: readonly SessionCommand[]): Promise<readonly Result[]> {
    const results = await this.#inner.run(commands);
    const asked = commands.filter(isAnswered);
    const said = results[asked.findIndex((one) => one.kind === 'query' && isFactsSql(one.text))];
    if (said === undefined) return results;
    const facts = readFacts(said);
    const now = 'errno' in facts || facts.gtidNext !== null ? null : facts.schema;
    const tracks = 'tracksSchema' in facts && facts.tracksSchema;
    const isAway = tracks && now !== this.#preparedIn && isPlain(this.#preparedIn);
    this.#state = isAway && isPlain(now) ? { name: 'away', now } : { name: 'at home' };
    return results;
  }

  async #prepare(now: string): Promise<State> {
    const [gone, prepared, back] = await this.#inner.run([
      initDb(this.#preparedIn ?? ''),
      { kind: 'prepare', text: FAILS },
      initDb(now),
    ]);
    if (back?.kind !== 'ok') throw new Error('The session could not go back to its schema.');
    if (prepared?.kind !== 'prepared') return { name: 'at home' };
    const { statementId } = prepared;
    if (gone?.kind === 'ok') return { name: 'prepared', statementId };
    await this.#inner.run([{ kind: 'close', statementId }]);
    return { name: 'at home' };
  }
}

/** The same in every charset. */
function isPlain(schema: string | null): schema is string {
  return schema !== null && /^\w+$/.test(schema);
}

function isAnswered(command: SessionCommand): boolean {
  return command.kind === 'packet' ? command.isAnswered : command.kind !== 'close';
}

function initDb(schema: string): SessionCommand {
  const payload = Buffer.concat([Buffer.from([COM_INIT_DB]), Buffer.from(schema)]);
  return { kind: 'packet', payload, isAnswered: true };
}

/** Without a cursor, once, without parameters. */
function execution(statementId: number): Buffer {
  const payload = Buffer.from([COM_STMT_EXECUTE, 0, 0, 0, 0, 0, 1, 0, 0, 0]);
  payload.writeUInt32LE(statementId, 1);
  return payload;
}
