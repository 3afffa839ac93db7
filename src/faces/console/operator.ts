/**
 * The console's reads by the service account: only for people whom the server has named operators.
 * Exceptions are `find`, by the rights of the person's own session, and what is of a table that
 * `find` has shown: `detailsOf`, `rowsOf`, `whyEarly`.
 *
 * Invariant: nothing that takes long among many tables is waited for: it is read behind the page,
 * at most twice a minute, and only while somebody looks at it.
 */

import type { Who } from '../../audit.js';
import { withinMs } from '../../clock.js';
import type { CollectorFigures } from '../../collector/figures.js';
import type { LimitSettings } from '../../collector/limits/choose-early.js';
import { isServiceError } from '../../connections/errors.js';
import { readServerFacts, type ServicePool } from '../../connections/sql.js';
import { allowRequest, type Request, readRequests } from '../../drop/steps/rules/ask.js';
import { readControl } from '../../ledger/control.js';
import type { Detached } from '../../ledger/detached/detached.js';
import { reportAndKeep } from '../../ledger/history.js';
import * as ledger from '../../ledger/overview.js';
import { findRowsIfAny } from '../../ledger/read.js';
import type { Selection } from '../../ledger/selection.js';
import type { Log } from '../../log.js';
import { findHeld } from '../../recycle/change-hold.js';
import { type DroppedTable, tableInEvent } from '../../recycle/held-tables.js';
import { findHeldTables } from '../../recycle/list.js';
import { type HeldRows, readHeldRows } from '../../recycle/show.js';

interface OperatorOptions {
  /** The pool of the server with the ledger, which may become another. */
  pool(): ServicePool;
  /** The collector of this process. */
  readonly figures: CollectorFigures;
  readonly log: Log;
  readonly limits: Pick<LimitSettings, 'tablesMax' | 'bytesMax'>;
  /** Slow among many tables. */
  report(): Promise<StatusView>;
}

/** In words, as `undrop status` has them. */
interface StatusView {
  readonly attention: readonly string[];
  readonly services: readonly string[];
}

/** The collector of this process, and what it has last seen. */
export type CollectorView = Awaited<ReturnType<Operator['collector']>>;
export type TableDetails = Awaited<ReturnType<Operator['detailsOf']>>;

const FRESH_MS = 30_000;
/** A page waits no longer for what is read behind it. */
const WAIT_MS = 150;
const EVENTS_OF_TABLE = 50;
const ROWS_SHOWN = 20;

export class Operator {
  readonly #options: OperatorOptions;
  /** Null: it is being read; the same holds for `status`. */
  readonly summary: () => Promise<ledger.Summary | null>;
  readonly status: () => Promise<StatusView | null>;

  constructor(options: OperatorOptions) {
    this.#options = options;
    const { pool, report, log } = options;
    this.summary = keepFresh(() => ledger.readSummary(pool()), log);
    this.status = keepFresh(report, log);
  }

  /** Tables that the asker may see, of the first 10,000: at least `limit`, if there are as many. */
  async find(
    selection: Selection,
    wanted: Parameters<typeof findHeldTables>[2],
  ): Promise<readonly DroppedTable[]> {
    const pool = this.#options.pool();
    const { lowerCaseTableNames } = await readServerFacts(pool);
    return (await findHeldTables(pool, { lowerCaseTableNames, ...selection }, wanted)).tables;
  }

  /** Why a limit removes it early, as the collector of this process has last seen; null: none. */
  whyEarly(id: string): string | null {
    return this.#options.figures.room?.early.get(id)?.because ?? null;
  }

  async collector() {
    const { figures, limits, pool } = this.#options;
    const { pause } = await readControl(pool());
    const sum = (all: Readonly<Record<string, number>> | null = null) =>
      Object.values(all ?? {}).reduce((so, one) => so + one, 0);
    return {
      leads: figures.leads,
      restsFor: figures.restsFor,
      pause: pause === null ? null : { by: pause.by, until: pause.until?.toISOString() ?? null },
      purge: figures.purging,
      limits: [
        { name: 'tables', used: sum(figures.held), max: limits.tablesMax, isBytes: false },
        { name: 'bytes', used: sum(figures.ledger?.bytes), max: limits.bytesMax, isBytes: true },
      ],
    };
  }

  /** Statements that wait for an operator. */
  requests(): Promise<readonly Request[]> {
    return readRequests(this.#options.pool());
  }

  /** It may be sent again, once. */
  async allow({ user, client }: Pick<Who, 'user' | 'client'>, request: Request): Promise<void> {
    const to = { connection: this.#options.pool(), log: this.#options.log };
    await allowRequest(to, request, { user, client });
  }

  history(fit: ledger.HistoryFit): Promise<readonly ledger.HistoryLine[]> {
    return ledger.readHistory(this.#options.pool(), fit);
  }

  /** `definition`: CREATE TABLE, as it was; null: not known. */
  async detailsOf(id: string) {
    const pool = this.#options.pool();
    const [row] = await findRowsIfAny(pool, { by: 'ids', ids: [id] }, { texts: true });
    const history = await ledger.readHistory(pool, { id, limit: EVENTS_OF_TABLE });
    const { attributes, tags } = row?.clientDetails ?? {};
    const client = { ...attributes, ...tags };
    const bound = row === undefined ? [] : boundTo(row.detached);
    return { definition: row?.definition || null, bound, client, history };
  }

  /** The first rows, which is in the history. Rejects with an UndropError. */
  async rowsOf({ user, client }: Pick<Who, 'user' | 'client'>, id: string): Promise<HeldRows> {
    const [connection, { log }] = [this.#options.pool(), this.#options];
    const { table: held } = await findHeld(connection, id);
    const by = { ...tableInEvent(held), user, client, threadId: null, program: null };
    await reportAndKeep({ connection, log }, [{ event: 'rows-shown', ...by }]);
    return readHeldRows(connection, held, ROWS_SHOWN);
  }
}

/** The keys and triggers that come back with a table, in words. */
function boundTo({ keysOut, keysIn, triggers, checks }: Detached): readonly string[] {
  return [
    ...keysOut.map(({ name, ...to }) => `key ${name} to ${to.parentSchema}.${to.parentTable}`),
    ...keysIn.map(
      ({ key, ...of }) => `key ${key.name} of ${of.childSchema}.${of.childTable} to it`,
    ),
    ...triggers.map(({ name }) => `trigger ${name}`),
    ...checks.map(({ name }) => `CHECK ${name}`),
  ];
}

/** Resolves to the value that was read last; it is read again behind it once it is old. */
function keepFresh<T>(load: () => Promise<T>, log: Log): () => Promise<T | null> {
  let [value, atMs]: [T | null, number] = [null, Number.NEGATIVE_INFINITY];
  let loading: Promise<void> | null = null;
  const refresh = async () => {
    try {
      value = await load();
    } catch (err) {
      // The last value stays, and is asked for again.
      const level = isServiceError(err) ? 'debug' : 'error';
      log[level]({ event: 'admin', err }, 'cannot read what a page of the console shows');
    } finally {
      [atMs, loading] = [performance.now(), null];
    }
  };
  return async () => {
    if (performance.now() - atMs > FRESH_MS) {
      loading ??= refresh();
      await withinMs(WAIT_MS, loading);
    }
    return value;
  };
}
