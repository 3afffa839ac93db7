/**
 * A server in memory for a statement that names one table, and leaves or makes one there: what the
 * session says of the table, turn by turn, and what the service has renamed. A test gives the
 * answers, and sees what is said and what is held at the end.
 */

import type { RelocateTable } from '../../src/held/relocate/blockers.js';
import type { Relocation } from '../../src/held/relocate/relocate.js';
import type { IntentTable } from '../../src/ledger/write.js';
import type { QualifiedTable } from '../../src/names/names.js';
import type {
  DropRequest,
  HeldTable,
  RecordedIntent,
  Reply,
  ServiceRenameOutcome,
  UserCommand,
  UserFacts,
  World,
} from '../../src/steps/world.js';
import type { Result } from '../../src/wire/response.js';
import { idOf, requestOf } from './drop-request.js';
import {
  describePayload,
  errResult,
  factsResult,
  kindResult,
  never,
  okResult,
  preparedResult,
  rowsResult,
  signalled,
  unrecorded,
} from './results.js';

export interface TargetWorld {
  readonly server?: string;
  readonly sql: string;
  /** A drop of the same table, if the text is none. */
  readonly drop?: string;
  /** The answers to its CREATEs, the last of them for all that follow; null: it breaks. */
  readonly creates?: readonly (Result | null)[];
  /** What the session sees under the name; default: a base table. */
  readonly seenAs?: 'base' | 'temporary' | 'view' | 'missing';
  /** What the server says of the text. */
  readonly syntaxError?: readonly [number, string, string];
  readonly gtidNext?: string;
  /** LOCK TABLES of the session itself. */
  readonly isLocked?: boolean;
  /** The answers to its turns, the last of them for all that follow; default: it has the lock. */
  readonly turns?: readonly (readonly [number, string, string] | null)[];
  /** What the service sees of it. */
  readonly seen?: Partial<IntentTable>;
  readonly hasBackupLock?: boolean;
  readonly noIntents?: boolean;
  readonly isElsewhere?: boolean;
  /** Of the RENAMEs by the service, the last of them for all that follow; default: done. */
  readonly takes?: readonly ServiceRenameOutcome[];
}

export interface TargetEnd {
  readonly said: string;
  /** How many. */
  readonly held: number;
  /** How often the session was asked for its turn. */
  readonly turns: number;
  readonly creates: number;
  /** How many had to be held for longer. */
  readonly kept: number;
}

const DUE = new Date('2026-03-08T12:00:00Z');

export async function endIn(
  world: TargetWorld,
  statement: (world: World, request: DropRequest) => Promise<Reply>,
): Promise<TargetEnd> {
  const { server = 'mysql-9.7', sql, drop = sql } = world;
  const request = { ...requestOf({ server, sql: drop }), text: Buffer.from(sql) };
  const memory = new Memory(world);
  const end = { held: 0, turns: 0, creates: 0, kept: 0 };
  try {
    const reply = await statement(memory, request);
    if (reply.kind === 'again') throw new Error(reply.because);
    const said = describePayload(reply.payload);
    return { ...end, ...memory.counts, said, held: reply.held.length };
  } catch (error) {
    if (error !== BROKEN) throw error;
    return { ...end, ...memory.counts, said: BROKEN.message };
  }
}

const BROKEN = new Error('the session broke');

class Memory implements World {
  readonly isBroken = false;
  readonly isUnruled = true;
  readonly counts = { turns: 0, creates: 0, kept: 0 };
  readonly #world: TargetWorld;
  #takes = 0;
  #ids = 0;

  constructor(world: TargetWorld) {
    this.#world = world;
  }

  async run(commands: readonly UserCommand[]): Promise<readonly Result[]> {
    return commands.map((one) => {
      if (one.kind === 'close') throw new Error('it has no answer');
      return this.#say(Buffer.from(one.text).toString(), one.kind);
    });
  }

  async rename(text: Uint8Array): Promise<Result> {
    return this.#say(Buffer.from(text).toString(), 'query');
  }

  async know(): Promise<void> {}

  async recordTargets(
    _facts: UserFacts,
    targets: readonly QualifiedTable[],
  ): Promise<RecordedIntent> {
    return this.#record(targets.length) as unknown as RecordedIntent;
  }

  async take(): Promise<ServiceRenameOutcome> {
    return nth(this.#world.takes, this.#takes++) ?? { kind: 'renamed' };
  }

  async relocate(tables: readonly RelocateTable[]): Promise<readonly Relocation[]> {
    return tables.map(({ id, holdName }) => {
      return { id, outcome: 'moved', holdSchema: '_undrop', holdName };
    });
  }

  async keepLonger(held: readonly HeldTable[]): Promise<readonly HeldTable[]> {
    this.counts.kept = held.length;
    return held;
  }

  mayRename(): void {}

  record = never;
  locks = never;

  #record(count: number) {
    const { noIntents, hasBackupLock = false, isElsewhere, seen } = this.#world;
    if (noIntents === true) return unrecorded();
    const tables = Array.from({ length: count }, () => ({
      id: idOf(this.#ids++),
      schema: 'shop',
      table: 't',
      kind: 'base',
      engine: 'InnoDB',
      holdUntil: DUE,
      foreignKeysIn: [],
      foreignKeysOut: 0,
      foreignKeysToItself: [],
      crash: null,
      triggers: [],
      ...seen,
    }));
    const intent = {
      utcNow: new Date('2026-03-01T12:00:00Z'),
      sessionHost: isElsewhere === true ? null : 'localhost:50001',
      serverIdentity: 'the server',
      lowerCaseTableNames: 0,
      lockedTables: null,
      hasBackupLock,
      tables,
    };
    return { intent, intentError: null, rulings: [] };
  }

  #say(text: string, kind: 'query' | 'prepare'): Result {
    const { syntaxError, sql, isLocked } = this.#world;
    if (kind === 'prepare') {
      if (text === sql && syntaxError !== undefined) return errResult(...syntaxError);
      const isOwn = text.startsWith('SELECT /* undrop own ');
      return isOwn && isLocked === true ? errResult(1100, 'HY000', 'own') : preparedResult(1);
    }
    if (text.includes('/* undrop facts')) {
      return factsResult(this.#world.gtidNext, 'utf8mb4_general_ci');
    }
    if (text.startsWith('SHOW /* undrop kind */')) {
      const { seenAs = 'base' } = this.#world;
      if (seenAs === 'missing') return errResult(1146, '42S02', "Table 'shop.t' doesn't exist");
      return kindResult(seenAs, 't');
    }
    if (text.includes('/* undrop innodb-wait ')) return rowsResult(['s'], ['2']);
    if (text.includes('/* undrop wait-for-lock ')) {
      const turn = nth(this.#world.turns, this.counts.turns++);
      if (turn !== null && turn !== undefined) return errResult(...turn);
      return errResult(1735, 'HY000', `Unknown partition '_undrop_none_' in table 't'`);
    }
    if (text.startsWith('SIGNAL')) return signalled(text);
    if (text.startsWith('CREATE ')) {
      const created = nth(this.#world.creates, this.counts.creates++);
      if (created === null) throw BROKEN;
      return created ?? okResult();
    }
    return okResult();
  }
}

/** The last one counts for all that follow. */
function nth<T>(list: readonly T[] = [], index: number): T | undefined {
  return list[Math.min(index, list.length - 1)];
}
