/**
 * The drops that a session has prepared, by the ids that the server gave them, and by the names
 * that the client gave them. The server's own handle of each is closed at once, so that an EXECUTE
 * that isn't intercepted finds none; an intercepted EXECUTE runs the drop that is remembered here.
 *
 * Invariant: bounded; what is forgotten is refused by the server (1243), never executed.
 */
import type { DropTableStatement } from '../../sql/grammar/drop-table.js';
import { type Flavour, modeFromSqlMode } from '../../sql/lex/lex-mode.js';
import { type NamedStatement, readNamedStatement } from '../../sql/named-statement.js';
import type { ReadOptions } from '../../sql/next-statement.js';
import type { InterceptOptions } from '../../statements/intercepted.js';
import type { NameContext } from '../../steps/names/bind-names.js';
import type { UserFacts } from '../../steps/request.js';
import {
  COM_CHANGE_USER,
  COM_RESET_CONNECTION,
  COM_STMT_CLOSE,
  COM_STMT_PREPARE,
  COM_STMT_SEND_LONG_DATA,
} from '../../wire/commands.js';
import type { ServerVersion } from '../../wire/connection/handshake-v10.js';

/** So many drops of one session are remembered. */
export const PREPARED_DROPS_MAX = 16_384;
/** Bytes of the drops of one session, and of all sessions of this process. */
export const PREPARED_BYTES_MAX = 16 * 1024 * 1024;
export const ALL_PREPARED_BYTES_MAX = 64 * 1024 * 1024;
/** What a session has room for though others have filled theirs. */
const OWN_BYTES_MIN = 16 * 1024;
/** What one takes beside its bytes: objects, and places in tables. */
const DROP_BYTES = 768;
/** As much of a text as the ledger takes. */
const TEXT_BYTES_MAX = 16_384;
/** MariaDB: the statement that was prepared last. */
const LAST_PREPARED = 0xffff_ffff;

/** What the ways of a prepared statement need beside the surroundings of any. */
export interface DispatchOptions extends InterceptOptions {
  readonly prepared: PreparedDrops;
}

/** A DROP DATABASE; the name in unescaped bytes. */
export interface PreparedSchema {
  readonly schema: Uint8Array;
  readonly ifExists: boolean;
}

/** A DROP TABLE or DROP DATABASE that the server took at its PREPARE. */
export interface PreparedDrop {
  /** The beginning of the client's text, for the ledger. */
  readonly text: Buffer;
  readonly statement: DropTableStatement | PreparedSchema;
  /** What the session was in at the PREPARE. */
  readonly context: NameContext;
  /** What it hints in its comments. */
  readonly hints: readonly string[];
  /** Something that can't be read may have prepared another under its name. */
  isDoubtful: boolean;
}

type Prepared = Omit<PreparedDrop, 'isDoubtful'>;

/** As it is kept: of a list of names the tree takes several times the memory of the text. */
class KeptDrop implements PreparedDrop {
  readonly text: Buffer;
  readonly context: NameContext;
  readonly hints: readonly string[];
  readonly bytes: number;
  isDoubtful = false;
  readonly #statement: Buffer;

  constructor({ text, statement, context, hints }: Prepared) {
    // Their own memory: the packet that they came in may be much larger.
    this.text = Buffer.from(text.subarray(0, TEXT_BYTES_MAX));
    this.context = context;
    this.hints = hints.map((hint) => Buffer.from(hint).toString());
    this.#statement = Buffer.from(JSON.stringify(statement, bytesAsText), 'latin1');
    const hinted = hints.reduce((sum, { length }) => sum + length, 0);
    this.bytes = DROP_BYTES + this.text.length + this.#statement.length + hinted;
  }

  get statement(): PreparedDrop['statement'] {
    return JSON.parse(this.#statement.toString('latin1'), textAsBytes);
  }
}

/** Bytes of all sessions. */
let allBytes = 0;

export class PreparedDrops {
  readonly #flavour: Flavour;
  readonly #byId = new Map<number, KeptDrop>();
  readonly #byName = new Map<string, KeptDrop>();
  #bytes = 0;
  #lastId: number | null = null;

  /** False: a COM_RESET_CONNECTION is an error there, and changes nothing. */
  readonly #knowsReset: boolean;

  constructor({ flavour, versionId }: Pick<ServerVersion, 'flavour' | 'versionId'>) {
    this.#flavour = flavour;
    this.#knowsReset = versionId >= (flavour === 'mysql' ? 50_703 : 100_204);
  }

  /** Whether commands that name a handle have to be looked at. */
  get isWatching(): boolean {
    return this.#byId.size > 0;
  }

  /** Whether texts have to be looked at for names. */
  get watchesNames(): boolean {
    return this.#byName.size > 0;
  }

  /** Whose drops leave no room for one more; null: there is room. */
  get full(): 'this session' | 'all sessions' | null {
    const count = this.#byId.size + this.#byName.size;
    if (count >= PREPARED_DROPS_MAX || this.#bytes >= PREPARED_BYTES_MAX) return 'this session';
    const isShort = allBytes >= ALL_PREPARED_BYTES_MAX;
    return isShort && this.#bytes >= OWN_BYTES_MIN ? 'all sessions' : null;
  }

  /**
   * Whether the command is for an answer of ours. What needs none goes on: the server knows none of
   * these ids, and says nothing.
   */
  takes(command: number, id: number): boolean {
    const drop = this.find(id);
    if (drop === null) return false;
    if (command === COM_STMT_SEND_LONG_DATA) return false;
    if (command === COM_STMT_CLOSE) this.#forget(id === LAST_PREPARED ? this.#lastId : id);
    else return true;
    return false;
  }

  find(id: number): PreparedDrop | null {
    const known = id === LAST_PREPARED && this.#flavour === 'mariadb' ? this.#lastId : id;
    return known === null ? null : (this.#byId.get(known) ?? null);
  }

  /** `id`: as the server gave it for exactly this text. */
  remember(id: number, drop: Prepared): void {
    this.#forget(id);
    this.#byId.set(id, this.#keep(drop));
    this.#lastId = id;
  }

  /** The drop of a plain name (`plainNameOf`). */
  findName(name: string): PreparedDrop | null {
    return this.#byName.get(name) ?? null;
  }

  rememberName(name: string, drop: Prepared): void {
    this.forgetName(name);
    this.#byName.set(name, this.#keep(drop));
  }

  forgetName(name: string): void {
    const drop = this.#byName.get(name);
    if (drop !== undefined) this.#count(-drop.bytes);
    this.#byName.delete(name);
  }

  /** Something ran that may have prepared anything. */
  doubtNames(): void {
    for (const drop of this.#byName.values()) drop.isDoubtful = true;
  }

  #keep(drop: Prepared): KeptDrop {
    const kept = new KeptDrop(drop);
    this.#count(kept.bytes);
    return kept;
  }

  /** A command went on to the server. */
  onCommand(command: number): void {
    if (command === COM_STMT_PREPARE) this.#lastId = null;
    const isReset = command === COM_RESET_CONNECTION && this.#knowsReset;
    if (!isReset && command !== COM_CHANGE_USER) return;
    this.forgetAll();
  }

  /** The server has forgotten them, or the session has ended. May be called twice. */
  forgetAll(): void {
    this.#byId.clear();
    this.#byName.clear();
    this.#count(-this.#bytes);
    this.#lastId = null;
  }

  #count(bytes: number): void {
    this.#bytes += bytes;
    allBytes += bytes;
  }

  #forget(id: number | null): void {
    const drop = id === null ? undefined : this.#byId.get(id);
    if (id === null || drop === undefined) return;
    this.#byId.delete(id);
    this.#count(-drop.bytes);
    if (this.#lastId === id) this.#lastId = null;
  }
}

/** Whether it is a DROP DATABASE. */
export function isDropDatabase(statement: PreparedDrop['statement']): statement is PreparedSchema {
  return 'schema' in statement;
}

/** Marks bytes in JSON; no other text of a statement begins so. */
const BYTES = '\0';

/** `value` has been through a Buffer's own way of being written. */
function bytesAsText(this: unknown, key: string, value: unknown): unknown {
  const given = (this as Record<string, unknown>)[key];
  return given instanceof Uint8Array ? BYTES + Buffer.from(given).toString('latin1') : value;
}

function textAsBytes(_key: string, value: unknown): unknown {
  if (typeof value !== 'string' || !value.startsWith(BYTES)) return value;
  return Uint8Array.from(Buffer.from(value.slice(1), 'latin1'));
}

export type OnName = Extract<NamedStatement, { kind: 'execute' | 'deallocate' }>;

/** The statement where it concerns one of them, else null. */
export function namedStatementEffect(
  named: NamedStatement,
  prepared: PreparedDrops,
): OnName | null {
  switch (named.kind) {
    case 'other':
      return null;
    case 'disagree':
    case 'unknown':
      prepared.doubtNames();
      return null;
    case 'prepare':
      noticePrepare(named.name, prepared);
      return null;
    case 'deallocate':
      if (named.name === null) prepared.doubtNames();
      return isKnown(named, prepared) ? named : null;
    case 'execute':
      return isKnown(named, prepared) ? named : null;
  }
}

/** Whatever becomes of it, what had that name before is gone. */
export function noticePrepare(name: string | null, prepared: PreparedDrops): void {
  if (name === null) prepared.doubtNames();
  else prepared.forgetName(name);
}

/** A text that goes to the server after all; `facts` null: the session's mode isn't known. */
export function noticeForwarded(
  text: Uint8Array,
  facts: UserFacts | null,
  options: ReadOptions & { readonly server: ServerVersion; readonly prepared: PreparedDrops },
): void {
  const { server, prepared } = options;
  if (!prepared.watchesNames) return;
  const mode = facts === null ? server : modeFromSqlMode(server, facts.sqlMode, facts.charset);
  namedStatementEffect(readNamedStatement(text, mode, options), prepared);
}

function isKnown({ name }: OnName, prepared: PreparedDrops): boolean {
  return name !== null && prepared.findName(name) !== null;
}
