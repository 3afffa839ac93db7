/**
 * Reads for operators what the console shows (console/operator.ts), by the service
 * account.
 *
 * Invariant: nothing that takes long among many tables is waited for: it is read behind the page,
 * at most twice a minute, and only while somebody looks at it.
 */
import { withinMs } from '../../clock.js';
import type {
  Actor,
  CollectorView,
  FindTables,
  OperatorDoor,
  StatusView,
  TableDetails,
} from '../../console/operator.js';
import { readControl } from '../../ledger/control.js';
import { reportAndKeep } from '../../ledger/history.js';
import {
  countLive,
  type HistoryFit,
  type HistoryLine,
  readHistory,
  readSummary,
  type Summary,
} from '../../ledger/overview.js';
import { findRowsIfAny } from '../../ledger/read.js';
import { findDroppedSchemas } from '../../ledger/schema-restores.js';
import type { CollectorFigures } from '../../lifecycle/figures.js';
import type { LimitSettings } from '../../lifecycle/limits/choose-early.js';
import type { Log } from '../../log.js';
import { findHeld } from '../../recycle/change-hold.js';
import { tableInEvent } from '../../recycle/held-tables.js';
import { findHeldTables } from '../../recycle/list.js';
import { chooseDrop } from '../../recycle/schema/restore-schema.js';
import { type HeldRows, readHeldRows } from '../../recycle/show.js';
import { isServiceError } from '../../service/errors.js';
import type { ServicePool } from '../../service/pool/pools.js';
import { readServerFacts } from '../../service/server-facts.js';

interface DeskOptions {
  pool(): ServicePool;
  readonly figures: CollectorFigures;
  readonly log: Log;
  readonly limits: Pick<LimitSettings, 'tablesMax' | 'bytesMax'>;
  /** Slow among many tables. */
  report(): Promise<StatusView>;
}

const FRESH_MS = 30_000;
/** A page waits no longer for what is read behind it. */
const WAIT_MS = 150;
const EVENTS_OF_TABLE = 50;
const ROWS_SHOWN = 10;

export class OperatorDesk implements OperatorDoor {
  readonly #options: DeskOptions;
  readonly #summary: Snapshot<Summary>;
  readonly #report: Snapshot<StatusView>;

  constructor(options: DeskOptions) {
    this.#options = options;
    const { log } = options;
    this.#summary = new Snapshot(() => readSummary(options.pool()), log);
    this.#report = new Snapshot(() => options.report(), log);
  }

  readonly find: FindTables = async (selection, wanted) => {
    const pool = this.#options.pool();
    const { lowerCaseTableNames } = await readServerFacts(pool);
    return (await findHeldTables(pool, { lowerCaseTableNames, ...selection }, wanted)).tables;
  };

  summary(): Promise<Summary | null> {
    return this.#summary.read();
  }

  status(): Promise<StatusView | null> {
    return this.#report.read();
  }

  async collector(): Promise<CollectorView> {
    const { figures, limits, pool } = this.#options;
    const { pause } = await readControl(pool());
    const bytes = Object.values(figures.ledger?.bytes ?? {}).reduce((sum, one) => sum + one, 0);
    const tables = Object.values(figures.held ?? {}).reduce((sum, one) => sum + one, 0);
    return {
      leads: figures.leads,
      restsFor: figures.restsFor,
      pause: pause === null ? null : { by: pause.by, until: pause.until?.toISOString() ?? null },
      purge: figures.purging,
      limits: [
        { name: 'tables', used: tables, max: limits.tablesMax, isBytes: false },
        { name: 'bytes', used: bytes, max: limits.bytesMax, isBytes: true },
      ],
    };
  }

  history(fit: HistoryFit): Promise<readonly HistoryLine[]> {
    return readHistory(this.#options.pool(), fit);
  }

  async detailsOf(id: string): Promise<TableDetails> {
    const pool = this.#options.pool();
    const [row] = await findRowsIfAny(pool, { by: 'ids', ids: [id] }, { texts: true });
    const history = await readHistory(pool, { id, limit: EVENTS_OF_TABLE });
    const held = history.find(({ event }) => event === 'held');
    const tags = held?.details['tags'];
    return {
      definition: row === undefined || row.definition === '' ? null : row.definition,
      tags: typeof tags === 'object' && tags !== null ? { ...tags } : null,
      history,
    };
  }

  async rowsOf(who: Actor, id: string): Promise<HeldRows> {
    const [connection, { log }] = [this.#options.pool(), this.#options];
    const { table: held } = await findHeld(connection, id);
    const event = { event: 'rows-shown', ...tableInEvent(held), ...who, threadId: null } as const;
    await reportAndKeep({ connection, log }, [event]);
    return readHeldRows(connection, held, ROWS_SHOWN);
  }

  async meantDropOf(schema: string): Promise<string | null> {
    const found = await findDroppedSchemas(this.#options.pool(), { name: schema });
    return chooseDrop(found, schema)?.groupId ?? null;
  }

  leftOf(dropId: string): Promise<number> {
    return countLive(this.#options.pool(), dropId);
  }
}

/** The value that was read last; it is read again behind it once it is old. */
class Snapshot<T> {
  readonly #load: () => Promise<T>;
  readonly #log: Log;
  #value: T | null = null;
  #atMs = Number.NEGATIVE_INFINITY;
  #loading: Promise<void> | null = null;

  constructor(load: () => Promise<T>, log: Log) {
    this.#load = load;
    this.#log = log;
  }

  /** Null: nothing was read so far. */
  async read(): Promise<T | null> {
    if (performance.now() - this.#atMs > FRESH_MS) {
      this.#loading ??= this.#refresh();
      await withinMs(WAIT_MS, this.#loading);
    }
    return this.#value;
  }

  async #refresh(): Promise<void> {
    try {
      this.#value = await this.#load();
    } catch (err) {
      // The last value stays, and is asked for again.
      const level = isServiceError(err) ? 'debug' : 'error';
      this.#log[level]({ event: 'admin', err }, 'cannot read what a page of the console shows');
    } finally {
      this.#atMs = performance.now();
      this.#loading = null;
    }
  }
}
