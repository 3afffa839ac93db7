/**
 * The tables of a schema that is being dropped: their intents, their RENAMEs to hold names by the
 * service account in the user's stead, their way into the recycle schema. Each step may be begun
 * again with tables that have come meanwhile.
 *
 * Invariant: a table is renamed only behind its intent, and counted as away only where it is in the
 * recycle schema: what stays in its schema would be dropped with it.
 */
import { assert } from '../../assert.js';
import { systemClock } from '../../clock.js';
import { UndropError } from '../../errors.js';
import {
  BLOCKED_BY_DATA_DIRECTORY,
  BLOCKED_BY_PARTITIONS,
  BLOCKED_BY_TRIGGERS,
  renamesInPieces,
} from '../../held/relocate/blockers.js';
import { whyItStays } from '../../held/relocate/data-directory.js';
import { detachAndRelocate, moveToRecycleSchema } from '../../held/relocate/detach-and-relocate.js';
import { isLost, renew } from '../../held/relocate/due-times.js';
import type { RelocateTable } from '../../held/relocate/relocate.js';
import { inBatches } from '../../in-batches.js';
import type { KeyedServer } from '../../ledger/detached/foreign-keys.js';
import { statementTextOf } from '../../ledger/statement-text.js';
import {
  forgetIntents,
  type IntentFacts,
  type IntentTable,
  recordIntent,
} from '../../ledger/write.js';
import { formatHoldName } from '../../names/hold-name.js';
import { isRecycleSchema, recycleSchemaFor } from '../../names/recycle-schema.js';
import type { HoldTime, Ruling } from '../../policy/decide.js';
import type { Hint } from '../../policy/hint.js';
import type { Rule } from '../../policy/rules.js';
import { LockWaitBudget } from '../../service/pool/lock-wait-budget.js';
import type { ServicePool } from '../../service/pool/pools.js';
import type { ClientCharset } from '../../sql/lex/lex-mode.js';
import { isFree, saysGone } from '../../steps/ask-to-drop.js';
import { refusalOfDiscarded } from '../../steps/discarded-tablespace.js';
import { encodeName } from '../../steps/names/encode-name.js';
import { rootCause } from '../../steps/refusals/root-cause.js';
import type { HeldTable } from '../../steps/refuse.js';
import { INNODB_WAIT_S, InnodbWaits } from '../../steps/rename/innodb-waits.js';
import { renameByService, type ServiceRenameTable } from '../../steps/rename/rename-by-service.js';
import { renameGroups } from '../../steps/rename/rename-groups.js';
import type { UserFacts } from '../../steps/request.js';
import { ruleTables } from '../../steps/rules/rules.js';
import type { SessionFacts, UserCommand } from '../../steps/session/user-session.js';
import { turnSql } from '../../steps/session/user-session-sql.js';
import type { Result } from '../../wire/result-reader.js';
import { ER_TRG_IN_WRONG_SCHEMA } from '../../wire/server-errors.js';
import { hasForeignKeys } from '../drop-table/parents.js';
import { DropDatabaseAborted, notDropped } from './aborted.js';

export interface SchemaTablesOptions {
  readonly pool: ServicePool;
  readonly proxyId: string;
  readonly holdMs: number;
  /** UNDROP_RULES; default: none. */
  readonly rules?: readonly Rule[];
  /** For all of them; default: none. */
  readonly hint?: Hint | null | undefined;
  readonly activeIds: Set<string>;
  readonly newId: () => string;
  readonly session: SessionFacts;
  readonly facts: UserFacts;
  readonly server: KeyedServer;
  /** The client's statement. */
  readonly text: Uint8Array;
  readonly groupId: string;
  /** As stored. */
  readonly schema: string;
  /** The same in the client's bytes. */
  readonly schemaBytes: Uint8Array;
  readonly charset: ClientCharset;
  run(commands: readonly UserCommand[]): Promise<readonly Result[]>;
}

/** Names in one text of ours. */
const BATCH = 40;
/** Tables that are freed and moved in one go, with a lockWaitBudget of their own. */
const HOME_BATCH = 8;
const RENAME_TRIES_MAX = 20;
const FIRST_TRY_MS = 200;
const NEXT_TRY_MS = 900;
/** Without one more table moved. */
const HOME_TRIES_MAX = 40;
const HOME_PAUSE_MS = 50;
/** What was intended longer ago gets a due time from then on. */
const LOST_MS_MAX = 1_000;

export class SchemaTables {
  readonly #options: SchemaTablesOptions;
  /** Of all intents, in order. */
  readonly ids: string[] = [];
  readonly held: HeldTable[] = [];
  /** As stored, of those in `held`. */
  readonly names: string[] = [];
  /** Which rule or hint decided, of those in `held`. */
  readonly by: (string | null)[] = [];
  /** By id; none where there are neither rules nor hints. */
  readonly #rulings = new Map<string, Ruling>();
  /** Those that were renamed long after their rulings. */
  readonly #late = new Set<string>();
  /** Those that go into the recycle schema at once, by their only RENAME. */
  readonly #inPieces = new Set<string>();
  #ruledAtMs = 0;
  readonly #waits: InnodbWaits;

  constructor(options: SchemaTablesOptions) {
    this.#options = options;
    this.#waits = new InnodbWaits(options);
  }

  /**
   * What is a table there, each with its intent. Throws `DropDatabaseAborted` where it can't be
   * recorded.
   */
  async record(names: readonly string[]): Promise<IntentFacts | null> {
    const { pool, proxyId, holdMs, session, facts, text, groupId, schema } = this.#options;
    let all: IntentFacts | null = null;
    this.#ruledAtMs = performance.now();
    for (const batch of inBatches(names, BATCH)) {
      const rulings = await this.#rule(batch);
      const tables = batch.map((table, index) => {
        const [id, ruling] = [this.#newId(), rulings[index]];
        if (ruling !== undefined) this.#rulings.set(id, ruling);
        return { id, schema, table, hold: ruling?.hold ?? holdMs };
      });
      const tablesWere = `Schema ${schema} and its tables were`;
      let discarded: UndropError | null;
      try {
        const intent = await recordIntent(pool, {
          threadId: session.threadId,
          user: facts.user,
          clientAddress: session.clientAddress,
          groupId,
          proxyId,
          statementText: statementTextOf(text),
          holdMs,
          sqlLogBin: facts.logged,
          tables,
        });
        all = all === null ? intent : { ...intent, tables: [...all.tables, ...intent.tables] };
        discarded = await refusalOfDiscarded(pool, intent, tablesWere);
      } catch (error) {
        const params = { tables: tablesWere, cause: rootCause(error) };
        throw new DropDatabaseAborted(new UndropError('UNDROP_NOT_RECORDED', params, error));
      }
      if (discarded !== null) throw new DropDatabaseAborted(discarded);
    }
    return all;
  }

  /** What a drop that took so long has taken time from, by id, and how long it is to be held. */
  lostBy(elapsedMs: number): ReadonlyMap<string, HoldTime> {
    const holds = this.held.map(({ id }) => [id, this.#holdOf(id)] as const);
    return new Map(holds.filter(([, hold]) => isLost(hold, elapsedMs)));
  }

  #holdOf(id: string): HoldTime {
    const ruling = this.#rulings.get(id);
    const late = this.#late.has(id) ? ruling?.holdIfLate : null;
    return late ?? ruling?.hold ?? this.#options.holdMs;
  }

  /**
   * A rule that asks for rows fits none of them. Throws `DropDatabaseAborted` where one refuses.
   */
  async #rule(batch: readonly string[]): Promise<readonly Ruling[]> {
    const { pool, holdMs, facts, schema, rules = [], hint = null } = this.#options;
    if (rules.length === 0 && hint === null) return [];
    const { account } = facts;
    const names = batch.map((table) => ({ schema, table }));
    const ruled = { rules, hint, holdMs, account, looksForRows: false };
    const rulings = await ruleTables(pool, names, ruled);
    const at = rulings.findIndex(({ refusedBy }) => refusedBy !== null);
    const rule = rulings[at]?.refusedBy ?? null;
    if (rule === null) return rulings;
    const tables = `Schema ${schema} and its tables were`;
    throw new DropDatabaseAborted(
      new UndropError('UNDROP_RULE', { tables, table: `${schema}.${batch[at]}`, rule }),
    );
  }

  /** Throws `DropDatabaseAborted` where one of them would have to stay in its schema. */
  async assertMovable(tables: readonly IntentTable[]): Promise<void> {
    const { pool, schema, server } = this.#options;
    if (!renamesInPieces(server)) return;
    for (const { id, table } of tables) {
      const why = await whyItStays(pool, { id, schema, name: table });
      if (why === BLOCKED_BY_DATA_DIRECTORY) throw staying(schema, table, why);
      if (why === BLOCKED_BY_PARTITIONS) this.#inPieces.add(id);
    }
  }

  /** All of them into the recycle schema; those that are gone meanwhile are left out. */
  async hold(tables: readonly IntentTable[]): Promise<void> {
    const isMariaDb = this.#options.server.flavour === 'mariadb';
    const there = tables.filter(({ holdUntil }) => holdUntil !== null);
    const away: RelocateTable[] = [];
    const groups = renameGroups(there, ({ triggers }) => isMariaDb && triggers.length > 0);
    for (const group of groups.flatMap((one) => inBatches(one, BATCH))) {
      away.push(...(await this.#rename(group)));
    }
    const isLate = performance.now() - this.#ruledAtMs > LOST_MS_MAX;
    if (isLate) for (const { id } of away) this.#late.add(id);
    const { pool } = this.#options;
    const holdOf = (id: string) => this.#holdOf(id);
    const named = isLate && away.length > 0 ? await renew(pool, away, { holdMs: holdOf }) : away;
    const isBound = (id: string) =>
      isLate ||
      there.some(
        (table) => table.id === id && (hasForeignKeys(table) || table.triggers.length > 0),
      );
    const isHome = ({ fromSchema, newName }: RelocateTable) =>
      isRecycleSchema(fromSchema) && newName === undefined;
    for (const table of named.filter(isHome)) {
      this.#addHeld(table, { holdSchema: table.fromSchema, holdName: table.holdName });
    }
    const moving = named.filter((table) => !isHome(table));
    const plain = moving.filter(({ id }) => !isBound(id));
    const failed: RelocateTable[] = [];
    for (const batch of inBatches(plain, BATCH))
      failed.push(...(await this.#move(moveToRecycleSchema, batch)).failed);
    await this.#detachAndRelocate([...moving.filter(({ id }) => isBound(id)), ...failed]);
  }

  /** In one RENAME, or where one of them is gone each for itself. */
  async #rename(group: readonly IntentTable[]): Promise<readonly RelocateTable[]> {
    const { pool, facts, schema } = this.#options;
    const home = recycleSchemaFor(facts.logged);
    // No table goes to another schema with its triggers.
    const isRelocated = ({ id, triggers }: IntentTable) =>
      this.#inPieces.has(id) && facts.logged && triggers.length === 0;
    const tables = group.map((table) => {
      return { ...steadTable(table, schema), ...(isRelocated(table) ? { holdSchema: home } : {}) };
    });
    for (let tries = 1; tries <= RENAME_TRIES_MAX; tries++) {
      const killAfterMs = tries === 1 ? FIRST_TRY_MS : NEXT_TRY_MS;
      const { logged, checksForeignKeys } = facts;
      const how = { logged, checksForeignKeys, killAfterMs, innodbWaitS: INNODB_WAIT_S };
      const outcome = await renameByService(pool, { tables, ...how });
      switch (outcome.kind) {
        case 'renamed':
          return tables.map(({ id, holdSchema: fromSchema = schema, holdName, table }) => {
            return { id, fromSchema, holdName, table };
          });
        case 'gone':
          return this.#renameOneByOne(group);
        case 'busy': {
          const over = outcome.isTimeout === true ? await this.#waits.another() : null;
          if (over !== null) throw new DropDatabaseAborted(over);
          // As often as the session's own time allows.
          if (outcome.isTimeout === true) tries--;
          if (await this.#waitForTurn(tables)) break;
          return this.#renameOneByOne(group);
        }
        case 'denied':
        case 'failed': {
          if (
            outcome.kind === 'failed' &&
            outcome.errno === ER_TRG_IN_WRONG_SCHEMA &&
            group.some(isRelocated)
          ) {
            for (const { id } of group) this.#inPieces.delete(id);
            return this.#rename(group);
          }
          const why = `the service account of undrop can’t rename ${tables[0]?.table}: ${outcome.cause}`;
          throw new DropDatabaseAborted(
            notDropped(schema, why, outcome.kind === 'denied' ? GRANT : MEND),
          );
        }
      }
    }
    throw crowded(schema, RENAME_TRIES_MAX);
  }

  async #renameOneByOne(group: readonly IntentTable[]): Promise<readonly RelocateTable[]> {
    const [only] = group;
    if (group.length === 1 && only !== undefined) {
      // Somebody else has dropped or renamed it. The next look has it, if it is there.
      const { pool, facts } = this.#options;
      await forgetIntents(pool, [only.id], { sqlLogBin: facts.logged });
      return [];
    }
    const renamed: RelocateTable[] = [];
    for (const table of group) renamed.push(...(await this.#rename([table])));
    return renamed;
  }

  /** The session waits for the others' locks, as its DROP would. False: one of them is gone. */
  async #waitForTurn(tables: readonly ServiceRenameTable[]): Promise<boolean> {
    const { groupId, charset, schemaBytes, run } = this.#options;
    for (const { table } of tables) {
      const name = { schema: schemaBytes, table: await this.#inClientBytes(table) };
      const text = turnSql(name, { groupId, charset, wait: null });
      const [said] = await run([{ kind: 'query', text }]);
      assert(said?.kind === 'err', 'there is no such partition');
      if (saysGone(said, name)) return false;
      if (!isFree(said)) throw new DropDatabaseAborted(said);
    }
    return true;
  }

  /** Throws `DropDatabaseAborted` where the session can't be asked for it. */
  async #inClientBytes(table: string): Promise<Uint8Array> {
    const { pool, facts } = this.#options;
    const bytes = await encodeName(pool, table, facts.charset);
    if (bytes !== null) return bytes;
    throw new DropDatabaseAborted(
      new UndropError('UNDROP_NAME_CHARSET', { charset: facts.charset }),
    );
  }

  /** What binds the live is taken off first. */
  async #detachAndRelocate(tables: readonly RelocateTable[]): Promise<void> {
    const { schema } = this.#options;
    let left = tables;
    for (let tries = 0; left.length > 0; tries++) {
      const failed: RelocateTable[] = [];
      let why = 'it was not tried';
      for (const batch of inBatches(left, HOME_BATCH)) {
        const moved = await this.#move(detachAndRelocate, batch);
        failed.push(...moved.failed);
        why = moved.why ?? why;
      }
      if (failed.length < left.length) tries = 0;
      left = failed;
      const [first] = left;
      if (first === undefined) return;
      if (tries > HOME_TRIES_MAX || why.startsWith(BLOCKED_BY_TRIGGERS)) {
        throw staying(schema, first.table, why);
      }
      await systemClock.sleep(HOME_PAUSE_MS);
    }
  }

  async #move(
    move: typeof moveToRecycleSchema,
    tables: readonly RelocateTable[],
  ): Promise<{ readonly failed: readonly RelocateTable[]; readonly why: string | null }> {
    const { pool, facts, server } = this.#options;
    const how = { logged: facts.logged, lockWaitBudget: new LockWaitBudget(), server };
    const relocations = await move(pool, tables, how);
    const failed: RelocateTable[] = [];
    let why: string | null = null;
    for (const [index, relocation] of relocations.entries()) {
      const table = tables[index];
      assert(table !== undefined, 'one report for each table');
      if (relocation.outcome === 'failed') {
        why = relocation.failure;
        failed.push(table);
      } else if (relocation.outcome === 'moved') {
        this.#addHeld(table, relocation);
      }
    }
    return { failed, why };
  }

  #addHeld(
    { id, table }: RelocateTable,
    at: Pick<HeldTable, 'holdSchema' | 'holdName'> & { readonly failure?: string | null },
  ): void {
    const { holdSchema, holdName, failure = null } = at;
    this.held.push({ id, holdSchema, holdName, relocated: failure === null, failure });
    this.names.push(`${this.#options.schema}.${table}`);
    this.by.push(this.#rulings.get(id)?.by ?? null);
  }

  #newId(): string {
    const id = this.#options.newId();
    this.ids.push(id);
    this.#options.activeIds.add(id);
    return id;
  }
}

const GRANT = 'Grant ALTER, DROP, CREATE and INSERT on the schema to the service account.';
const MEND =
  'Mend what the server says of that table, or drop it on a direct connection; then drop the schema.';
const ALONE =
  'Drop that table by itself and wait until it is removed, or restore it elsewhere; then drop the schema.';

function staying(schema: string, table: string, why: string): DropDatabaseAborted {
  return new DropDatabaseAborted(
    notDropped(schema, `its table ${table} can’t leave it (${why})`, ALONE),
  );
}

export function crowded(schema: string, times: number): DropDatabaseAborted {
  const tables = `Schema ${schema} and its tables were`;
  return new DropDatabaseAborted(new UndropError('UNDROP_CHANGED_MEANWHILE', { tables, times }));
}

function steadTable({ id, table, holdUntil }: IntentTable, schema: string): ServiceRenameTable {
  assert(holdUntil !== null, 'a table that is renamed has an intent');
  const holdName = formatHoldName({ state: 'HOLD', id, due: holdUntil });
  return { id, schema, table, holdName };
}
