/**
 * A server in memory for a statement that names one table, and leaves or makes one there: what the
 * session says of the table, turn by turn, and what the service has renamed. A test gives the
 * answers, and sees what is said and what is held at the end.
 */

import type * as steps from '../../src/drop/steps/world.js';
import type { RelocateTable } from '../../src/held/relocate/blockers.js';
import type { Relocation } from '../../src/held/relocate/relocate.js';
import type { IntentTable } from '../../src/ledger/write.js';
import type { QualifiedTable } from '../../src/names/names.js';
import type { Result } from '../../src/wire/response.js';
import { idOf, requestOf } from './drop-request.js';
import * as made from './results.js';

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
  readonly takes?: readonly steps.ServiceRenameOutcome[];
}

export async function endIn(
  world: TargetWorld,
  statement: (world: steps.World, request: steps.DropRequest) => Promise<steps.Reply>,
) {
  const { server = 'mysql-9.7', sql, drop = sql } = world;
  const request = { ...requestOf({ server, sql: drop }), text: Buffer.from(sql) };
  const memory = new Memory(world);
  /** How many are held; how often the session was asked for its turn; those held for longer. */
  const end = { held: 0, turns: 0, creates: 0, kept: 0 };
  try {
    const reply = await statement(memory, request);
    if (reply.kind === 'again') throw new Error(reply.because);
    const said = made.describePayload(reply.payload);
    return { ...end, ...memory.counts, said, held: reply.held.length };
  } catch (error) {
    if (error !== BROKEN) throw error;
    return { ...end, ...memory.counts, said: BROKEN.message };
  }
}

const BROKEN = new Error('the session broke');

class Memory implements steps.World {
  readonly isBroken = false;
  readonly isUnruled = true;
  readonly counts = { turns: 0, creates: 0, kept: 0 };
  readonly #world: TargetWorld;
  #takes = 0;
  #ids = 0;

  constructor(world: TargetWorld) {
    this.#world = world;
  }

  async run(commands: readonly steps.UserCommand[]): Promise<readonly Result[]> {
    return commands.map((one) => {
      if (one.kind === 'close') throw new Error('it has no answer');
      return this.#say(Buffer.from(one.text).toString(), one.kind);
    });
  }

  async rename(text: Uint8Array): Promise<Result> {
    return this.#say(Buffer.from(text).toString(), 'query');
  }

  async know(): Promise<void> {}

  async recordTargets(_facts: steps.UserFacts, targets: readonly QualifiedTable[]) {
    const { noIntents, hasBackupLock = false, isElsewhere = false, seen } = this.#world;
    if (noIntents === true) return made.unrecorded();
    const tables = targets.map(() =>
      made.seenTable({ id: idOf(this.#ids++), table: 't', ...seen }),
    );
    return made.recordedIntent(tables, { isElsewhere, hasBackupLock });
  }

  async take(): Promise<steps.ServiceRenameOutcome> {
    return nth(this.#world.takes, this.#takes++) ?? { kind: 'renamed' };
  }

  async relocate(tables: readonly RelocateTable[]): Promise<readonly Relocation[]> {
    const moved = { outcome: 'moved', holdSchema: '_undrop' } as const;
    return tables.map(({ id, holdName }) => ({ id, ...moved, holdName }));
  }

  async keepLonger(held: readonly steps.HeldTable[]): Promise<readonly steps.HeldTable[]> {
    this.counts.kept = held.length;
    return held;
  }

  mayRename(): void {}

  record = made.never;
  locks = made.never;

  #say(text: string, kind: 'query' | 'prepare'): Result {
    const { syntaxError, sql, isLocked } = this.#world;
    if (kind === 'prepare') {
      if (text === sql && syntaxError !== undefined) return made.errResult(...syntaxError);
      const isOwn = text.startsWith('SELECT /* undrop own ');
      return isOwn && isLocked === true
        ? made.errResult(1100, 'HY000', 'own')
        : made.preparedResult(1);
    }
    if (text.includes('/* undrop facts')) {
      return made.factsResult(this.#world.gtidNext, 'utf8mb4_general_ci');
    }
    if (text.startsWith('SHOW /* undrop kind */')) {
      const { seenAs = 'base' } = this.#world;
      if (seenAs === 'missing')
        return made.errResult(1146, '42S02', "Table 'shop.t' doesn't exist");
      return made.kindResult(seenAs, 't');
    }
    if (text.includes('/* undrop innodb-wait ')) return made.rowsResult(['s'], ['2']);
    if (text.includes('/* undrop wait-for-lock ')) {
      const turn = nth(this.#world.turns, this.counts.turns++);
      if (turn !== null && turn !== undefined) return made.errResult(...turn);
      return made.errResult(1735, 'HY000', `Unknown partition '_undrop_none_' in table 't'`);
    }
    if (text.startsWith('SIGNAL')) return made.signalled(text);
    if (text.startsWith('CREATE ')) {
      const created = nth(this.#world.creates, this.counts.creates++);
      if (created === null) throw BROKEN;
      return created ?? made.okResult();
    }
    return made.okResult();
  }
}

/** The last one counts for all that follow. */
function nth<T>(list: readonly T[] = [], index: number): T | undefined {
  return list[Math.min(index, list.length - 1)];
}
