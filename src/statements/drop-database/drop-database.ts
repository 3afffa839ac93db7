/**
 * One DROP DATABASE to its answer: its tables are renamed away by the service, all of them; then
 * the user's own session drops what is left, held up by a table of ours until the service has
 * looked once more behind the locks of that DROP (docs/decisions/drop-database.md).
 *
 * Invariants: before the first RENAME the ledger has the schema and the table, and the guard is
 * there. Whatever ends it before the schema is dropped puts everything back; what can't be put back
 * stays held, and is recovery's.
 */
import { UndropError } from '../../errors.js';
import { takeOut } from '../../held/relocate/pending.js';
import { asGroupOwner } from '../../ledger/intents/group-owner.js';
import { mergeParts, type SchemaDetails } from '../../ledger/schema-details.js';
import {
  giveUpSchemaDrop,
  leaveSchemaDrop,
  markEmptied,
  recordSchemaDetails,
  recordSchemaDrop,
  type SchemaDropKey,
} from '../../ledger/schema-drops.js';
import { statementTextOf } from '../../ledger/statement-text.js';
import type { IntentFacts } from '../../ledger/write.js';
import { type Log, silentLog } from '../../log.js';
import { putSchemaBack } from '../../recovery/put-schema-back.js';
import type { ServiceConnection } from '../../service/pool/pools.js';
import { readServerFacts, type ServerFacts } from '../../service/server-facts.js';
import type { ClientCharset } from '../../sql/lex/lex-mode.js';
import type { DropOptions, DropResult } from '../../steps/drop-options.js';
import { rootCause } from '../../steps/refusals/root-cause.js';
import type { UserFacts } from '../../steps/request.js';
import { retryUntilWritten } from '../../steps/retry-until-written.js';
import type { SessionFacts } from '../../steps/session/user-session.js';
import { okWithAffectedRows } from '../../wire/response/ok.js';
import type { ServerVersion } from '../../wire/server-version.js';
import { blockedParents, parentErrorSql } from '../drop-table/parents.js';
import { abortedBy, DropDatabaseAborted, notDropped, SchemaGone } from './aborted.js';
import { closeBarrier } from './barrier.js';
import { askSchema } from './check-rights.js';
import { behindTry, type Look } from './decide.js';
import { dropBehindGate, lookIntoSchema } from './drop-behind-barrier.js';
import { finishDropDatabase } from './finish.js';
import { crowded, SchemaTables, type SchemaTablesOptions } from './hold-tables.js';
import {
  assertAlone,
  assertSameServer,
  lookAlone,
  makeBarrierTable,
} from './make-barrier-table.js';
import { queueDropDatabase, waitInSession } from './queue.js';
import { readSchemaDetails } from './read-schema.js';
import { SchemaSession } from './session.js';
import { dropPatienceS, type SchemaName } from './sql.js';

export interface SchemaDropRequest {
  /** The client's statement. */
  readonly text: Uint8Array;
  /** Unescaped bytes in the client's charset, and in UTF-8. */
  readonly schema: Uint8Array;
  readonly name: string;
  /** What follows the name in a CREATE OR REPLACE DATABASE; null: it is dropped. */
  readonly options: Uint8Array | null;
  readonly charset: ClientCharset;
  readonly server: ServerVersion;
  readonly session: SessionFacts;
  readonly facts: UserFacts;
}

export type SchemaDropOptions = Omit<DropOptions, 'guess' | 'gtidMayBeSet' | 'hints'> & {
  readonly log?: Log;
  readonly hint?: SchemaTablesOptions['hint'];
};

/** Null: another was faster. Rejects where the user session broke; recovery has the rest then. */
export async function runSchemaDrop(
  request: SchemaDropRequest,
  options: SchemaDropOptions,
): Promise<DropResult | null> {
  return new SchemaDropping(request, options).run();
}

interface Dropped {
  readonly payload: Buffer;
  readonly key: SchemaDropKey;
}

class SchemaDropping {
  readonly #request: SchemaDropRequest;
  readonly #options: SchemaDropOptions;
  readonly #groupId: string;
  readonly #name: SchemaName;
  readonly #session: SchemaSession;
  /** Of the session, once it is read, in seconds. */
  #lockWaitS = 0;
  #tables: SchemaTables | null = null;
  /** Views and programs that were seen so far; null: none but the first look's. */
  #parts: SchemaDetails['parts'] | null = null;
  #notGivenUp: SchemaDropKey | null = null;
  readonly #startMs = performance.now();

  constructor(request: SchemaDropRequest, options: SchemaDropOptions) {
    this.#request = request;
    this.#options = options;
    this.#groupId = options.newId();
    this.#name = { ...request, groupId: this.#groupId };
    this.#session = new SchemaSession(options.userSession, this.#name, this.#groupId);
  }

  async run(): Promise<DropResult | null> {
    this.#options.activeIds.add(this.#groupId);
    try {
      const asked = await askSchema(this.#name, this.#request, this.#options, (commands) =>
        this.#session.run(commands),
      );
      this.#lockWaitS = asked.facts.lockWaitS;
      const { schema } = asked;
      const dropped = await this.#owning(schema, asked.facts.lockWaitS);
      return this.#result(dropped);
    } catch (error) {
      return this.#ended(error);
    }
  }

  /** One at a time, which the session waits for as for a lock. */
  async #owning(schema: string, lockWaitS: number): Promise<Dropped> {
    const { pool } = this.#options;
    const work = () =>
      asGroupOwner(pool, this.#groupId, async (owner) => {
        const server = await readServerFacts(pool);
        await assertSameServer(owner, { ...this.#request, schema, server, groupId: this.#groupId });
        const first = await lookAlone(pool, owner, { schema, groupId: this.#groupId });
        const details = await readSchemaDetails(pool, schema);
        if (details === null) throw new SchemaGone();
        const key = await this.#recordSchema(schema, details);
        const at = { schema, key, owner, server, first, details };
        try {
          return await this.#empty(at);
        } catch (error) {
          // A session that broke may be in its DROP still: recovery waits for that.
          if (this.#session.brokeOff === null) await this.#renameBack(at, error);
          throw error;
        }
      });
    const wait = () => waitInSession(this.#name, (commands) => this.#session.run(commands));
    const done = await queueDropDatabase(pool, work, { wait, withinMs: lockWaitS * 1_000 });
    if (done === null) {
      const why = 'another DROP DATABASE is under way in this proxy';
      throw new DropDatabaseAborted(
        notDropped(schema, why, 'Run the statement again when that has ended.'),
      );
    }
    return done.value;
  }

  async #recordSchema(schema: string, details: SchemaDetails): Promise<SchemaDropKey> {
    const { pool, proxyId, newId } = this.#options;
    const { text, session, facts } = this.#request;
    const id = newId();
    try {
      return await recordSchemaDrop(pool, {
        id,
        groupId: this.#groupId,
        proxyId,
        threadId: session.threadId,
        user: facts.user,
        clientAddress: session.clientAddress,
        statementText: statementTextOf(text),
        sqlLogBin: facts.logged,
        schema,
        details,
      });
    } catch (error) {
      // It may be written, and its answer lost; the session that it names lives on.
      this.#notGivenUp = { id, groupId: this.#groupId, rowLogged: facts.logged };
      const params = { tables: `Schema ${schema} and its tables were`, cause: rootCause(error) };
      throw new DropDatabaseAborted(new UndropError('UNDROP_NOT_RECORDED', params, error));
    }
  }

  async #empty(at: Place): Promise<Dropped> {
    const { schema, first, server } = at;
    const { session, facts, schema: schemaBytes, charset, text } = this.#request;
    const tables = new SchemaTables({
      ...this.#options,
      ...{ session, facts, server, text, groupId: this.#groupId, schema, schemaBytes, charset },
      run: (commands) => this.#session.run(commands),
    });
    this.#tables = tables;
    const intents = await tables.record(first.tables);
    if (intents !== null) await this.#assertDroppable(intents, schema);
    if (intents !== null) await tables.assertMovable(intents.tables);
    const guard = await makeBarrierTable(this.#options.pool, {
      ...at,
      name: this.#name,
      isLogged: facts.logged,
      run: (commands) => this.#session.run(commands),
    });
    if (intents !== null) await tables.hold(intents.tables);
    return this.#dropEmptied({ ...at, guard, tables });
  }

  /** The errors that the DROP would have given. */
  async #assertDroppable(intents: IntentFacts, schema: string): Promise<void> {
    const { facts, server } = this.#request;
    const foldsCase = intents.lowerCaseTableNames !== 0;
    const blocked = blockedParents(intents.tables, { isAtomic: true, foldsCase, schema });
    const [parent] = facts.checksForeignKeys ? blocked : [];
    if (parent === undefined) return;
    const [said] = await this.#session.run([
      { kind: 'query', text: parentErrorSql(server, parent) },
    ]);
    if (said?.kind === 'err') throw new DropDatabaseAborted(said);
    throw new Error('SIGNAL answers with an error');
  }

  async #dropEmptied(at: Emptied): Promise<Dropped> {
    const { pool } = this.#options;
    const { schema, key, owner, tables } = at;
    const lockWaitS = this.#lockWaitS;
    const startMs = performance.now();
    await this.#session.setPatience(dropPatienceS(lockWaitS));
    try {
      let stoppedAtMs = Number.POSITIVE_INFINITY;
      for (let rounds = 0; ; ) {
        await this.#keepDetails(at);
        // Before the last look, so that the DROP follows that at once.
        const gate = await closeBarrier(pool, { ...at, groupId: this.#groupId });
        try {
          await this.#holdWhatCame(at, rounds);
          if (!(await markEmptied(pool, key))) throw crowded(schema, rounds + 1);
        } catch (error) {
          await gate.open();
          throw error;
        }
        const end = await dropBehindGate({
          ...at,
          gate,
          pool,
          log: this.#options.log ?? silentLog,
          owner,
          name: this.#name,
          threadId: this.#request.session.threadId,
          round: rounds,
          run: (commands) => this.#session.run(commands),
        });
        const nowMs = performance.now();
        if (end.kind === 'came' || end.kind === 'late') {
          rounds++;
          stoppedAtMs = Math.min(stoppedAtMs, nowMs);
        }
        const since = { sinceMs: nowMs - startMs, stoppedMs: nowMs - stoppedAtMs };
        const next = behindTry(end, { rounds, ...since, lockWaitMs: lockWaitS * 1_000 });
        if (next.do === 'crowded') throw crowded(schema, rounds);
        if (next.do === 'error') throw new DropDatabaseAborted(next.error);
        if (next.do === 'answer') {
          const affected = Math.max(0, next.ok.affectedRows - 1) + tables.held.length;
          await this.#session.setPatienceBack(lockWaitS);
          await this.#session.clean();
          // The server counts no tables of a schema that it replaces.
          const { payload } = next.ok;
          const isReplaced = this.#name.options !== null;
          return { key, payload: isReplaced ? payload : okWithAffectedRows(next.ok, affected) };
        }
      }
    } catch (error) {
      await this.#session.setPatienceBack(lockWaitS);
      throw error;
    }
  }

  /** Until it is locked by a try, views and programs may come, or change. */
  async #keepDetails({ schema, key, details }: Emptied): Promise<void> {
    const { pool } = this.#options;
    const now = await readSchemaDetails(pool, schema);
    if (now === null) return;
    // Of the rest the first look is right: a try may have taken the charset along.
    this.#parts = mergeParts(this.#parts ?? details.parts, now.parts);
    await recordSchemaDetails(pool, key, { schema, details: { ...details, parts: this.#parts } });
  }

  /** Until a look finds none; the look behind the locks has the last word. */
  async #holdWhatCame({ schema, owner, tables }: Emptied, rounds: number): Promise<void> {
    for (let times = 0; times < 3; times++) {
      const look = await lookIntoSchema(owner, schema, this.#groupId);
      if (look.held.length > 0) await takeOut(this.#options.pool, schema);
      if (look.guards.length > 0) await assertAlone(this.#options.pool, look, schema);
      if (look.tables.length === 0) return;
      const intents = await tables.record(look.tables);
      if (intents === null) return;
      await this.#assertDroppable(intents, schema);
      await tables.assertMovable(intents.tables);
      await tables.hold(intents.tables);
      if (rounds > 0) return;
    }
  }

  /** Throws where not all of it is back; then recovery goes on with it, once it is given up. */
  async #renameBack({ schema, key, details }: Place, because: unknown): Promise<void> {
    const { pool, onUnsettled, log = silentLog } = this.#options;
    const { facts, session } = this.#request;
    const drop = { ...key, ...session, schema, sqlLogBin: facts.logged, details };
    let why = 'something of it is locked by others';
    try {
      this.#notGivenUp = key;
      await giveUpSchemaDrop(pool, key, session);
      this.#notGivenUp = null;
      if (await putSchemaBack(pool, drop, log)) return;
    } catch (error) {
      why = rootCause(error);
    }
    onUnsettled();
    throw new UndropError('UNDROP_SCHEMA_IN_BETWEEN', { schema, why }, because);
  }

  #result({ payload, key }: Dropped): DropResult {
    const { held = [], names = [], ids = [], by = [] } = this.#tables ?? {};
    const { pool, stopping, onUnsettled } = this.#options;
    const { logged: sqlLogBin } = this.#request.facts;
    const lost = this.#tables?.lostBy(performance.now() - this.#startMs) ?? new Map();
    const write = () => finishDropDatabase(pool, { key, held, ids, sqlLogBin, lost });
    return {
      payload,
      held,
      tables: names,
      by,
      refusal: null,
      facts: null,
      finish: async (onLate) => {
        try {
          await retryUntilWritten(write, { stopping, onLate });
        } catch (error) {
          onUnsettled();
          throw error;
        } finally {
          this.#release();
        }
      },
    };
  }

  async #ended(error: unknown): Promise<DropResult | null> {
    try {
      if (error instanceof SchemaGone) return null;
      if (this.#session.brokeOff === null) {
        return this.#refused(await this.#session.sayAgain(abortedBy(error, this.#request.name)));
      }
    } catch (failure) {
      if (this.#session.brokeOff === null) throw failure;
    } finally {
      this.#release();
    }
    this.#options.onUnsettled();
    throw this.#session.brokeOff;
  }

  /** What was refused, or failed: by then everything is back, or it says so. */
  #refused({ payload, refusal }: DropDatabaseAborted): DropResult {
    const { pool, stopping, onUnsettled } = this.#options;
    const key = this.#notGivenUp;
    const finish = async (onLate?: (error: Error) => void) => {
      if (key === null) return;
      const leave = () => leaveSchemaDrop(pool, key, this.#request.session);
      await retryUntilWritten(leave, { stopping, onLate }).finally(onUnsettled);
    };
    return { payload, held: [], tables: [], refusal, facts: null, finish };
  }

  #release(): void {
    const { activeIds } = this.#options;
    activeIds.delete(this.#groupId);
    for (const id of this.#tables?.ids ?? []) activeIds.delete(id);
  }
}

interface Place {
  readonly schema: string;
  readonly key: SchemaDropKey;
  readonly owner: ServiceConnection;
  readonly server: ServerFacts;
  readonly first: Look;
  readonly details: SchemaDetails;
}

type Emptied = Place & { readonly guard: string; readonly tables: SchemaTables };
