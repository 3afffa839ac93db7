/**
 * `undrop status` shows on one screen the collector of a server, the held tables, and problems that
 * need attention. It changes nothing. Its exit code is for monitoring: 0, or 1 if something needs
 * attention.
 */
import { timeText } from '../../../duration.js';
import { type Uses, readUses } from '../../../ledger/history.js';
import { readOverdue } from '../../../ledger/overview.js';
import type { CollectorFigures } from '../../../lifecycle/figures.js';
import { isPinned, shortId } from '../../../names/names.js';
import { type Field, jsonText, printCard } from '../../../printer.js';
import { type ListedTable, listAll } from '../../../restore/held-tables.js';
import type { ServicePool } from '../../../service/pool/pools.js';
import { readServerFacts } from '../../../service/server-facts.js';
import { readSizes } from '../../../service/true-sizes.js';
import type { StatusSettings } from '../../settings.js';
import type { Flags, Shell } from '../../shell.js';
import { EXIT_CODES, resultOf } from '../findings.js';
import { withServers } from '../with-pool.js';
import { type Status, atText, nameOrId, readStatus } from './read-status.js';
import { type RecordedService, isServiceRunning } from '../../../ledger/services.js';

export function runStatus(
  settings: StatusSettings,
  flags: Flags,
  { stdout }: Shell,
): Promise<number> {
  return withServers(settings, async (pool, replicas) => {
    const tables = await listAll(pool);
    const status = await readStatus(pool, settings, { tables, replicas });
    const report = { ...status, held: await readHeld(pool, tables) };
    stdout.write(flags['json'] === true ? jsonText(report) : printCard(SECTIONS, report));
    return EXIT_CODES[resultOf(report.attention)];
  });
}

/**
 * The problems that need attention, and the services, without a list of all held tables, which
 * takes long among very many: only those that are overdue are read.
 */
export async function readStatusView(
  pool: ServicePool,
  settings: StatusSettings,
  { room }: Pick<CollectorFigures, 'room'>,
): Promise<{ readonly attention: readonly string[]; readonly services: readonly string[] }> {
  const tables = await readOverdue(pool);
  const status = await readStatus(pool, settings, { tables, replicas: [] });
  const early = room?.early.size ?? 0;
  return {
    attention: [
      ...status.attention.map(({ text }) => text),
      ...(early === 0 ? [] : [`tables that are removed early because of a limit: ${early}`]),
    ],
    services: serviceLines(status),
  };
}

interface Held {
  readonly count: number;
  readonly byState: Readonly<Record<string, { count: number; bytes: number; unknown: number }>>;
  readonly pinned: number;
  /** The next table that is due. */
  readonly next: { readonly id: string; readonly table: string; readonly due: Date } | null;
  /** Held tables that statements failed on. */
  readonly used: readonly (Uses & { readonly id: string; readonly table: string })[];
}

async function readHeld(pool: ServicePool, tables: readonly ListedTable[]): Promise<Held> {
  const places = tables.map(({ id, holdSchema: schema, holdName: name }) => ({ id, schema, name }));
  const sizes = await readSizes(pool, await readServerFacts(pool), places);
  const byState: Record<string, { count: number; bytes: number; unknown: number }> = {};
  for (const { id, state, byteEstimate } of tables) {
    const sum = byState[state] ?? { count: 0, bytes: 0, unknown: 0 };
    byState[state] = sum;
    const bytes = sizes.get(id)?.bytes ?? byteEstimate;
    sum.count++;
    if (bytes === null) sum.unknown++;
    else sum.bytes += bytes;
  }
  const uses = await readUses(pool);
  const ending = tables.filter(({ due }) => !isPinned(due));
  const [next] = ending.sort((one, other) => one.due.getTime() - other.due.getTime());
  return {
    count: tables.length,
    byState,
    pinned: tables.length - ending.length,
    next: next === undefined ? null : { id: next.id, table: nameOrId(next), due: next.due },
    used: tables.flatMap((table) => {
      const used = uses.get(table.id);
      return used === undefined ? [] : [{ id: table.id, table: nameOrId(table), ...used }];
    }),
  };
}

type StatusReport = Status & { readonly held: Held };

/** The maximum of early removals that are shown; --json has all of them. */
const EARLY_SHOWN = 5;

function limitLines({ limits, held, server }: StatusReport): readonly string[] {
  const { tablesMax, bytesMax, freeBytesMin, freeBytes, young, early, problem } = limits;
  if (problem !== null) return [`not known: ${problem}`];
  const mb = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
  const bytes = Object.values(held.byState).reduce((sum, state) => sum + state.bytes, 0);
  const free = freeBytes === null ? 'not known' : mb(freeBytes);
  return [
    [
      `tables ${held.count} of ${tablesMax ?? 'any number'} (UNDROP_MAX_TABLES)`,
      `${mb(bytes)} of ${bytesMax === null ? 'any size' : mb(bytesMax)} (UNDROP_MAX_BYTES)`,
      ...(freeBytesMin === null
        ? []
        : [`free on the disk ${free}, at least ${mb(freeBytesMin)} (UNDROP_MIN_FREE)`]),
    ].join('; '),
    ...(young === 0 || early.length === 0
      ? []
      : [`kept by UNDROP_MIN_HOLD, despite the limits: ${young}`]),
    ...early.slice(0, EARLY_SHOWN).map(({ id, table, user, at, because }) => {
      const by = user === null ? '' : `, dropped by ${user}`;
      return `removed early ${atText(at, server.now)}: ${table} (${shortId(id)}${by}): ${because}`;
    }),
    ...(early.length > EARLY_SHOWN ? [`and ${early.length - EARLY_SHOWN} more (--json)`] : []),
  ];
}

/** The sections of the screen, of some lines each. */
const SECTIONS: readonly Field<StatusReport>[] = [
  {
    title: 'server',
    text: ({ server: { version, readOnly, now } }) =>
      `${version}${readOnly ? ', read-only' : ''}, ${timeText(now)}`,
  },
  {
    title: 'collector',
    text: ({ collector: { lastLook, leader, resting } }) => [
      leader === null ? 'no proxy collects' : `connection ${leader} collects`,
      lastLook === null ? 'no check yet' : `last check ${timeText(lastLook)}`,
      ...(resting === null ? [] : [resting]),
    ],
  },
  { title: 'services', text: serviceLines },
  { title: 'held', text: heldLines },
  { title: 'limits', text: limitLines },
  {
    title: 'open',
    text: ({ open }) => [
      `intents ${open.intents.length}, relocations ${open.relocations.length}, DROP DATABASE ${open.schemaDrops.length}, restores ${open.restores.length}`,
      ...open.settling.map(({ schema, settled, tables }) => {
        return `settling ${settled} of ${tables} tables of ${schema}`;
      }),
    ],
  },
  {
    title: 'attention',
    text: ({ attention }) =>
      attention.length === 0 ? 'nothing needs attention' : attention.map(({ text }) => text),
  },
];

function heldLines({ held }: StatusReport): readonly string[] {
  const { byState, pinned, next, used, count } = held;
  const states = Object.entries(byState).map(([state, sum]) => {
    const unknown = sum.unknown === 0 ? '' : ` and ${sum.unknown} of unknown size`;
    return `${state} ${sum.count} (${(sum.bytes / 1e6).toFixed(1)} MB${unknown})`;
  });
  return [
    count === 0 ? 'no table' : `${states.join(', ')}; pinned ${pinned}`,
    ...(next === null ? [] : [`next ${next.table} (${shortId(next.id)}): ${timeText(next.due)}`]),
    ...used.map((one) => {
      const last = `the last at ${timeText(one.lastAt)} by ${one.who}`;
      return `statements use the held table ${one.table} (${shortId(one.id)}), statements ${one.count}, ${last}`;
    }),
  ];
}

// ── the proxies ──────────────────────────────────────────────────────────────────────────────────
// The section of `undrop status` on services: which ones run in front of the server, which of them
// collects, and whether their versions differ. Pure.

export interface ServicesReport {
  readonly services: readonly (Omit<RecordedService, 'collectorId'> & {
    /** It has renewed its row within two minutes. */
    readonly isRunning: boolean;
    readonly collects: boolean;
  })[];
  /** Of those that run, if they have several. */
  readonly versions: readonly string[];
}

/** `leaderId`: the connection that collects. */
export function reportServices(
  found: readonly RecordedService[],
  { now, leaderId }: { readonly now: Date; readonly leaderId: number | null },
): ServicesReport {
  const services = found.map(({ collectorId, ...service }) => ({
    ...service,
    isRunning: isServiceRunning(service, now),
    collects: leaderId !== null && collectorId === leaderId,
  }));
  const running = services.filter(({ isRunning }) => isRunning);
  const versions = [...new Set(running.map(({ version }) => version))].sort();
  return { services, versions: versions.length > 1 ? versions : [] };
}

export function serviceLines({ services, versions }: ServicesReport): readonly string[] {
  if (services.length === 0) return ['none is listed'];
  return [
    ...services.map((service) => {
      const { host, listen, version, processes, startedAt, seenAt, isRunning } = service;
      return [
        `${host} ${listen}: version ${version}, processes ${processes}`,
        `started ${timeText(startedAt)}`,
        `${isRunning ? 'seen' : 'not seen since'} ${timeText(seenAt)}`,
        ...(service.collects ? ['collects'] : []),
      ].join(', ');
    }),
    ...(versions.length === 0 ? [] : [`their versions differ: ${versions.join(', ')}`]),
  ];
}
