/**
 * The parts of a statement that takes tables away. A procedure is a generator: it yields effects,
 * gets their results, and reads from top to bottom; `yield*` calls another procedure. It is pure:
 * `run.ts` performs the effects on a session and the service pool, a test in memory.
 */

import { assert } from '../assert.js';
import { UndropError } from '../errors.js';
import type { RelocateTable } from '../held/relocate/blockers.js';
import type { Relocation } from '../held/relocate/relocate.js';
import type { Failure } from '../ledger/entry.js';
import type { LockedTable } from '../ledger/intents/session-locks.js';
import type { ServicePool } from '../service/pool/pools.js';
import { dotted, type TableName } from '../sql/grammar/table-name.js';
import { type ErrPacket, encodeErr, type Result } from '../wire/response.js';
import type { RecordedIntent } from './intents.js';
import type { NamedTable } from './names/client-names.js';
import type { ServiceRename, ServiceRenameOutcome } from './rename/rename-by-service.js';
import type { DropRequest, UserFacts } from './request.js';
import type { UserCommand } from './session/user-session.js';

/** Each effect, and its result. */
interface Effects {
  /** Runs commands on the user's session. `renames`: the last may move tables. */
  user: {
    readonly in: { readonly commands: readonly UserCommand[]; readonly renames?: true };
    readonly out: readonly Result[];
  };
  /** The same, while the service begins to record the intents by a guess. */
  both: {
    readonly in: { readonly commands: readonly UserCommand[] };
    readonly out: readonly Result[];
  };
  /** From here on the settings of the session are known. */
  know: { readonly in: { readonly facts: UserFacts }; readonly out: undefined };
  /** Whether the intents wait for a lock; false: they are written, or failed. */
  isRecordingStuck: { readonly in: object; readonly out: boolean };
  /** The intents, recorded again if a guess was wrong, or if `wasStuck` and they failed. */
  record: {
    readonly in: { readonly facts: UserFacts; readonly wasStuck: boolean };
    readonly out: RecordedIntent;
  };
  /** The service reads the locks of the session; null: the server can't report them. */
  locks: { readonly in: object; readonly out: readonly LockedTable[] | null };
  /** The service renames to hold names. */
  take: { readonly in: { readonly rename: ServiceRename }; readonly out: ServiceRenameOutcome };
  /** The service detaches keys and triggers, if `detach`, and relocates. */
  relocate: {
    readonly in: {
      readonly tables: readonly RelocateTable[];
      readonly logged: boolean;
      readonly detach: boolean;
    };
    readonly out: readonly Relocation[];
  };
  /**
   * New intents, of partitions or of the table; those without a held table are forgotten after the
   * response.
   */
  recordTargets: {
    readonly in: { readonly facts: UserFacts; readonly targets: readonly NamedTable[] };
    readonly out: RecordedIntent;
  };
  /** The statement fails: its held tables are held for their whole time from now on. */
  keepLonger: {
    readonly in: { readonly held: readonly HeldTable[]; readonly logged: boolean };
    readonly out: readonly HeldTable[];
  };
  /** Work of the service account for one kind of statement. If it throws, recovery checks. */
  serve: {
    readonly in: { readonly work: (pool: ServicePool) => Promise<unknown> };
    readonly out: unknown;
  };
}

export type EffectName = keyof Effects;
export type Effect<K extends EffectName = EffectName> = {
  [Name in K]: { readonly do: Name } & Effects[Name]['in'];
}[K];
export type EffectResult<K extends EffectName> = Effects[K]['out'];

/** A pure procedure with the result `T`; `E`: the effects that it asks for. */
export type Steps<T, E = Effect> = Generator<E, T, unknown>;

/** Yields one effect; its result has the type that belongs to it. */
export function* perform<K extends EffectName>(
  name: K,
  what: Effects[K]['in'],
): Steps<EffectResult<K>, Effect<K>> {
  return (yield { do: name, ...what } as Effect<K>) as EffectResult<K>;
}

/** Runs texts on the user's session in one write; one result for each. */
export function* ask(...texts: readonly Uint8Array[]): Steps<readonly Result[], Effect<'user'>> {
  return yield* perform('user', { commands: texts.map(query) });
}

/** Resolves with the result of `work`. */
export function* serve<T>(work: (pool: ServicePool) => Promise<T>): Steps<T> {
  return (yield* perform('serve', { work })) as T;
}

export function query(text: Uint8Array): UserCommand {
  return { kind: 'query', text };
}

/** Drives a procedure, which may catch an error of an effect; `world` performs each effect. */
export async function drive<T, E>(
  steps: Steps<T, E>,
  world: (effect: E) => Promise<unknown>,
): Promise<T> {
  let step = steps.next();
  while (step.done !== true) {
    const go = await world(step.value).then(
      (answer) => () => steps.next(answer),
      (error: unknown) => () => steps.throw(error),
    );
    step = go();
  }
  return step.value;
}

// ── replies ──────────────────────────────────────────────────────────────────────────────────────
// The replies that a procedure ends with: the server's own answer, a refusal of undrop's, or "the
// tables changed, try again". Pure.

/** A table that is under its hold name, as the ledger must have it. */
export interface HeldTable {
  readonly id: string;
  readonly holdSchema: string;
  readonly holdName: string;
  readonly relocated: boolean;
  readonly failure: Failure | null;
  /** Triggers were taken off it. */
  readonly hadTriggers?: boolean;
}

export interface Answer {
  readonly kind: 'answer';
  /** Payload of an OK or ERR packet. */
  readonly payload: Buffer;
  readonly held: readonly HeldTable[];
  /** The refusal, for the log. */
  readonly refusal: UndropError | null;
}

/** The tables changed between two reads: the intents are forgotten, and it is tried again. */
export interface Again {
  readonly kind: 'again';
  readonly because: string;
  /** The response after the last try; null: the error that they keep changing. */
  readonly otherwise: UndropError | null;
}

export type Reply = Answer | Again;

/** The part of a request that names the tables. */
export type Naming = Pick<DropRequest, 'statement' | 'subject'>;

/** The response of the server, unchanged. */
export function answerWith(result: Result): Answer {
  assert(result.kind === 'ok' || result.kind === 'err', 'a DROP answers OK or ERR');
  return { kind: 'answer', payload: result.payload, held: [], refusal: null };
}

/** A refusal of undrop: an ERR with the error's code in front, nothing held. */
export function refuse(error: UndropError): Answer {
  const { errno, sqlState } = error.entry;
  const message = Buffer.from(`${error.code}: ${error.message}`);
  const payload = encodeErr({ errno, sqlState, message });
  return { kind: 'answer', payload, held: [], refusal: error };
}

/** The server would not rename a table; its error is the cause. */
export function holdFailed(request: Naming, { errno, message }: ErrPacket): Answer {
  const cause = `${errno} ${message.toString()}`;
  return refuse(new UndropError('UNDROP_HOLD_FAILED', { tables: sentenceStart(request), cause }));
}

export function again(because: string, otherwise: UndropError | null = null): Again {
  return { kind: 'again', because, otherwise };
}

/** "Table a was" or "Tables a, b were", the start of a sentence that goes on with "not dropped". */
export function sentenceStart({ subject, statement }: Naming): string {
  return subject ?? listTables(statement.names);
}

export function listTables(names: readonly Pick<TableName, 'schema' | 'table'>[]): string {
  if (names.length === 0) return 'A table that it may name was';
  const listed = names.map(dotted);
  const more = listed.length > 5 ? ` and ${listed.length - 5} more` : '';
  const shown = `${listed.slice(0, 5).join(', ')}${more}`;
  return names.length === 1 ? `Table ${shown} was` : `Tables ${shown} were`;
}

/** Only the names of the statement at `indices`. */
export function namingOnly({ statement }: Naming, indices: readonly number[]): Naming {
  const names = statement.names.filter((_name, index) => indices.includes(index));
  return { statement: { ...statement, names } };
}
