/**
 * What the ledger has of a DROP DATABASE: the row of the schema, the intents of its tables, and in
 * the end what has become of both.
 *
 * Invariant: nobody collects any of its tables before the row of the schema says that it is over.
 */
import { UndropError } from '../../errors.js';
import { isLost, renewHeld } from '../../held/relocate/due-times.js';
import { statementTextOf } from '../../ledger/entry.js';
import { mergeParts, type SchemaDetails } from '../../ledger/schema-details.js';
import {
  endSchemaDrop,
  giveUpSchemaDrop,
  leaveSchemaDrop,
  recordSchemaDetails,
  recordSchemaDrop,
  type SchemaDropKey,
} from '../../ledger/schema-drops.js';
import { type IntentFacts, recordIntent, recordOutcome } from '../../ledger/write.js';
import { type Log, silentLog } from '../../log.js';
import { inBatches } from '../../names/names.js';
import type { HoldTime, Ruling } from '../../policy/decide.js';
import { putSchemaBack } from '../../recovery/put-schema-back.js';
import { refusalOfDiscarded } from '../../steps/discarded-tablespace.js';
import type { DropOptions, DropResult } from '../../steps/drop-options.js';
import { rootCause } from '../../steps/refusals/root-cause.js';
import type { HeldTable } from '../../steps/refuse.js';
import { retryUntilWritten } from '../../steps/retry-until-written.js';
import { ruleTables } from '../../steps/rules/rules.js';
import { type SchemaAnswer, type SchemaDropRequest, tablesOf } from './effects.js';
import { readSchemaDetails } from './read-schema.js';

export type SchemaDropOptions = Omit<DropOptions, 'guess' | 'gtidMayBeSet' | 'hints'> & {
  readonly log?: Log;
};

export type SchemaDropResult = DropResult & { readonly isNote: boolean };

/** The row of the schema. */
interface Recorded {
  readonly schema: string;
  readonly key: SchemaDropKey;
  readonly details: SchemaDetails;
}

/** Names in one text of ours. */
const BATCH = 40;
/** Tables that were recorded longer ago may have keys and triggers by now that they had not. */
const LATE_MS = 1_000;

export class SchemaRecords {
  readonly #request: SchemaDropRequest;
  readonly #options: SchemaDropOptions;
  readonly #startMs = performance.now();
  #row: Recorded | null = null;
  /** The ledger may have rows that name the session, which lives on although it is over. */
  #namesSession = false;
  /** Of all intents, by id; the ruling is missing if there are neither rules nor hints. */
  readonly #tables = new Map<string, { readonly table: string; readonly ruling?: Ruling }>();
  #recordedMs = 0;

  constructor(request: SchemaDropRequest, options: SchemaDropOptions) {
    this.#request = request;
    this.#options = options;
    options.activeIds.add(request.groupId);
  }

  get row(): Recorded {
    if (this.#row === null) throw new Error('the schema is not recorded');
    return this.#row;
  }

  /** The last tables were recorded a while ago. */
  get isLate(): boolean {
    return performance.now() - this.#recordedMs > LATE_MS;
  }

  /** What is the same in the row of the schema and in those of its tables. */
  #statement() {
    const { proxyId } = this.#options;
    const { text, session, facts, groupId } = this.#request;
    const { threadId, clientAddress } = session;
    const statementText = statementTextOf(text);
    const { user, logged: sqlLogBin } = facts;
    return { groupId, proxyId, threadId, user, clientAddress, statementText, sqlLogBin };
  }

  #notRecorded(schema: string, error: unknown): never {
    const params = { tables: tablesOf(schema), cause: rootCause(error) };
    throw new UndropError('UNDROP_NOT_RECORDED', params, error);
  }

  async recordSchema(schema: string): Promise<boolean> {
    const { pool, newId } = this.#options;
    const details = await readSchemaDetails(pool, schema);
    if (details === null) return false;
    const drop = { ...this.#statement(), id: newId(), schema, details };
    try {
      const key = await recordSchemaDrop(pool, drop);
      this.#row = { schema, key, details };
      return true;
    } catch (error) {
      // It may be written, and its answer lost.
      this.#namesSession = true;
      this.#notRecorded(schema, error);
    }
  }

  /** Until it is locked by a try, views and programs may come, or change. */
  async keepDetails(): Promise<void> {
    const { pool } = this.#options;
    const { schema, key, details } = this.row;
    const now = await readSchemaDetails(pool, schema);
    if (now === null) return;
    // The first look is right about the rest: a try may have taken the charset along.
    const merged = { ...details, parts: mergeParts(details.parts, now.parts) };
    await recordSchemaDetails(pool, key, { schema, details: merged });
    this.#row = { schema, key, details: merged };
  }

  async recordTables(schema: string, names: readonly string[]): Promise<IntentFacts> {
    const { pool, holdMs, newId, activeIds } = this.#options;
    const all: IntentFacts[] = [];
    this.#recordedMs = performance.now();
    for (const batch of inBatches(names, BATCH)) {
      const rulings = await this.#rule(schema, batch);
      const tables = batch.map((table, index) => {
        const [id, ruling] = [newId(), rulings[index]];
        activeIds.add(id);
        this.#tables.set(id, { table, ...(ruling === undefined ? {} : { ruling }) });
        return { id, schema, table, hold: ruling?.hold ?? holdMs };
      });
      const statement = { ...this.#statement(), holdMs, tables };
      const notRecorded = (error: unknown) => this.#notRecorded(schema, error);
      const intent = await recordIntent(pool, statement).catch(notRecorded);
      const discarded = await refusalOfDiscarded(pool, intent, tablesOf(schema)).catch(notRecorded);
      if (discarded !== null) throw discarded;
      all.push(intent);
    }
    const [first] = all;
    if (first === undefined) throw new Error('there is a table to be recorded');
    return { ...first, tables: all.flatMap(({ tables }) => tables) };
  }

  /** A rule that asks for rows fits none of them. */
  async #rule(schema: string, batch: readonly string[]): Promise<readonly Ruling[]> {
    const { pool, holdMs, rules = [] } = this.#options;
    const { facts, hint: asked } = this.#request;
    const hint = asked instanceof UndropError ? null : asked;
    if (rules.length === 0 && hint === null) return [];
    const names = batch.map((table) => ({ schema, table }));
    const ruled = { rules, hint, holdMs, account: facts.account, looksForRows: false };
    const rulings = await ruleTables(pool, names, ruled);
    const at = rulings.findIndex(({ refusedBy }) => refusedBy !== null);
    const rule = rulings[at]?.refusedBy ?? null;
    if (rule === null) return rulings;
    const params = { tables: tablesOf(schema), table: `${schema}.${batch[at]}`, rule };
    throw new UndropError('UNDROP_RULE', params);
  }

  /** Everything is as before; or recovery goes on with it. `open`: the DROP is over. */
  async renameBack(open: () => Promise<void>): Promise<string | null> {
    const { pool, onUnsettled, log = silentLog } = this.#options;
    const { session, facts } = this.#request;
    const { schema, key, details } = this.row;
    let why = 'something of it is locked by others';
    try {
      this.#namesSession = true;
      await open();
      await giveUpSchemaDrop(pool, key, session);
      this.#namesSession = false;
      const drop = { ...key, ...session, schema, sqlLogBin: facts.logged, details };
      if (await putSchemaBack(pool, drop, log)) return null;
    } catch (error) {
      why = rootCause(error);
    }
    onUnsettled();
    return why;
  }

  resultOf({ payload, held, refusal, isDropped, isNote = false }: SchemaAnswer): SchemaDropResult {
    if (isDropped !== true) this.release();
    return {
      payload,
      held,
      tables: held.map(({ id }) => `${this.row.schema}.${this.#tables.get(id)?.table}`),
      by: held.map(({ id }) => this.#tables.get(id)?.ruling?.by ?? null),
      refusal,
      facts: null,
      isNote,
      finish: (onLate) => {
        return isDropped === true ? this.#finish(held, onLate) : this.#leave(onLate);
      },
    };
  }

  release(): void {
    const { activeIds } = this.#options;
    activeIds.delete(this.#request.groupId);
    for (const id of this.#tables.keys()) activeIds.delete(id);
  }

  /** How long each is to be held from now on; none if the drop has taken no time of it. */
  #lostHolds(held: readonly HeldTable[]): ReadonlyMap<string, HoldTime> {
    const elapsedMs = performance.now() - this.#startMs;
    const isLate = elapsedMs > LATE_MS;
    const holds = held.map(({ id }) => {
      const ruling = this.#tables.get(id)?.ruling;
      const late = isLate ? ruling?.holdIfLate : null;
      return [id, late ?? ruling?.hold ?? this.#options.holdMs] as const;
    });
    const isLonger = isLate || holds.some(([, hold]) => isLost(hold, elapsedMs));
    return new Map(isLonger ? holds : []);
  }

  /** The tables are held, from now on if it had to wait, and it is over. May run twice. */
  async #finish(held: readonly HeldTable[], onLate?: (error: Error) => void): Promise<void> {
    const { pool, stopping, onUnsettled } = this.#options;
    const { key } = this.row;
    const heldIds = new Set(held.map(({ id }) => id));
    const lost = this.#lostHolds(held);
    const write = async () => {
      const names = lost.size === 0 ? null : await renewHeld(pool, lost);
      await recordOutcome(pool, {
        tables: held.map((table) => {
          return { ...table, holdName: names?.get(table.id) ?? table.holdName };
        }),
        forgotten: [...this.#tables.keys()].filter((id) => !heldIds.has(id)),
        sqlLogBin: this.#request.facts.logged,
      });
      // Nobody collects any of them before.
      await endSchemaDrop(pool, key);
    };
    try {
      await retryUntilWritten(write, { stopping, onLate });
    } catch (error) {
      onUnsettled();
      throw error;
    } finally {
      this.release();
    }
  }

  /** By now everything is back, or the answer says that it is not. */
  async #leave(onLate?: (error: Error) => void): Promise<void> {
    const { pool, stopping, onUnsettled } = this.#options;
    const { groupId, session, facts } = this.#request;
    if (!this.#namesSession) return;
    const key = { groupId, rowLogged: this.#row?.key.rowLogged ?? facts.logged };
    const leave = () => leaveSchemaDrop(pool, key, session);
    await retryUntilWritten(leave, { stopping, onLate }).finally(onUnsettled);
  }
}
