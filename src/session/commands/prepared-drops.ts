/**
 * The drops that a session has prepared, by the ids of the server, or by the names of the client.
 * The server's own handle of each is closed at once, so that an EXECUTE that isn't intercepted
 * finds none; an intercepted EXECUTE runs the drop in this list.
 *
 * Invariant: bounded. If the sessions of a process together keep too much, the one that keeps most
 * forgets its oldest, so that no session is refused for what others keep. The server refuses an
 * EXECUTE of a forgotten drop (1243), and never executes it.
 */

import type { InterceptOptions, NamedSchema } from '../../drop/intercepted.js';
import type { NameContext } from '../../drop/steps/names/client-names.js';
import type { UserFacts } from '../../drop/steps/world.js';
import { assert } from '../../errors.js';
import type { CommandOnName, NamedStatement } from '../../sql/named-statement.js';
import type { DropTableStatement } from '../../sql/verdict.js';
import * as com from '../../wire/commands.js';
import type { ServerVersion } from '../../wire/connection/handshake-v10.js';

/**
 * The maximum of bytes for the drops of one session, and for those of all sessions of this process.
 */
const PREPARED_BYTES_MAX = 16 * 1024 * 1024;
export const ALL_PREPARED_BYTES_MAX = 64 * 1024 * 1024;
/** Memory for a drop, and for each name in it, beside its text. */
const DROP_BYTES = 1_024;
const NAME_BYTES = 512;
/** MariaDB: the statement that was prepared last. */
const LAST_PREPARED = 0xffff_ffff;

/** The context of a session's statements, with the drops that it has prepared. */
export interface DispatchOptions extends InterceptOptions {
  readonly prepared: PreparedDrops;
}

/** A DROP DATABASE. */
type PreparedSchema = Omit<NamedSchema, 'facts'>;

/** A statement of undrop itself: parsed at each EXECUTE, as the session read it at the PREPARE. */
interface PreparedUndo {
  readonly undo: UserFacts;
}

/** A DROP TABLE or DROP DATABASE that the server accepted at its PREPARE, or an undo statement. */
export interface PreparedDrop {
  readonly text: Buffer;
  readonly statement: DropTableStatement | PreparedSchema | PreparedUndo;
  /** Default schema and charset of the session at the PREPARE. */
  readonly context: NameContext;
  /** The hints in its comments. */
  readonly hints: readonly string[];
}

interface Kept extends PreparedDrop {
  readonly bytes: number;
  /** A statement that can't be read may have prepared another one under its name. */
  isDoubtful: boolean;
}

/** The sessions that keep something. */
const keeping = new Set<PreparedDrops>();
/** Their bytes. */
let allBytes = 0;

export class PreparedDrops {
  /** Whether commands with a handle must be checked. */
  isWatching = false;
  /** Whether texts must be checked for names. */
  watchesNames = false;
  readonly #isMariadb: boolean;
  /** False: a COM_RESET_CONNECTION is an error there, and changes nothing. */
  readonly #hasReset: boolean;
  readonly #byId = new Map<number | string, Kept>();
  /** The statements by their plain names (`plainNameOf`). */
  readonly #byName = new Map<number | string, Kept>();
  #bytes = 0;
  #lastId: number | null = null;

  constructor({ flavour, versionId }: Pick<ServerVersion, 'flavour' | 'versionId'>) {
    this.#isMariadb = flavour === 'mariadb';
    this.#hasReset = versionId >= (flavour === 'mysql' ? 50_703 : 100_204);
  }

  /** The session has used up its memory. */
  get isFull(): boolean {
    return this.#bytes >= PREPARED_BYTES_MAX;
  }

  /**
   * Whether it is an EXECUTE of a drop. All other commands pass: the server doesn't know these ids,
   * and returns 1243 or nothing.
   */
  takes(command: number, id: number): boolean {
    if (command === com.COM_STMT_CLOSE) this.forget(this.#idOf(id));
    return command === com.COM_STMT_EXECUTE && this.find(id) !== null;
  }

  /** The drop of an id or of a plain name. */
  find(key: number | string): Kept | null {
    if (typeof key === 'string') return this.#byName.get(key) ?? null;
    return this.#byId.get(this.#idOf(key)) ?? null;
  }

  /** `key`: the server's id for exactly this text, or its plain name. */
  remember(key: number | string, drop: PreparedDrop): void {
    this.forget(key);
    const { text, statement } = drop;
    const bytes = DROP_BYTES + text.length + countNames(statement) * NAME_BYTES;
    this.#mapOf(key).set(key, { ...drop, bytes, isDoubtful: false });
    if (typeof key === 'number') this.#lastId = key;
    this.#count(bytes);
    while (allBytes > ALL_PREPARED_BYTES_MAX) keepingMost().#forgetOldest();
  }

  #forgetOldest(): void {
    const [key] = (this.#byId.size > 0 ? this.#byId : this.#byName).keys();
    assert(key !== undefined, 'what keeps bytes has a statement');
    this.forget(key);
  }

  forget(key: number | string): void {
    const drop = this.#mapOf(key).get(key);
    if (drop === undefined) return;
    this.#mapOf(key).delete(key);
    if (this.#lastId === key) this.#lastId = null;
    this.#count(-drop.bytes);
  }

  /** A statement ran that may have prepared anything. */
  doubtNames(): void {
    for (const drop of this.#byName.values()) drop.isDoubtful = true;
  }

  /**
   * Applies the effect of a text on the names. Returns an EXECUTE or DEALLOCATE of one of these
   * drops, which must not reach the server; null: the text may pass.
   */
  follow(named: NamedStatement): CommandOnName | null {
    if (named.kind === 'other') return null;
    if (named.kind === 'disagree' || named.kind === 'unknown' || named.name === null) {
      this.doubtNames();
      return null;
    }
    // A PREPARE, even if it fails, removes the statement that had its name.
    if (named.kind === 'prepare') this.forget(named.name);
    return named.kind !== 'prepare' && this.find(named.name) !== null ? named : null;
  }

  /** A command was sent to the server. */
  onCommand(command: number): void {
    if (command === com.COM_STMT_PREPARE) this.#lastId = null;
    const isReset = command === com.COM_RESET_CONNECTION && this.#hasReset;
    if (isReset || command === com.COM_CHANGE_USER) this.forgetAll();
  }

  /** The server has forgotten them, or the session has ended. May be called twice. */
  forgetAll(): void {
    this.#byId.clear();
    this.#byName.clear();
    this.#lastId = null;
    this.#count(-this.#bytes);
  }

  /** Bytes that it keeps. */
  get bytes(): number {
    return this.#bytes;
  }

  #idOf(id: number): number {
    return id === LAST_PREPARED && this.#isMariadb ? (this.#lastId ?? id) : id;
  }

  #mapOf(key: number | string): Map<number | string, Kept> {
    return typeof key === 'number' ? this.#byId : this.#byName;
  }

  #count(bytes: number): void {
    this.#bytes += bytes;
    allBytes += bytes;
    if (this.#bytes > 0) keeping.add(this);
    else keeping.delete(this);
    this.isWatching = this.#byId.size > 0;
    this.watchesNames = this.#byName.size > 0;
  }
}

function keepingMost(): PreparedDrops {
  return [...keeping].reduce((most, one) => (one.bytes > most.bytes ? one : most));
}

function countNames(statement: PreparedDrop['statement']): number {
  return 'names' in statement ? statement.names.length : 1;
}
