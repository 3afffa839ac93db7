/**
 * Runs a DROP DATABASE to its answer: performs the effects of its procedure on the user's session
 * and on the service.
 */
import { systemClock } from '../../clock.js';
import type { LastingBlocker } from '../../held/relocate/blockers.js';
import { detachAndRelocate, moveToRecycleSchema } from '../../held/relocate/detach-and-relocate.js';
import { takeOut } from '../../held/relocate/pending.js';
import { type RelocateTable, whyItStays } from '../../held/relocate/relocate.js';
import { retireAbandonedBarrier } from '../../held/relocate/retire-barrier-table.js';
import { processlistOf } from '../../ledger/owner.js';
import { asGroupOwner, markEmptied } from '../../ledger/schema-drops.js';
import { mayUnlog } from '../../ledger/unlogged.js';
import { silentLog } from '../../log.js';
import { BARRIER_TABLE_COMMENT } from '../../names/names.js';
import {
  isServerError,
  type ServiceConnection,
  type ServicePool,
} from '../../service/pool/pools.js';
import { LockWaitBudget } from '../../service/pool/statement-timeout.js';
import { textOf, textOrNullOf } from '../../service/row.js';
import { readServerFacts } from '../../service/server-facts.js';
import { ident, note, serverIdentity, sql } from '../../service/sql.js';
import { encodeName } from '../../steps/names/encode-name.js';
import { isSameServer } from '../../steps/preconditions.js';
import { drive } from '../../steps/procedure.js';
import { rootCause } from '../../steps/refusals/root-cause.js';
import { renameByService } from '../../steps/rename/rename-by-service.js';
import type { UserCommand } from '../../steps/session/user-session.js';
import type { Result } from '../../wire/result-reader.js';
import { type Barrier, closeBarrier } from './barrier.js';
import { dropAtBarrier } from './drop-at-barrier.js';
import { dropDatabase } from './drop-database.js';
import {
  notDropped,
  perform,
  type SchemaDropRequest,
  type SchemaService,
  SessionBroken,
  type TryEnd,
} from './effects.js';
import { findSchema, findTables } from './read-schema.js';
import { type SchemaDropOptions, type SchemaDropResult, SchemaRecords } from './records.js';

/** Each DROP DATABASE has three service connections, and others are needed to go on. */
const last = new WeakMap<ServicePool, Promise<unknown>>();

/** Rejects if the user session broke; recovery has the rest then. */
export async function runDropDatabase(
  request: Omit<SchemaDropRequest, 'groupId'>,
  options: SchemaDropOptions,
): Promise<SchemaDropResult> {
  return new SchemaDrop({ ...request, groupId: options.newId() }, options).run();
}

class SchemaDrop {
  readonly #request: SchemaDropRequest;
  readonly #options: SchemaDropOptions;
  #place: QueuePlace | null = null;
  #owner: ServiceConnection | null = null;
  #disown: () => void = () => undefined;
  #owning: Promise<void> = Promise.resolve();
  readonly #records: SchemaRecords;
  #barrier: Barrier | null = null;

  constructor(request: SchemaDropRequest, options: SchemaDropOptions) {
    this.#request = request;
    this.#options = options;
    this.#records = new SchemaRecords(request, options);
  }

  async run(): Promise<SchemaDropResult> {
    const service = this.#service();
    try {
      const answer = await drive(dropDatabase(this.#request), async (effect) => {
        if (effect.do === 'user') return this.#say(effect.commands);
        return perform(service, effect).catch((error: unknown) => this.#failed(error));
      });
      return this.#records.resultOf(answer);
    } catch (error) {
      this.#records.release();
      if (!(error instanceof SessionBroken)) throw error;
      // Its DROP may be waiting still: it is not for us to let it go.
      this.#barrier?.leave();
      this.#options.onUnsettled();
      throw error.cause;
    } finally {
      this.#disown();
      await this.#owning;
      this.#place?.leave();
    }
  }

  async #say(commands: readonly UserCommand[]): Promise<readonly Result[]> {
    try {
      return await this.#options.userSession.run(commands);
    } catch (error) {
      throw new SessionBroken('the session broke', { cause: error });
    }
  }

  /** What the server says to the service is no answer for the client. */
  #failed(error: unknown): never {
    if (!isServerError(error)) throw error;
    throw notDropped(this.#request.name, `the service failed: ${rootCause(error)}`, INSTEAD);
  }

  #service(): SchemaService {
    const { pool } = this.#options;
    const { groupId, facts } = this.#request;
    const records = this.#records;
    return {
      now: async () => performance.now(),
      pause: (ms) => systemClock.sleep(ms),
      isTurn: async () => {
        this.#place ??= joinQueue(pool);
        return this.#place.isFirst;
      },
      findSchema: (name) => findSchema(pool, name),
      own: () => this.#own(),
      seesSession: () => this.#seesSession(),
      find: (schema) => findTables(this.#ownerOf(), schema, groupId),
      takeOut: (schema) => takeOut(pool, schema),
      retire: (schema, guard) => retireAbandonedBarrier(pool, { schema, guard }),
      recordSchema: (schema) => records.recordSchema(schema),
      recordTables: (schema, tables) => records.recordTables(schema, tables),
      stays: async (tables) => {
        const all: (LastingBlocker | null)[] = [];
        for (const { id, schema, table: name } of tables) {
          all.push(await whyItStays(pool, { id, schema, name }));
        }
        return all;
      },
      mayUnlog: () => mayUnlog(pool),
      makeTable: async (schema, table) => {
        try {
          await this.#makeTable(schema, table);
          return null;
        } catch (error) {
          if (!isServerError(error)) throw error;
          return { errno: error.errno, cause: rootCause(error) };
        }
      },
      encode: (name) => encodeName(pool, name, facts.charset),
      take: (rename) => renameByService(pool, rename),
      relocate: (tables, detach) => this.#relocate(tables, detach),
      closeBarrier: async (table) => {
        await records.keepDetails();
        const { schema } = records.row;
        const server = await readServerFacts(pool);
        this.#barrier = await closeBarrier(pool, { schema, table, groupId, server });
      },
      drop: (rounds) => this.#drop(rounds),
      renameBack: () => records.renameBack(async () => this.#barrier?.open()),
    };
  }

  async #drop(rounds: number): Promise<TryEnd> {
    const { pool, log = silentLog } = this.#options;
    const { schema, key } = this.#records.row;
    const barrier = this.#barrier;
    if (barrier === null || !(await markEmptied(pool, key))) return { kind: 'ended' };
    const run = (commands: readonly UserCommand[]) => this.#say(commands);
    const [request, owner] = [this.#request, this.#ownerOf()];
    const how = { request, schema, pool, log, owner, rounds, barrier, run };
    const end = await dropAtBarrier(how);
    this.#barrier = null;
    return end;
  }

  #own(): Promise<void> {
    return new Promise((resolve, reject) => {
      const ended = new Promise<void>((end) => {
        this.#disown = end;
      });
      const owning = asGroupOwner(this.#options.pool, this.#request.groupId, (owner) => {
        this.#owner = owner;
        resolve();
        return ended;
      });
      this.#owning = owning.catch(reject);
    });
  }

  #ownerOf(): ServiceConnection {
    if (this.#owner === null) throw new Error('nobody owns the group');
    return this.#owner;
  }

  async #seesSession(): Promise<boolean> {
    const { groupId, session, facts } = this.#request;
    const server = await readServerFacts(this.#options.pool);
    const [[row = {}] = []] = await this.#ownerOf().run(
      sql`SELECT ${note('owner', groupId)} ${serverIdentity(server)} AS identity,
          (SELECT HOST FROM ${processlistOf(server)} WHERE ID = ${session.threadId}) AS host`,
    );
    const seen = {
      sessionHost: textOrNullOf(row, 'host'),
      serverIdentity: textOf(row, 'identity'),
    };
    return isSameServer({ session }, seen, facts);
  }

  async #makeTable(schema: string, table: string): Promise<void> {
    const { pool } = this.#options;
    const { groupId, facts } = this.#request;
    await pool.run(
      sql`CREATE TABLE ${note('schema-guard', groupId)} ${ident(schema, table)}
          (id INT NOT NULL PRIMARY KEY) ENGINE=InnoDB
          COMMENT=${BARRIER_TABLE_COMMENT}`,
      { logged: facts.logged },
    );
    await pool.run([
      sql`HANDLER ${ident(schema, table)} OPEN AS undrop_gate`,
      sql`HANDLER undrop_gate CLOSE`,
    ]);
  }

  async #relocate(tables: readonly RelocateTable[], detach: boolean) {
    const { pool } = this.#options;
    const { logged } = this.#request.facts;
    const move = detach || this.#records.isLate ? detachAndRelocate : moveToRecycleSchema;
    const server = await readServerFacts(pool);
    return move(pool, tables, { logged, lockWaitBudget: new LockWaitBudget(), server });
  }
}

/** mysql.proc, mysql.event or the like may be missing, or have another shape. */
const INSTEAD =
  'Run the statement again. Upgrade the server’s own tables (mariadb-upgrade, mysql_upgrade) if that is about one of them.';

interface QueuePlace {
  /** No one that came before is left. */
  readonly isFirst: boolean;
  /** Whoever leaves early leaves the turn to those before. */
  leave(): void;
}

function joinQueue(pool: ServicePool): QueuePlace {
  const before = last.get(pool);
  const place = { isFirst: before === undefined, leave: (): void => undefined };
  const left = new Promise<void>((resolve) => {
    place.leave = resolve;
  });
  const end = Promise.all([before, left]).then(() => {
    if (last.get(pool) === end) last.delete(pool);
  });
  last.set(pool, end);
  void before?.then(() => {
    place.isFirst = true;
  });
  return place;
}
