/**
 * The port of a DROP DATABASE beside `World`: the schema, its row in the ledger, the barrier, and
 * the end. Its only state is the work that is left after the answer.
 *
 * Invariant: the collector leaves all tables of the schema alone until the row of the schema
 * records the end of the drop.
 */
import { systemClock } from '../../clock.js';
import { type ServerError, tolerantly, unlessRefused } from '../../connections/errors.js';
import type { ServiceConnection, ServicePool } from '../../connections/sql.js';
import { readServerFacts } from '../../connections/sql.js';
import { rootCause, UndropError } from '../../errors.js';
import type { LastingBlocker, RelocateTable } from '../../held/relocate/blockers.js';
import { isLost, renewHeld } from '../../held/relocate/due-times.js';
import { type Relocation, readLastingBlockers } from '../../held/relocate/relocate.js';
import { freeMoved } from '../../held/relocate/until-free.js';
import { STATEMENT_BYTES_MAX } from '../../ledger/entry.js';
import type { SchemaDetails } from '../../ledger/schema-details.js';
import * as ledger from '../../ledger/schema-drops.js';
import type { IntentTable } from '../../ledger/write.js';
import { silentLog } from '../../log.js';
import { LATE_MS } from '../../tries.js';
import * as ER from '../../wire/server-errors.js';
import { triggersOfDrop } from '../steps/definitions-to-make.js';
import type { DropOptions } from '../steps/drop-options.js';
import { isSameServer } from '../steps/inspect-names.js';
import { newId, retryUntilWritten } from '../steps/intents.js';
import type { DefinitionToMake } from '../steps/make-definitions.js';
import type { ServerWorld } from '../steps/run.js';
import { claimsIn, type HeldTable } from '../steps/world.js';
import * as barriers from './barrier.js';
import * as read from './read-schema.js';
import { putSchemaBack } from './recover-drop-database.js';
import { type SchemaDropRequest, type TryEnd, tablesOfSchema } from './schema-drop.js';

/** The ledger's row of the drop; the name as the server stores it. */
export interface SchemaRow {
  readonly schema: string;
  readonly key: ledger.SchemaDropKey;
  readonly details: SchemaDetails;
}

/** The owner of the group; a process that others consider dead has lost it. */
export type GroupOwner = ServiceConnection;

interface AtBarrier extends Pick<barriers.DropAtBarrierOptions, 'owner' | 'barrier' | 'rounds'> {
  readonly row: SchemaRow;
}

interface SchemaEnd {
  readonly row: SchemaRow;
  readonly held: readonly HeldTable[];
  readonly isSettled: boolean;
}

/** Pools with a running DROP DATABASE. */
const underWay = new WeakSet<ServicePool>();

/** The methods for the statement; the worlds of the tests have them as well. */
export type SchemaPort = Pick<SchemaServer, keyof SchemaServer>;

/** Names of schemas and tables are as the server stores them. */
export class SchemaServer {
  readonly #world: ServerWorld;
  readonly #request: SchemaDropRequest;
  readonly #options: DropOptions;
  readonly #startMs = performance.now();
  /** The ledger may have rows that name the session, which stays connected after the drop. */
  #named: Pick<ledger.SchemaDropKey, 'dropId' | 'rowLogged'> | null = null;
  /** Some work is left for recovery. */
  #isLeft = false;

  constructor(world: ServerWorld, request: SchemaDropRequest, options: DropOptions) {
    this.#world = world;
    this.#request = request;
    this.#options = options;
  }

  /** False: another DROP DATABASE of this pool is running; true: this one runs, until `endTurn`. */
  tryBegin(): boolean {
    const { pool } = this.#options;
    if (underWay.has(pool)) return false;
    underWay.add(pool);
    return true;
  }

  endTurn(): void {
    underWay.delete(this.#options.pool);
  }

  pause(ms: number): Promise<void> {
    return systemClock.sleep(ms);
  }

  /** Null: there is no such schema, or the service account may not see it. */
  async findSchema(name: string): Promise<string | null> {
    const { pool } = this.#options;
    const seen = await read.findSchema(pool, name);
    return seen ?? pool.task((connection) => read.findSchema(connection, name), { fresh: true });
  }

  /** Runs `work` while its connection owns the group. */
  asOwner<T>(work: (owner: GroupOwner) => Promise<T>): Promise<T> {
    return ledger.asGroupOwner(this.#options.pool, this.#request.dropId, work);
  }

  /** Whether the service is on the server of the user's session. */
  async seesSession(owner: GroupOwner): Promise<boolean> {
    const { session, facts } = this.#request;
    const server = await readServerFacts(this.#options.pool);
    const seen = await read.findSession(owner, session.threadId, server);
    return isSameServer({ session }, seen, facts);
  }

  /** The tables in the schema. Partitioned tables of an earlier drop are moved out. */
  find(owner: GroupOwner, schema: string): Promise<read.Found> {
    const { dropId } = this.#request;
    return read.findLiveTables(this.#options.pool, owner, { schema, dropId });
  }

  /** Records the schema in the ledger, with its views and programs. Null: it is gone. */
  async recordSchema(schema: string): Promise<SchemaRow | null> {
    const { pool, proxyId } = this.#options;
    const { text, session, facts, dropId } = this.#request;
    const reading = read.readSchemaDetails(pool, schema);
    const details = await unlessRefused(reading, null, ER.BAD_DB_ERROR);
    if (details === null) return null;
    this.#world.mayRename();
    const { threadId, clientAddress } = session;
    const statementText = Buffer.from(text.subarray(0, STATEMENT_BYTES_MAX)).toString();
    try {
      const key = await ledger.recordSchemaDrop(pool, {
        ...{ id: newId(), dropId, proxyId, threadId, clientAddress, schema, details },
        ...{ user: facts.user, statementText, sqlLogBin: facts.logged },
        claims: claimsIn(text, session),
      });
      return { schema, key, details };
    } catch (error) {
      // The row may be written although its response is lost.
      this.#named = { dropId, rowLogged: facts.logged };
      const params = { tables: tablesOfSchema(schema), cause: rootCause(error) };
      throw new UndropError('UNDROP_NOT_RECORDED', params, error);
    }
  }

  /** Why each table has to stay in its schema. */
  blockersOf(tables: readonly IntentTable[]): Promise<readonly (LastingBlocker | null)[]> {
    const places = tables.map(({ id, schema, table }) => {
      return { id, holdSchema: schema, holdName: table };
    });
    return readLastingBlockers(this.#options.pool, places);
  }

  /** Null: the barrier table is made. */
  makeTable(schema: string, table: string): Promise<ServerError | null> {
    const { dropId, facts } = this.#request;
    const pool = this.#options.pool.logging(facts.logged);
    return barriers.makeBarrierTable(pool, { schema, table, dropId });
  }

  /** Detaches keys that were created before the RENAME into the recycle schema. */
  freed(tables: readonly RelocateTable[]): Promise<readonly Relocation[]> {
    return freeMoved(this.#options.pool.logging(this.#request.facts.logged), tables);
  }

  async closeBarrier(schema: string, table: string): Promise<barriers.ClosedBarrier> {
    const { pool } = this.#options;
    const { dropId } = this.#request;
    const server = await readServerFacts(pool);
    return barriers.closeBarrier(pool, { schema, table, dropId, server });
  }

  /** Sends the DROP, which waits at the barrier until a check has found no other table. */
  async drop({ row: { schema, key }, ...at }: AtBarrier): Promise<TryEnd> {
    const { pool, log = silentLog } = this.#options;
    if (!(await ledger.markEmptied(pool, key))) {
      // Recovery took the drop for dead and ended it.
      const params = { tables: tablesOfSchema(schema), times: at.rounds + 1 };
      throw new UndropError('UNDROP_CHANGED_MEANWHILE', params);
    }
    const [request, session] = [this.#request, this.#world];
    return barriers.dropAtBarrier({ ...at, request, schema, pool, log, session });
  }

  /** Null: everything is as before; or why recovery has to continue. */
  async renameBack({ schema, key, details }: SchemaRow): Promise<string | null> {
    const { pool, log = silentLog } = this.#options;
    const { session, facts } = this.#request;
    let why = 'other sessions have locked some of its tables';
    try {
      this.#named = key;
      await ledger.leaveSchemaDrop(pool, key, { ...session, hasFailed: true });
      this.#named = null;
      const drop = { ...key, ...session, schema, sqlLogBin: facts.logged, details };
      if (await putSchemaBack(pool, drop, log)) return null;
    } catch (error) {
      why = rootCause(error);
    }
    this.#isLeft = true;
    return why;
  }

  /** Triggers of restored tables that the account may not create. */
  triggersToMake(): Promise<readonly DefinitionToMake[]> {
    return triggersOfDrop(this.#options.pool, this.#request);
  }

  /** Before the answer, so that all of it can be brought back from then on. False: after it. */
  async settle({ key }: SchemaRow, held: readonly HeldTable[]): Promise<boolean> {
    const tookMs = performance.now() - this.#startMs;
    const { intents } = this.#world;
    const [holds, late] = [false, true].map((isLate) => intents.holdsOf(held, isLate));
    const isRenewed = ({ id }: HeldTable) => {
      const hold = holds?.get(id) ?? 0;
      return isLost(hold, tookMs) || (tookMs > LATE_MS && hold !== late?.get(id));
    };
    const areMoved = held.every(({ relocated, pendingWork }) => relocated && pendingWork === null);
    if (!areMoved || held.some(isRenewed)) return false;
    const { pool } = this.#options;
    const settled = await tolerantly(async () => [await ledger.settleSchemaDrop(pool, key, held)]);
    return settled.problem === null;
  }

  /** After the answer: all is held, for the whole time if the client waited, and it is over. */
  async finish(
    { row, held, isSettled }: SchemaEnd,
    onLate?: (error: Error) => void,
  ): Promise<void> {
    const { pool, stopping, onUnsettled } = this.#options;
    const { intents } = this.#world;
    if (isSettled) return intents.finish(held, onLate);
    const retry = { stopping, onLate };
    const holds = intents.holdsOf(held, performance.now() - this.#startMs > LATE_MS);
    try {
      const names = await retryUntilWritten(() => renewHeld(pool, holds), retry);
      const renewed = held.map((table) => {
        return { ...table, holdName: names.get(table.id) ?? table.holdName };
      });
      await intents.finish(renewed, onLate);
      // The collector takes none of them before.
      await retryUntilWritten(() => ledger.endSchemaDrop(pool, row.key), retry);
    } catch (error) {
      onUnsettled();
      throw error;
    } finally {
      intents.release();
    }
  }

  /**
   * After an answer that left the schema in place: all tables are back, or the answer reports that
   * they aren't.
   */
  async leave(onLate?: (error: Error) => void): Promise<void> {
    const { pool, stopping, onUnsettled } = this.#options;
    this.#world.intents.release();
    const key = this.#named;
    try {
      if (key === null) return;
      this.#isLeft = true;
      const who = { ...this.#request.session, hasFailed: false };
      await retryUntilWritten(() => ledger.leaveSchemaDrop(pool, key, who), { stopping, onLate });
    } finally {
      if (this.#isLeft) onUnsettled();
    }
  }
}
