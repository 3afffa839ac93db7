/**
 * Runs a DROP DATABASE to its answer: performs the effects of its procedure on the user's session
 * and on the service, and keeps the ledger: the row of the schema, the intents of its tables, and
 * in the end what has become of both.
 *
 * Invariant: nobody collects any of its tables before the row of the schema says that it is over.
 */
import { assert } from '../../assert.js';
import { systemClock } from '../../clock.js';
import { UndropError } from '../../errors.js';
import type { LastingBlocker, RelocateTable } from '../../held/relocate/blockers.js';
import { isLost, renewHeld } from '../../held/relocate/due-times.js';
import {
  detachAndRelocate,
  moveToRecycleSchema,
  type Relocation,
  readLastingBlocker,
} from '../../held/relocate/relocate.js';
import { bindingOf, freeMoved, untilFree } from '../../held/relocate/until-free.js';
import { STATEMENT_BYTES_MAX } from '../../ledger/entry.js';
import type { SchemaDetails } from '../../ledger/schema-details.js';
import {
  asGroupOwner,
  endSchemaDrop,
  leaveSchemaDrop,
  markEmptied,
  recordSchemaDrop,
  type SchemaDropKey,
  settleSchemaDrop,
} from '../../ledger/schema-drops.js';
import type { IntentTable } from '../../ledger/write.js';
import { type Log, silentLog } from '../../log.js';
import { putSchemaBack } from '../../recovery/put-schema-back.js';
import type { ServerError } from '../../service/errors.js';
import {
  isServerError,
  isServiceError,
  type ServiceConnection,
  type ServicePool,
  unlessRefused,
} from '../../service/pool/pools.js';
import { LockWaitBudget } from '../../service/pool/statement-timeout.js';
import { readServerFacts } from '../../service/server-facts.js';
import type { DropOptions, DropResult } from '../../steps/drop-options.js';
import { isSameServer } from '../../steps/inspect-names.js';
import { Intents, newId, type RecordedIntent, retryUntilWritten } from '../../steps/intents.js';
import type { TriggerToMake } from '../../steps/make-triggers.js';
import { drive, type HeldTable } from '../../steps/procedure.js';
import { rootCause } from '../../steps/refusals/refusals.js';
import {
  renameByService,
  type ServiceRename,
  type ServiceRenameOutcome,
} from '../../steps/rename/rename-by-service.js';
import type { UserCommand } from '../../steps/session/user-session.js';
import { triggersOfDrop } from '../../steps/triggers-to-make.js';
import type { Result } from '../../wire/response.js';
import { ER_BAD_DB_ERROR } from '../../wire/server-errors.js';
import { type Barrier, closeBarrier, makeBarrierTable } from './barrier.js';
import { dropAtBarrier } from './drop-at-barrier.js';
import { dropDatabase } from './drop-database.js';
import {
  type Gone,
  notDropped,
  perform,
  type SchemaAnswer,
  type SchemaDropRequest,
  type SchemaEffect,
  type SchemaSteps,
  SessionBroken,
  type TryEnd,
  tablesOf,
} from './effects.js';
import {
  type Found,
  findLiveTables,
  findSchema,
  findSession,
  readSchemaDetails,
} from './read-schema.js';

export type SchemaDropOptions = Omit<DropOptions, 'hints'> & {
  readonly hints: readonly string[];
  readonly log?: Log;
};

/** Rejects if the user session broke; recovery then completes the rest. */
export async function runDropDatabase(
  request: SchemaDropRequest,
  options: SchemaDropOptions,
): Promise<DropResult> {
  const work = new SchemaWork(request, options);
  try {
    return work.resultOf(await work.run(dropDatabase(request)));
  } catch (error) {
    work.release();
    if (!(error instanceof SessionBroken)) throw error;
    options.onUnsettled();
    throw error.cause;
  } finally {
    work.end();
  }
}

/** The methods for procedures. */
export type SchemaService = Omit<SchemaWork, 'run' | 'resultOf' | 'release' | 'end'>;

/** Pools with a running DROP DATABASE. */
const underWay = new WeakSet<ServicePool>();

/** After this time recorded tables may have new keys and triggers. */
const LATE_MS = 1_000;
/** mysql.proc, mysql.event or the like may be missing, or have another shape. */
const INSTEAD =
  'Run the statement again. If the error names a table of the server itself, upgrade these (mariadb-upgrade, mysql_upgrade).';

/** The names of the tables are those of the schema. */
const NO_NAMES = {
  object: 'table',
  ifExists: false,
  names: [],
  wait: null,
  isDoubtful: false,
} as const;

/** The service side of one DROP DATABASE. Names are as the server stores them. */
class SchemaWork {
  readonly #request: SchemaDropRequest;
  readonly #options: SchemaDropOptions;
  readonly #intents: Intents;
  readonly #startMs = performance.now();
  #owner: ServiceConnection | null = null;
  #barrier: Barrier | null = null;
  #row: {
    readonly schema: string;
    readonly key: SchemaDropKey;
    readonly details: SchemaDetails;
  } | null = null;
  #hasBegun = false;
  #isSettled = false;
  /** The ledger may have rows that name the session, which stays connected after the drop. */
  #namesSession = false;

  constructor(request: SchemaDropRequest, options: SchemaDropOptions) {
    const { groupId, name } = request;
    this.#request = request;
    this.#options = options;
    const how = 'DROP DATABASE';
    const drop = { ...request, how, statement: NO_NAMES, subject: tablesOf(name), ids: [] };
    this.#intents = new Intents(drop, options, new Set(options.hints));
    options.activeIds.add(groupId);
  }

  run<T>(steps: SchemaSteps<T>): Promise<T> {
    return drive(steps, async (effect: SchemaEffect) => {
      if (effect.do === 'user') return this.#runOnSession(effect.commands);
      return perform(this, effect).catch((error: unknown) => {
        if (!isServerError(error)) throw error;
        // The server's error for the service isn't a response for the client.
        throw notDropped(this.#request.name, `the service failed: ${rootCause(error)}`, INSTEAD);
      });
    });
  }

  resultOf({ payload, held, refusal, isDropped }: SchemaAnswer): DropResult {
    if (isDropped !== true) this.release();
    return {
      payload,
      held,
      audited: this.#intents.audited(held),
      hints: this.#options.hints ?? [],
      refusal,
      facts: null,
      finish: (onLate) => (isDropped === true ? this.#finish(held, onLate) : this.#leave(onLate)),
    };
  }

  release(): void {
    this.#options.activeIds.delete(this.#request.groupId);
    this.#intents.release();
  }

  end(): void {
    if (this.#hasBegun) underWay.delete(this.#options.pool);
    // A DROP whose session broke may still be waiting: it must not go on.
    this.#barrier?.leave();
  }

  pause(ms: number): Promise<void> {
    return systemClock.sleep(ms);
  }

  /** False: another DROP DATABASE of this pool is running. */
  async tryBegin(): Promise<boolean> {
    const { pool } = this.#options;
    if (underWay.has(pool)) return false;
    underWay.add(pool);
    this.#hasBegun = true;
    return true;
  }

  /** Null: there is no such schema, or the service account may not see it. */
  async findSchema(name: string): Promise<string | null> {
    const { pool } = this.#options;
    const seen = await findSchema(pool, name);
    return seen ?? pool.task((connection) => findSchema(connection, name), { fresh: true });
  }

  /** Runs `steps` while a service connection owns the group. */
  asOwner(steps: SchemaSteps<SchemaAnswer | Gone>): Promise<SchemaAnswer | Gone> {
    return asGroupOwner(this.#options.pool, this.#request.groupId, (owner) => {
      this.#owner = owner;
      return this.run(steps);
    });
  }

  /** Whether the service is on the server of the user's session. */
  async seesSession(): Promise<boolean> {
    const { session, facts } = this.#request;
    const server = await readServerFacts(this.#options.pool);
    const seen = await findSession(this.#ownerOf(), session.threadId, server);
    return isSameServer({ session }, seen, facts);
  }

  /** The contents of the schema. Partitioned tables of an earlier drop are moved out. */
  find(schema: string): Promise<Found> {
    const group = { schema, groupId: this.#request.groupId };
    return findLiveTables(this.#options.pool, this.#ownerOf(), group);
  }

  /** Records the schema in the ledger, with its views and programs. False: it is gone. */
  async recordSchema(schema: string): Promise<boolean> {
    const { pool, proxyId } = this.#options;
    const { text, session, facts, groupId } = this.#request;
    const details = await unlessRefused(readSchemaDetails(pool, schema), null, ER_BAD_DB_ERROR);
    if (details === null) return false;
    const { threadId, clientAddress } = session;
    try {
      const key = await recordSchemaDrop(pool, {
        ...{ id: newId(), groupId, proxyId, threadId, clientAddress, schema, details },
        user: facts.user,
        statementText: Buffer.from(text.subarray(0, STATEMENT_BYTES_MAX)).toString(),
        sqlLogBin: facts.logged,
      });
      this.#row = { schema, key, details };
      return true;
    } catch (error) {
      // The row may be written although its response is lost.
      this.#namesSession = true;
      const params = { tables: tablesOf(schema), cause: rootCause(error) };
      throw new UndropError('UNDROP_NOT_RECORDED', params, error);
    }
  }

  recordTables(schema: string, names: readonly string[]): Promise<RecordedIntent> {
    const tables = names.map((table) => ({ schema, table }));
    return this.#intents.recordTargets(this.#request.facts, tables);
  }

  /** Why each table has to stay in its schema. */
  async blockersOf(tables: readonly IntentTable[]): Promise<readonly (LastingBlocker | null)[]> {
    const all: (LastingBlocker | null)[] = [];
    for (const { id, schema, table: name } of tables) {
      all.push(await readLastingBlocker(this.#options.pool, { id, schema, name }));
    }
    return all;
  }

  /** Null: the barrier table is made. */
  makeTable(schema: string, table: string): Promise<ServerError | null> {
    const { groupId, facts } = this.#request;
    const barrier = { schema, table, groupId, logged: facts.logged };
    return makeBarrierTable(this.#options.pool, barrier);
  }

  take(rename: ServiceRename): Promise<ServiceRenameOutcome> {
    return renameByService(this.#options.pool, rename);
  }

  /** Relocates tables; `detach`: keys and triggers are detached first. */
  async relocate(
    tables: readonly RelocateTable[],
    detach: boolean,
  ): Promise<readonly Relocation[]> {
    const { pool } = this.#options;
    const { logged } = this.#request.facts;
    const isLate = performance.now() - this.#intents.beganMs > LATE_MS;
    const move = detach || isLate ? detachAndRelocate : moveToRecycleSchema;
    const server = await readServerFacts(pool);
    const how = { logged, lockWaitBudget: new LockWaitBudget(), server };
    const all = await move(pool, tables, how);
    // A table that is still in its schema is tried again in any case.
    const isBound = all.some((one) => one.outcome === 'moved' && bindingOf(one) !== null);
    return isBound ? untilFree(pool, tables, { logged, first: all }) : all;
  }

  /** For keys that were created before their RENAME into the recycle schema. */
  freed(tables: readonly RelocateTable[]): Promise<readonly Relocation[]> {
    return freeMoved(this.#options.pool, tables, this.#request.facts);
  }

  async closeBarrier(table: string): Promise<void> {
    const { pool } = this.#options;
    const { schema } = this.#rowOf();
    const server = await readServerFacts(pool);
    const { groupId } = this.#request;
    this.#barrier = await closeBarrier(pool, { schema, table, groupId, server });
  }

  /** Sends the DROP, which waits at the barrier until a check has found no other table. */
  async drop(rounds: number): Promise<TryEnd> {
    const { pool, log = silentLog } = this.#options;
    const { schema, key } = this.#rowOf();
    const barrier = this.#barrier;
    assert(barrier !== null, 'the barrier is closed');
    if (!(await markEmptied(pool, key))) {
      // Recovery took the drop for dead and ended it.
      const params = { tables: tablesOf(schema), times: rounds + 1 };
      throw new UndropError('UNDROP_CHANGED_MEANWHILE', params);
    }
    const run = (commands: readonly UserCommand[]) => this.#runOnSession(commands);
    const [request, owner] = [this.#request, this.#ownerOf()];
    const end = await dropAtBarrier({ request, schema, pool, log, owner, rounds, barrier, run });
    this.#barrier = null;
    return end;
  }

  /** Null: everything is as before; or why recovery has to continue. */
  async renameBack(): Promise<string | null> {
    const { pool, onUnsettled, log = silentLog } = this.#options;
    const { session, facts } = this.#request;
    const { schema, key, details } = this.#rowOf();
    let why = 'other sessions have locked some of its tables';
    try {
      this.#namesSession = true;
      await this.#barrier?.open();
      await leaveSchemaDrop(pool, key, { ...session, hasFailed: true });
      this.#namesSession = false;
      const drop = { ...key, ...session, schema, sqlLogBin: facts.logged, details };
      if (await putSchemaBack(pool, drop, log)) return null;
    } catch (error) {
      why = rootCause(error);
    }
    onUnsettled();
    return why;
  }

  /** Triggers of restored tables that the account may not create. */
  triggersToMake(): Promise<readonly TriggerToMake[]> {
    return triggersOfDrop(this.#options.pool, this.#request);
  }

  async #runOnSession(commands: readonly UserCommand[]): Promise<readonly Result[]> {
    try {
      return await this.#options.userSession.run(commands);
    } catch (error) {
      throw new SessionBroken('the session broke', { cause: error });
    }
  }

  #ownerOf(): ServiceConnection {
    assert(this.#owner !== null, 'somebody owns the group');
    return this.#owner;
  }

  #rowOf() {
    assert(this.#row !== null, 'the schema is recorded');
    return this.#row;
  }

  /** Before the response, so that all of it can be restored from then on; else after it. */
  async settle(held: readonly HeldTable[]): Promise<void> {
    const tookMs = performance.now() - this.#startMs;
    const [holds, late] = [false, true].map((isLate) => this.#intents.holdsOf(held, isLate));
    const isRenewed = ({ id }: HeldTable) => {
      const hold = holds?.get(id) ?? 0;
      return isLost(hold, tookMs) || (tookMs > LATE_MS && hold !== late?.get(id));
    };
    const areMoved = held.every(({ relocated, failure }) => relocated && failure === null);
    if (!areMoved || held.some(isRenewed)) return;
    try {
      await settleSchemaDrop(this.#options.pool, this.#rowOf().key, held);
      this.#isSettled = true;
    } catch (error) {
      if (!isServiceError(error)) throw error;
    }
  }

  /** Ends the drop: the tables are held, for their whole time from now on if it had to wait. */
  async #finish(held: readonly HeldTable[], onLate?: (error: Error) => void): Promise<void> {
    const { pool, stopping, onUnsettled } = this.#options;
    const isLate = performance.now() - this.#startMs > LATE_MS;
    const holds = this.#intents.holdsOf(held, isLate);
    const retry = { stopping, onLate };
    try {
      if (this.#isSettled) return await this.#intents.finish(held, onLate);
      const names = await retryUntilWritten(() => renewHeld(pool, holds), retry);
      const renewed = held.map((table) => {
        return { ...table, holdName: names.get(table.id) ?? table.holdName };
      });
      await this.#intents.finish(renewed, onLate);
      // None of them is collected before.
      await retryUntilWritten(() => endSchemaDrop(pool, this.#rowOf().key), retry);
    } catch (error) {
      onUnsettled();
      throw error;
    } finally {
      this.release();
    }
  }

  /** Everything is back at this point, or the answer reports what isn't. */
  async #leave(onLate?: (error: Error) => void): Promise<void> {
    const { pool, stopping, onUnsettled } = this.#options;
    const { groupId, session, facts } = this.#request;
    if (!this.#namesSession) return;
    const key = { groupId, rowLogged: this.#row?.key.rowLogged ?? facts.logged };
    const leave = () => leaveSchemaDrop(pool, key, { ...session, hasFailed: false });
    await retryUntilWritten(leave, { stopping, onLate }).finally(onUnsettled);
  }
}
