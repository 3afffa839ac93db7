/**
 * The drops that a session has prepared, by the ids that the server gave them, and by the names
 * that the client gave them. The server's own handle of each is closed at once, so that an EXECUTE
 * that isn't intercepted finds none; what is remembered here is what an EXECUTE runs instead.
 *
 * Invariant: bounded; what is forgotten is refused by the server (1243), never executed.
 */
import type { NameContext } from '../drop/bind-names.js';
import type { UserFacts } from '../drop/request.js';
import type { DropTableStatement } from '../sql/grammar/drop-table.js';
import type { Flavour } from '../sql/lex-mode.js';
import type { Replacement } from '../sql/verdict.js';
import {
  COM_CHANGE_USER,
  COM_RESET_CONNECTION,
  COM_STMT_CLOSE,
  COM_STMT_PREPARE,
  COM_STMT_SEND_LONG_DATA,
} from '../wire/commands.js';
import type { ServerVersion } from '../wire/server-version.js';

/** So many drops of one session are remembered, with so many bytes. */
export const PREPARED_DROPS_MAX = 16_384;
const PREPARED_BYTES_MAX = 16 * 1024 * 1024;
/** As much of a text as the ledger takes. */
const TEXT_BYTES_MAX = 16_384;
/** MariaDB: the statement that was prepared last. */
const LAST_PREPARED = 0xffff_ffff;

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
  /** What it wishes in its comments. */
  readonly wishes: readonly string[];
  /** Null: it is a drop; else `text` is whole. */
  readonly replacing: PreparedReplacing | null;
  /** The client sent data for a parameter, and there is none. */
  hasLongData: boolean;
  /** Something that can't be read may have prepared another under its name. */
  isDoubtful: boolean;
}

/** A CREATE OR REPLACE, whose text runs again: read as it was then, or not at all. */
export interface PreparedReplacing {
  readonly replacement: Replacement;
  /** What the session was in at the PREPARE. */
  readonly facts: Pick<UserFacts, 'schema' | 'charset' | 'sqlMode'>;
}

type Prepared = Omit<PreparedDrop, 'hasLongData' | 'isDoubtful'>;

export class PreparedDrops {
  readonly #flavour: Flavour;
  readonly #byId = new Map<number, PreparedDrop>();
  readonly #byName = new Map<string, PreparedDrop>();
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

  /** Whether one more drop can be remembered. */
  get hasRoom(): boolean {
    const count = this.#byId.size + this.#byName.size;
    return count < PREPARED_DROPS_MAX && this.#bytes < PREPARED_BYTES_MAX;
  }

  /**
   * Whether the command is for an answer of ours. What needs none goes on: the server knows none of
   * these ids, and says nothing.
   */
  takes(command: number, id: number): boolean {
    const drop = this.find(id);
    if (drop === null) return false;
    if (command === COM_STMT_SEND_LONG_DATA) drop.hasLongData = true;
    else if (command === COM_STMT_CLOSE) this.#forget(id === LAST_PREPARED ? this.#lastId : id);
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

  /** By its plain name: `plainNameOf`. */
  findName(name: string): PreparedDrop | null {
    return this.#byName.get(name) ?? null;
  }

  rememberName(name: string, drop: Prepared): void {
    this.forgetName(name);
    this.#byName.set(name, this.#keep(drop));
  }

  forgetName(name: string): void {
    const drop = this.#byName.get(name);
    if (drop !== undefined) this.#bytes -= bytesOf(drop);
    this.#byName.delete(name);
  }

  /** Something ran that may have prepared anything. */
  doubtNames(): void {
    for (const drop of this.#byName.values()) drop.isDoubtful = true;
  }

  #keep(drop: Prepared): PreparedDrop {
    // Their own memory: the packet that they came in may be much larger.
    const { context, wishes, replacing } = drop;
    const textBytes = replacing === null ? TEXT_BYTES_MAX : drop.text.length;
    const text = Buffer.from(drop.text.subarray(0, textBytes));
    const statement = copyOf(drop.statement);
    const flags = { hasLongData: false, isDoubtful: false };
    const kept = { text, statement, context, wishes, replacing, ...flags };
    this.#bytes += bytesOf(kept);
    return kept;
  }

  /** A command went on to the server. */
  onCommand(command: number): void {
    if (command === COM_STMT_PREPARE) this.#lastId = null;
    const isReset = command === COM_RESET_CONNECTION && this.#knowsReset;
    if (!isReset && command !== COM_CHANGE_USER) return;
    this.#byId.clear();
    this.#byName.clear();
    this.#bytes = 0;
    this.#lastId = null;
  }

  #forget(id: number | null): void {
    const drop = id === null ? undefined : this.#byId.get(id);
    if (id === null || drop === undefined) return;
    this.#byId.delete(id);
    this.#bytes -= bytesOf(drop);
    if (this.#lastId === id) this.#lastId = null;
  }
}

/** Whether it is a DROP DATABASE. */
export function isOfSchema(statement: PreparedDrop['statement']): statement is PreparedSchema {
  return 'schema' in statement;
}

function copyOf(statement: PreparedDrop['statement']): PreparedDrop['statement'] {
  if (isOfSchema(statement)) return { ...statement, schema: Uint8Array.from(statement.schema) };
  const names = statement.names.map((name) => ({
    ...name,
    schema: name.schema === null ? null : Uint8Array.from(name.schema),
    table: Uint8Array.from(name.table),
  }));
  return { ...statement, names };
}

function bytesOf({ text, statement, wishes }: PreparedDrop): number {
  const wished = wishes.reduce((sum, { length }) => sum + length, 0);
  if (isOfSchema(statement)) return text.length + statement.schema.length + wished;
  const names = statement.names.reduce(
    (sum, { schema, table }) => sum + table.length + (schema?.length ?? 0),
    0,
  );
  return text.length + names + wished;
}
