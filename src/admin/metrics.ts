/**
 * Every metric, once: its name by Prometheus' conventions, its labels, its meaning, and the source
 * of its values. `/metrics` (exposition.ts) and the page docs/reference/metrics.md are made of it
 * (`UPDATE_GOLDEN=1 npm test -- admin/metrics`).
 */
import { ERRORS, type ErrorEntry } from '../errors.js';
import { BUCKETS, type Counters } from '../metrics.js';

/** The figures of this process's collector (lifecycle/figures.ts has the same shape). */
interface CollectorView {
  readonly leads: boolean;
  readonly lastLookMs: number | null;
  readonly lookMs: number | null;
  readonly restsFor: string | null;
  readonly held: Readonly<Record<string, number>> | null;
  readonly nextDue: Date | null;
  readonly room: { readonly used: number; readonly freeBytes: number | null } | null;
  readonly rowsPurged: number;
  readonly chunks: number;
  readonly chunksMs: number;
  readonly ledger: {
    readonly bytes: Readonly<Record<string, number>>;
    readonly intents: number;
    readonly relocations: number;
    readonly pinned: number;
    readonly overdue: number;
    readonly dueBytes: Readonly<Record<string, number>>;
  } | null;
  readonly purging: {
    readonly sinceMs: number;
    readonly rows: number;
    readonly rowsBefore: number | null;
  } | null;
  readonly dropsElsewhere: number | null;
}

/** The values of all metrics at one moment. */
export interface Snapshot {
  readonly version: string;
  /** UNDROP_MODE. */
  readonly mode: string;
  readonly counters: Counters;
  readonly collector: CollectorView;
  /** The reasons for which the collector may wait, as single words. */
  readonly restReasons: readonly string[];
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
export type MetricValue = readonly [value: number, ...labels: string[]];

export interface Metric {
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  readonly labels?: readonly string[];
  /** Empty: not known here. A histogram has samples: its buckets, its sum and its count. */
  values(from: Snapshot): readonly (MetricValue | Sample)[];
}

/** A value with the ending of its name. */
export interface Sample {
  readonly suffix: '_bucket' | '_sum' | '_count';
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

function known(value: number | null | undefined): readonly MetricValue[] {
  return value === null || value === undefined ? [] : [[value]];
}

function flag(value: boolean): readonly MetricValue[] {
  return [[value ? 1 : 0]];
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

const COUNTED = { type: 'counter' } as const;
const MEASURED = { type: 'gauge' } as const;
const TIMED = { type: 'histogram' } as const;

export const METRICS: Readonly<Record<string, Metric>> = {
  undrop_build_info: {
    ...MEASURED,
    help: 'Always 1; the version is its label.',
    labels: ['version'],
    values: ({ version }) => [[1, version]],
  },
  undrop_mode_info: {
    ...MEASURED,
    help: 'Always 1; UNDROP_MODE is its label. Only the mode `hold` protects tables.',
    labels: ['mode'],
    values: ({ mode }) => [[1, mode]],
  },
  undrop_sessions: {
    ...MEASURED,
    help: 'Open sessions of clients.',
    values: ({ counters }) => [[counters.sessionsOpen]],
  },
  undrop_sessions_total: {
    ...COUNTED,
    help: 'Sessions of clients that were started.',
    values: ({ counters }) => [[counters.sessionsTotal]],
  },
  undrop_sessions_refused_total: {
    ...COUNTED,
    help: 'Clients that were refused because of UNDROP_MAX_CONNECTIONS.',
    values: ({ counters }) => [[counters.sessionsRefused]],
  },
  undrop_sessions_untracked_total: {
    ...COUNTED,
    help: 'Sessions whose responses undrop could not follow: it relays them, and refuses their drops.',
    values: ({ counters }) => [[counters.sessionsUntracked]],
  },
  undrop_logins_total: {
    ...COUNTED,
    help: 'Logins by result: ok; failed, during the login; unreached, because no server answered.',
    labels: ['outcome'],
    values: ({ counters }) => [
      [counters.loginsOk, 'ok'],
      [counters.loginsFailed, 'failed'],
      [counters.loginsUnreached, 'unreached'],
    ],
  },
  undrop_commands_total: {
    ...COUNTED,
    help: 'Commands of clients of all kinds.',
    values: ({ counters }) => [[counters.commandsTotal]],
  },
  undrop_login_seconds: {
    ...TIMED,
    help: 'Time from the connection of a client to the end of its login, client and server included.',
    values: (from) => histogram(from, 'login'),
  },
  undrop_relayed_bytes_total: {
    ...COUNTED,
    help: 'Bytes received from clients and from servers.',
    labels: ['from'],
    values: ({ counters }) => [
      [counters.bytesFromClients, 'client'],
      [counters.bytesFromServers, 'server'],
    ],
  },
  undrop_relay_seconds: {
    ...TIMED,
    help: 'Time that undrop takes to pass on a command and the first bytes of its response; one command in 61, without TLS and the wait for the event loop.',
    values: (from) => histogram(from, 'relay'),
  },
  undrop_event_loop_delay_seconds: {
    ...MEASURED,
    help: 'Longest delay of the event loop in the last second, of the worst process; it adds to the time of a query.',
    values: ({ counters }) => [[counters.loopDelayMsMax / 1_000]],
  },
  undrop_answers_total: {
    ...COUNTED,
    help: 'Packets that undrop handled itself: drops, and statements that it answers.',
    values: ({ counters }) => [[counters.answersTotal]],
  },
  undrop_answers_seconds_total: {
    ...COUNTED,
    help: 'Total time for them.',
    values: ({ counters }) => [[counters.answersMs / 1_000]],
  },
  undrop_held_total: {
    ...COUNTED,
    help: 'Tables that undrop held, by the statement that dropped them.',
    labels: ['how'],
    values: (from) => audited(from, 'held'),
  },
  undrop_drop_seconds: {
    ...TIMED,
    help: 'Time from a statement that dropped tables to its answer; without texts of several statements.',
    labels: ['how'],
    values: (from) => histogram(from, 'drop', 'how'),
  },
  undrop_refused_total: {
    ...COUNTED,
    help: 'Refused statements, by the code of the error (docs/reference/errors.md).',
    labels: ['code'],
    values: (from) => audited(from, 'refused'),
  },
  undrop_refused_by_fault_total: {
    ...COUNTED,
    help: 'The same statements, by the side that has to act.',
    labels: ['fault'],
    values: (from) =>
      ['client', 'upstream', 'operator', 'us'].map((fault) => [refused(from, fault), fault]),
  },
  undrop_passed_on_total: {
    ...COUNTED,
    help: 'Drops passed to the server by a rule, by the hint destroy, or by UNDROP_MODE=observe.',
    labels: ['why'],
    values: (from) =>
      ['native', 'destroyed', 'observed'].map((event) => [sumOf(from, event), event]),
  },
  undrop_restored_total: {
    ...COUNTED,
    help: 'Tables that clients of this proxy have restored.',
    values: (from) => [[sumOf(from, 'restored')]],
  },
  undrop_recovered_total: {
    ...COUNTED,
    help: 'Interrupted drops that recovery completed.',
    values: (from) => [[sumOf(from, 'recovered')]],
  },
  undrop_used_while_held_total: {
    ...COUNTED,
    help: 'Statements of clients that failed because they use a held table.',
    values: (from) => [[sumOf(from, 'used-while-held')]],
  },
  undrop_upstream_up: {
    ...MEASURED,
    help: 'Whether a server of UNDROP_UPSTREAM answers.',
    values: ({ isUpstreamReached }) => flag(isUpstreamReached),
  },
  undrop_drops_ready: {
    ...MEASURED,
    help: 'Whether undrop holds drops: the service account logs in, the ledger is ready, and UNDROP_MODE is hold. The same as `/readyz?drops`.',
    values: ({ areDropsHeld }) => flag(areDropsHeld),
  },
  undrop_tls_not_after_timestamp_seconds: {
    ...MEASURED,
    help: 'When a certificate of this proxy expires: for clients, or upstream, for the server.',
    labels: ['use'],
    values: ({ certificates }) =>
      certificates.map(({ name, validTo }) => [Date.parse(validTo) / 1_000, name]),
  },
  undrop_draining: {
    ...MEASURED,
    help: 'Whether this proxy is shutting down.',
    values: ({ isDraining }) => flag(isDraining),
  },
  undrop_collector_leader: {
    ...MEASURED,
    help: 'Whether this proxy is the collector; one of all proxies of a server is. Only that one reports the metrics below.',
    values: ({ collector }) => flag(collector.leads),
  },
  undrop_collector_last_look_timestamp_seconds: {
    ...MEASURED,
    help: 'When it last read the names of the held tables.',
    values: ({ collector }) =>
      known(collector.lastLookMs === null ? null : collector.lastLookMs / 1_000),
  },
  undrop_collector_look_duration_seconds: {
    ...MEASURED,
    help: 'How long its last full check of the held tables took.',
    values: ({ collector }) => known(collector.lookMs === null ? null : collector.lookMs / 1_000),
  },
  undrop_collector_resting: {
    ...MEASURED,
    help: 'Whether the collector waits, by reason; replica, query and window are the throttle.',
    labels: ['reason'],
    values: ({ collector, restReasons }) =>
      collector.leads
        ? restReasons.map((reason) => [collector.restsFor === reason ? 1 : 0, reason])
        : [],
  },
  undrop_held_tables: {
    ...MEASURED,
    help: 'Held tables, by state.',
    labels: ['state'],
    values: ({ collector }) => byState(collector.held),
  },
  undrop_held_bytes: {
    ...MEASURED,
    help: 'Size of the held tables in the ledger, as far as it is known; intent: drops in progress.',
    labels: ['state'],
    values: ({ collector }) => byState(collector.ledger?.bytes),
  },
  undrop_limits_used_ratio: {
    ...MEASURED,
    help: 'Used share of UNDROP_MAX_BYTES, UNDROP_MAX_TABLES or UNDROP_MIN_FREE, the highest of them; above 1, tables are removed early, after UNDROP_MIN_HOLD.',
    values: ({ collector }) => known(collector.room?.used),
  },
  undrop_free_bytes: {
    ...MEASURED,
    help: 'Free space on the file system of UNDROP_DATADIR.',
    values: ({ disk }) => known(disk?.freeBytes),
  },
  undrop_disk_used_ratio: {
    ...MEASURED,
    help: 'The used share of the file system of UNDROP_DATADIR.',
    values: ({ disk }) => known(disk?.used),
  },
  undrop_due_bytes: {
    ...MEASURED,
    help: 'Size of the tables in HOLD by days until they are due: 0 is today (UTC), 7 a week or more; without pinned ones.',
    labels: ['days'],
    values: ({ collector }) => byState(collector.ledger?.dueBytes),
  },
  undrop_pinned_tables: {
    ...MEASURED,
    help: 'Held tables without an end.',
    values: ({ collector }) => known(collector.ledger?.pinned),
  },
  undrop_overdue_tables: {
    ...MEASURED,
    help: 'Tables that are still in HOLD ten minutes after they were due.',
    values: ({ collector }) => known(collector.ledger?.overdue),
  },
  undrop_server_drops_total: {
    ...COUNTED,
    help: 'DROP TABLE and DROP DATABASE that reached the server without undrop, since this proxy collects: an estimate, up to a minute late. Temporary tables count on MySQL before 8.0 or without performance_schema.',
    values: ({ collector }) => known(collector.dropsElsewhere),
  },
  undrop_next_expiry_timestamp_seconds: {
    ...MEASURED,
    help: 'When the next table leaves HOLD, by the clock of the server.',
    values: ({ collector }) => known(collector.nextDue && collector.nextDue.getTime() / 1_000),
  },
  undrop_unsettled_intents: {
    ...MEASURED,
    help: 'Drops that are not settled after a minute, at the last full check: interrupted, or very long.',
    values: ({ collector }) => known(collector.ledger?.intents),
  },
  undrop_pending_relocations: {
    ...MEASURED,
    help: 'Held tables that still have to move into the recycle schema, at the last full check.',
    values: ({ collector }) => known(collector.ledger?.relocations),
  },
  undrop_transitions_total: {
    ...COUNTED,
    help: 'Transitions of tables from one state to the next.',
    labels: ['from', 'to'],
    values: (from) =>
      audited(from, 'transition').map(([count, ...states]) => [
        count,
        ...states.map((state) => state.toLowerCase()),
      ]),
  },
  undrop_removed_total: {
    ...COUNTED,
    help: 'Tables that were removed for good.',
    values: (from) => [[sumOf(from, 'removal')]],
  },
  undrop_purged_rows_total: {
    ...COUNTED,
    help: 'Rows deleted in PURGE.',
    values: ({ collector }) => [[collector.rowsPurged]],
  },
  undrop_purge_left_rows: {
    ...MEASURED,
    help: 'Rows that are left of the table in PURGE, as the server estimates them.',
    values: (from) => known(purgeLeft(from)?.rows),
  },
  undrop_purge_left_seconds: {
    ...MEASURED,
    help: 'How long the rest takes at the pace so far.',
    values: (from) => known(purgeLeft(from)?.seconds),
  },
  undrop_purge_chunks_total: {
    ...COUNTED,
    help: 'Chunks of rows deleted in PURGE.',
    values: ({ collector }) => [[collector.chunks]],
  },
  undrop_purge_chunks_seconds_total: {
    ...COUNTED,
    help: 'Total time of these chunks.',
    values: ({ collector }) => [[collector.chunksMs / 1_000]],
  },
};
