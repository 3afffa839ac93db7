/**
 * Reads and does for operators what the console shows (console/operator.ts), by the service
 * account.
 *
 * Invariant: nothing that takes long among many tables is waited for: it is read behind the page,
 * at most twice a minute, and only while somebody looks at it.
 */
import { withinMs } from '../../clock.js';
import type {
  Actor,
  CollectorView,
  FindingView,
  OperatorDoor,
  SettingView,
  StatusView,
  TableDetails,
} from '../../console/operator.js';
import type { MinuteSeries } from '../../console/series.js';
import { formatWindow, timeText } from '../../duration.js';
import { endPause, readControl, setPause } from '../../ledger/control.js';
import { describeWho, reportAndKeep } from '../../ledger/history.js';
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
import type { ThrottleSettings } from '../../lifecycle/throttle/throttle.js';
import type { Log } from '../../log.js';
import { shownDue } from '../../names/names.js';
import { changeHold, findHeld, type HoldChange } from '../../restore/change-hold.js';
import { type ListedTable, tableInEvent } from '../../restore/held-tables.js';
import { chooseDrop } from '../../restore/schema/restore-schema.js';
import { type HeldRows, readHeldRows } from '../../restore/show.js';
import { isServiceError } from '../../service/errors.js';
import type { ServicePool } from '../../service/pool/pools.js';
import { describeAddress } from '../../service/server-address.js';

interface DeskOptions {
  pool(): ServicePool;
  readonly figures: CollectorFigures;
  readonly series: MinuteSeries;
  readonly log: Log;
  readonly limits: Pick<LimitSettings, 'tablesMax' | 'bytesMax'>;
  readonly throttle: ThrottleSettings;
  /** The shortest hold, in milliseconds, that an operator may set. */
  readonly holdMsMin: number;
  readonly settings: readonly SettingView[];
  readonly certificates: OperatorDoor['certificates'];
  /** Both are slow among many tables. */
  report(): Promise<StatusView>;
  findings(): Promise<readonly FindingView[]>;
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
  readonly #findings: Snapshot<readonly FindingView[]>;

  constructor(options: DeskOptions) {
    this.#options = options;
    const { log } = options;
    this.#summary = new Snapshot(() => readSummary(options.pool()), log);
    this.#report = new Snapshot(() => options.report(), log);
    this.#findings = new Snapshot(() => options.findings(), log);
  }

  summary(): Promise<Summary | null> {
    return this.#summary.read();
  }

  status(): Promise<StatusView | null> {
    return this.#report.read();
  }

  findings(): Promise<readonly FindingView[] | null> {
    return this.#findings.read();
  }

  async collector(): Promise<CollectorView> {
    const { figures, series, limits, throttle, pool } = this.#options;
    const { pause } = await readControl(pool());
    const bytes = Object.values(figures.ledger?.bytes ?? {}).reduce((sum, one) => sum + one, 0);
    const tables = Object.values(figures.held ?? {}).reduce((sum, one) => sum + one, 0);
    return {
      leads: figures.leads,
      restsFor: figures.restsFor,
      pause: pause === null ? null : { by: pause.by, until: pause.until?.toISOString() ?? null },
      purge: purgeOf(figures),
      limits: [
        { name: 'tables', used: tables, max: limits.tablesMax, isBytes: false },
        { name: 'bytes', used: bytes, max: limits.bytesMax, isBytes: true },
      ],
      window: throttle.window === null ? 'at any time' : formatWindow(throttle.window),
      throttles: [
        ...(throttle.query === null ? [] : ['the answer of UNDROP_THROTTLE_QUERY']),
        ...throttle.replicas.map((one) => `the replica ${describeAddress(one)}`),
      ],
      minutes: series.minutes,
    };
  }

  history(fit: HistoryFit): Promise<readonly HistoryLine[]> {
    return readHistory(this.#options.pool(), fit);
  }

  get settings(): readonly SettingView[] {
    return this.#options.settings;
  }

  get certificates(): OperatorDoor['certificates'] {
    return this.#options.certificates;
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
    const pool = this.#options.pool();
    const { table: held } = await findHeld(pool, id);
    await this.#tell({ event: 'rows-shown', ...tableInEvent(held), ...actorOf(who) });
    return readHeldRows(pool, held, ROWS_SHOWN);
  }

  async meantDropOf(schema: string): Promise<string | null> {
    const found = await findDroppedSchemas(this.#options.pool(), { name: schema });
    return chooseDrop(found, schema)?.groupId ?? null;
  }

  leftOf(dropId: string): Promise<number> {
    return countLive(this.#options.pool(), dropId);
  }

  async pause(who: Actor, how: Parameters<OperatorDoor['pause']>[1]): Promise<void> {
    const { forMs, reason } = how;
    const by = `${describeWho(who)}${reason === '' ? '' : ` (${reason})`}`;
    const { until } = await setPause(this.#options.pool(), { forMs, by });
    const event = {
      event: 'paused',
      until: until?.toISOString() ?? null,
      because: reason,
    } as const;
    await this.#tell({ ...event, ...actorOf(who) });
  }

  async resume(who: Actor): Promise<void> {
    const ended = await endPause(this.#options.pool());
    if (ended !== null) await this.#tell({ event: 'resumed', ...actorOf(who) });
  }

  async pin(who: Actor, id: string): Promise<void> {
    await this.#changeHold(who, id, { kind: 'pin' });
  }

  async holdFor(who: Actor, id: string, holdMs: number): Promise<string> {
    return timeText((await this.#changeHold(who, id, { kind: 'for', holdMs })).due);
  }

  async #changeHold(who: Actor, id: string, change: HoldChange): Promise<ListedTable> {
    const { pool, holdMsMin } = this.#options;
    const { table: held } = await findHeld(pool(), id);
    const { table } = await changeHold(pool(), held, { change, holdMsMin });
    const until = shownDue(table.holdName);
    const event = { event: 'hold-changed', ...tableInEvent(table), until } as const;
    await this.#tell({ ...event, ...actorOf(who) });
    return table;
  }

  async #tell(event: Parameters<typeof reportAndKeep>[1][number]): Promise<void> {
    const { pool, log } = this.#options;
    await reportAndKeep({ connection: pool(), log }, [event]);
  }
}

function purgeOf({ purging }: CollectorFigures): CollectorView['purge'] {
  if (purging === null) return null;
  const seconds = Math.max((performance.now() - purging.sinceMs) / 1_000, 1);
  const { id, rows, readMs } = purging;
  return { id, rows, rowsPerSecond: rows / seconds, readMs };
}

function actorOf({ user, client }: Actor) {
  return { user, client, threadId: null };
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
