/**
 * Every metric, once: its name by Prometheus' conventions, its labels, its meaning, and the source
 * of its values. `/metrics` and the page docs/reference/metrics.md are made of it
 * (`UPDATE_GOLDEN=1 npm test -- admin/metrics`).
 */
import { type Metric as ClientMetric, collectDefaultMetrics, Registry } from 'prom-client';
import { type CollectorFigures, REST_REASONS } from '../../collector/figures.js';
import { ERRORS, type ErrorEntry } from '../../errors.js';
import { BUCKETS, type Counters } from '../../metrics.js';

/** The values of all metrics at one moment. */
export interface Snapshot {
  readonly version: string;
  /** UNDROP_MODE. */
  readonly mode: string;
  readonly counters: Counters;
  /** The figures of this process. */
  readonly collector: CollectorFigures;
  readonly isUpstreamReached: boolean;
  readonly areDropsHeld: boolean;
  readonly isDraining: boolean;
  /** By the monotonic clock. */
  readonly nowMs: number;
  /** The file system of UNDROP_DATADIR; null: not known. `used`: 1 if it is full. */
  readonly disk: { readonly used: number; readonly freeBytes: number } | null;
  /** The certificates of this proxy, by what they are for. */
  readonly certificates: readonly { readonly name: string; readonly validTo: string }[];
}

/** A value with the values of its labels, in order. */
type MetricValue = readonly [value: number, ...labels: string[]];
/** A histogram has samples: its buckets, its sum and its count. */
type Values = readonly (MetricValue | Sample)[];

interface Metric {
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  readonly labels: readonly string[];
  /** Empty: not known here. */
  values(from: Snapshot): Values;
}

/** A value with the ending of its name. */
interface Sample {
  readonly suffix: '_bucket' | '_sum' | '_count';
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** The audit lines of that event, by variant. */
function audited({ counters }: Snapshot, event: string): readonly MetricValue[] {
  return Object.entries(counters.audited).flatMap(([key, count]): readonly MetricValue[] => {
    const [name, ...labels] = key.split('|');
    return name === event ? [[count, ...labels]] : [];
  });
}

function sumOf(from: Snapshot, event: string): number {
  return audited(from, event).reduce((sum, [count]) => sum + count, 0);
}

/** Refusals by errors of that fault; an error that isn't in the registry is undrop's. */
function refused(from: Snapshot, fault: string): number {
  const errors: Readonly<Record<string, ErrorEntry>> = ERRORS;
  return audited(from, 'refused').reduce((sum, [count, code = '']) => {
    return (errors[code]?.fault ?? 'us') === fault ? sum + count : sum;
  }, 0);
}

/** The samples of a histogram; `label`: the name of its label, if it has one. */
function histogram(
  { counters: { durations } }: Snapshot,
  name: keyof typeof BUCKETS,
  label?: string,
): readonly Sample[] {
  const keys = Object.keys(durations).filter((key) => key.startsWith(`${name}|`));
  const variants = new Set(keys.map((key) => key.split('|')[1] ?? ''));
  return [...variants].flatMap((variant) => {
    const labels = label === undefined ? {} : { [label]: variant };
    const numberAt = (what: string | number) => durations[`${name}|${variant}|${what}`] ?? 0;
    let count = 0;
    const buckets = [...BUCKETS[name], Number.POSITIVE_INFINITY].map((bound): Sample => {
      count += numberAt(bound);
      const le = bound === Number.POSITIVE_INFINITY ? '+Inf' : String(bound);
      return { suffix: '_bucket', labels: { ...labels, le }, value: count };
    });
    const sum: Sample = { suffix: '_sum', labels, value: numberAt('sum') };
    return [...buckets, sum, { suffix: '_count', labels, value: count }];
  });
}

/** The rows that are left of the table in PURGE, and the seconds until their end. */
function purgeLeft({ collector: { purging }, nowMs }: Snapshot) {
  if (purging === null || purging.rowsBefore === null) return null;
  const left = Math.max(0, purging.rowsBefore - purging.rows);
  const seconds = (nowMs - purging.sinceMs) / 1_000;
  return { rows: left, seconds: purging.rows === 0 ? null : (left * seconds) / purging.rows };
}

/** States are lower case in labels, as in Prometheus' own exporters. */
function byState(
  record: Readonly<Record<string, number>> | undefined | null,
): readonly MetricValue[] {
  return Object.entries(record ?? {}).map(([state, value]) => [value, state.toLowerCase()]);
}

/** A value without labels may be not known, or a flag. */
type Source = (from: Snapshot) => Values | number | boolean | null | undefined;

/** `source`: a counter of the processes by its key, or a function. */
function metricOf(type: Metric['type']) {
  return (help: string, source: PlainCounter | Source, ...labels: readonly string[]): Metric => {
    const values = (from: Snapshot): Values => {
      const found = typeof source === 'string' ? from.counters[source] : source(from);
      if (found === null || found === undefined) return [];
      return typeof found === 'object' ? found : [[Number(found)]];
    };
    return { type, help, values, labels };
  };
}

type PlainCounter = Exclude<keyof Counters, 'audited' | 'durations'>;

const [counter, gauge, timer] = [metricOf('counter'), metricOf('gauge'), metricOf('histogram')];

export const METRICS: Readonly<Record<string, Metric>> = {
  undrop_build_info: gauge(
    'Always 1; the version is its label.',
    ({ version }) => [[1, version]],
    'version',
  ),
  undrop_mode_info: gauge(
    'Always 1; UNDROP_MODE is its label. Only the mode `hold` protects tables.',
    ({ mode }) => [[1, mode]],
    'mode',
  ),
  undrop_sessions: gauge('Open sessions of clients.', 'sessionsOpen'),
  undrop_sessions_total: counter('Sessions of clients that were started.', 'sessionsTotal'),
  undrop_sessions_refused_total: counter(
    'Clients that were refused because of UNDROP_MAX_CONNECTIONS.',
    'sessionsRefused',
  ),
  undrop_sessions_untracked_total: counter(
    'Sessions whose responses undrop could not follow: it relays them, and refuses their drops.',
    'sessionsUntracked',
  ),
  undrop_logins_total: counter(
    'Logins by result: ok; failed, during the login; unreached, because no server answered.',
    ({ counters }) => [
      [counters.loginsOk, 'ok'],
      [counters.loginsFailed, 'failed'],
      [counters.loginsUnreached, 'unreached'],
    ],
    'outcome',
  ),
  undrop_commands_total: counter('Commands of clients of all kinds.', 'commandsTotal'),
  undrop_login_seconds: timer(
    'Time from the connection of a client to the end of its login, client and server included.',
    (from) => histogram(from, 'login'),
  ),
  undrop_relayed_bytes_total: counter(
    'Bytes received from clients and from servers.',
    ({ counters }) => [
      [counters.bytesFromClients, 'client'],
      [counters.bytesFromServers, 'server'],
    ],
    'from',
  ),
  undrop_relay_seconds: timer(
    'Time that undrop takes to pass on a command and the first bytes of its response; one command in 61, without TLS and the wait for the event loop.',
    (from) => histogram(from, 'relay'),
  ),
  undrop_event_loop_delay_seconds: gauge(
    'Longest delay of the event loop in the last second, of the worst process; it adds to the time of a query.',
    ({ counters }) => counters.loopDelayMsMax / 1_000,
  ),
  undrop_answers_total: counter(
    'Packets that undrop handled itself: drops, and statements that it answers.',
    'answersTotal',
  ),
  undrop_answers_seconds_total: counter(
    'Total time for them.',
    ({ counters }) => counters.answersMs / 1_000,
  ),
  undrop_held_total: counter(
    'Tables that undrop held, by the statement that dropped them.',
    (from) => audited(from, 'held'),
    'how',
  ),
  undrop_drop_seconds: timer(
    'Time from a statement that dropped tables to its answer; without texts of several statements.',
    (from) => histogram(from, 'drop', 'how'),
    'how',
  ),
  undrop_refused_total: counter(
    'Refused statements, by the code of the error (docs/reference/errors.md).',
    (from) => audited(from, 'refused'),
    'code',
  ),
  undrop_refused_by_fault_total: counter(
    'The same statements, by the side that has to act.',
    (from) =>
      ['client', 'upstream', 'operator', 'us'].map((fault) => [refused(from, fault), fault]),
    'fault',
  ),
  undrop_passed_on_total: counter(
    'Drops passed to the server by a rule, by the hint destroy, or by UNDROP_MODE=observe.',
    (from) => ['native', 'destroyed', 'observed'].map((event) => [sumOf(from, event), event]),
    'why',
  ),
  undrop_restored_total: counter('Tables that clients of this proxy have restored.', (from) =>
    sumOf(from, 'restored'),
  ),
  undrop_recovered_total: counter('Interrupted drops that recovery completed.', (from) =>
    sumOf(from, 'recovered'),
  ),
  undrop_used_while_held_total: counter(
    'Statements of clients that failed because they use a held table.',
    (from) => sumOf(from, 'used-while-held'),
  ),
  undrop_upstream_up: gauge(
    'Whether a server of UNDROP_UPSTREAM answers.',
    ({ isUpstreamReached }) => isUpstreamReached,
  ),
  undrop_drops_ready: gauge(
    'Whether undrop holds drops: the service account logs in, the ledger is ready, and UNDROP_MODE is hold. The same as `/readyz?drops`.',
    ({ areDropsHeld }) => areDropsHeld,
  ),
  undrop_tls_not_after_timestamp_seconds: gauge(
    'When a certificate of this proxy expires: for clients, or upstream, for the server.',
    ({ certificates }) =>
      certificates.map(({ name, validTo }) => [Date.parse(validTo) / 1_000, name]),
    'use',
  ),
  undrop_draining: gauge('Whether this proxy is shutting down.', ({ isDraining }) => isDraining),
  undrop_collector_leader: gauge(
    'Whether this proxy is the collector; one of all proxies of a server is. Only that one reports the metrics below.',
    ({ collector }) => collector.leads,
  ),
  undrop_collector_last_look_timestamp_seconds: gauge(
    'When it last read the names of the held tables.',
    ({ collector }) => (collector.lastLookMs === null ? null : collector.lastLookMs / 1_000),
  ),
  undrop_collector_look_duration_seconds: gauge(
    'How long its last full check of the held tables took.',
    ({ collector }) => (collector.lookMs === null ? null : collector.lookMs / 1_000),
  ),
  undrop_collector_resting: gauge(
    'Whether the collector waits, by reason; replica, query and window are the throttle.',
    ({ collector }) =>
      collector.leads
        ? REST_REASONS.map((reason) => [collector.restsFor === reason ? 1 : 0, reason])
        : [],
    'reason',
  ),
  undrop_held_tables: gauge(
    'Held tables, by state.',
    ({ collector }) => byState(collector.held),
    'state',
  ),
  undrop_held_bytes: gauge(
    'Size of the held tables in the ledger, as far as it is known; intent: drops in progress.',
    ({ collector }) => byState(collector.ledger?.bytes),
    'state',
  ),
  undrop_limits_used_ratio: gauge(
    'Used share of UNDROP_MAX_BYTES, UNDROP_MAX_TABLES or UNDROP_MIN_FREE, the highest of them, once it matters; above 1, tables are removed early, after UNDROP_MIN_HOLD.',
    ({ collector }) => collector.room?.used,
  ),
  undrop_free_bytes: gauge(
    'Free space on the file system of UNDROP_DATADIR.',
    ({ disk }) => disk?.freeBytes,
  ),
  undrop_disk_used_ratio: gauge(
    'The used share of the file system of UNDROP_DATADIR.',
    ({ disk }) => disk?.used,
  ),
  undrop_due_bytes: gauge(
    'Size of the tables in HOLD by days until they are due: 0 is today (UTC), 7 a week or more; without pinned ones.',
    ({ collector }) => byState(collector.ledger?.dueBytes),
    'days',
  ),
  undrop_pinned_tables: gauge(
    'Held tables without an end.',
    ({ collector }) => collector.ledger?.pinned,
  ),
  undrop_overdue_tables: gauge(
    'Tables that are still in HOLD ten minutes after they were due.',
    ({ collector }) => collector.ledger?.overdue,
  ),
  undrop_server_drops_total: counter(
    'DROP TABLE and DROP DATABASE that reached the server without undrop, since this proxy collects: an estimate, up to a minute late. Temporary tables count on MySQL before 8.0 or without performance_schema.',
    ({ collector }) => collector.dropsElsewhere,
  ),
  undrop_next_expiry_timestamp_seconds: gauge(
    'When the next table leaves HOLD, by the clock of the server.',
    ({ collector }) => collector.nextDue && collector.nextDue.getTime() / 1_000,
  ),
  undrop_unsettled_intents: gauge(
    'Drops that are not settled after a minute, at the last full check: interrupted, or very long.',
    ({ collector }) => collector.ledger?.intents,
  ),
  undrop_pending_relocations: gauge(
    'Held tables that still have to move into the recycle schema, at the last full check.',
    ({ collector }) => collector.ledger?.relocations,
  ),
  undrop_transitions_total: counter(
    'Transitions of tables from one state to the next.',
    (from) =>
      audited(from, 'transition').map(([count, ...states]) => [
        count,
        ...states.map((state) => state.toLowerCase()),
      ]),
    'from',
    'to',
  ),
  undrop_removed_total: counter('Tables that were removed for good.', (from) =>
    sumOf(from, 'removal'),
  ),
  undrop_purged_rows_total: counter(
    'Rows deleted in PURGE.',
    ({ collector }) => collector.rowsPurged,
  ),
  undrop_purge_left_rows: gauge(
    'Rows that are left of the table in PURGE, as the server estimates them.',
    (from) => purgeLeft(from)?.rows,
  ),
  undrop_purge_left_seconds: gauge(
    'How long the rest takes at the pace so far.',
    (from) => purgeLeft(from)?.seconds,
  ),
  undrop_purge_chunks_total: counter(
    'Chunks of rows deleted in PURGE.',
    ({ collector }) => collector.chunks,
  ),
  undrop_purge_chunks_seconds_total: counter(
    'Total time of these chunks.',
    ({ collector }) => collector.chunksMs / 1_000,
  ),
};

/**
 * Gauges of prom-client with names of counters, which promtool rejects (their parts are exported),
 * and those of a timer that would wake an idle process a hundred times a second.
 */
const LEFT_OUT = [
  ...['handles', 'requests', 'resources'].map((what) => `nodejs_active_${what}_total`),
  ...['min', 'max', 'mean', 'stddev', 'p50', 'p90', 'p99'].map(
    (part) => `nodejs_eventloop_lag_${part}_seconds`,
  ),
];
const HOUR_MS = 3_600_000;

/** Writes the text of `/metrics`, with the metrics of the process itself (`process_…`). */
export class Exposition {
  readonly #registry = new Registry();
  #snapshot: Snapshot | null = null;

  constructor() {
    collectDefaultMetrics({ register: this.#registry, eventLoopMonitoringPrecision: HOUR_MS });
    for (const name of LEFT_OUT) this.#registry.removeSingleMetric(name);
    for (const [name, metric] of Object.entries(METRICS)) this.#declare(name, metric);
  }

  async text(snapshot: Snapshot): Promise<{ readonly contentType: string; readonly text: string }> {
    this.#snapshot = snapshot;
    return { contentType: this.#registry.contentType, text: await this.#registry.metrics() };
  }

  /** Values come from elsewhere, so there is nothing to count: the registry only asks for them. */
  #declare(name: string, { type, help, labels, values }: Metric): void {
    const sampleOf = (value: MetricValue | Sample) => {
      if ('suffix' in value) return { ...value, metricName: `${name}${value.suffix}` };
      const [first, ...given] = value;
      const named = labels.map((label, at) => [label, given[at] ?? ''] as const);
      return { value: first, labels: Object.fromEntries(named) };
    };
    const get = async () => {
      const found = this.#snapshot === null ? [] : values(this.#snapshot);
      return { name, help, type, values: found.map(sampleOf) };
    };
    this.#registry.registerMetric({ name, get } as unknown as ClientMetric);
  }
}
