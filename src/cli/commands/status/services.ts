/**
 * The section of `undrop status` on services: which ones run in front of the server, which of them
 * collects, and in which settings and versions they differ. Pure.
 */
import { variableOf } from '../../../config/schema.js';
import { timeText } from '../../../duration.js';
import { isServiceRunning, type RecordedService } from '../../../ledger/services.js';
import { POLICY_KEYS } from '../../settings.js';

export interface ServicesReport {
  readonly services: readonly (Omit<RecordedService, 'collectorId'> & {
    /** It has renewed its row within two minutes. */
    readonly isRunning: boolean;
    readonly collects: boolean;
  })[];
  /** The differences of those that run. */
  readonly differences: {
    /** Names of variables. */
    readonly settings: readonly string[];
    readonly versions: readonly string[];
  };
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
  const settings = differingKeys(running.map((service) => service.settings)).map(variableOf);
  return { services, differences: { settings, versions: versions.length > 1 ? versions : [] } };
}

/** A key that one of them lacks is a setting of another version. */
function differingKeys(all: readonly RecordedService['settings'][]): readonly string[] {
  const values = new Map<string, Set<string>>();
  for (const [key, value] of all.flatMap((settings) => Object.entries(settings))) {
    values.set(key, (values.get(key) ?? new Set()).add(value));
  }
  return [...values].filter(([, { size }]) => size > 1).map(([key]) => key);
}

const POLICY: ReadonlySet<string> = new Set(POLICY_KEYS.map(variableOf));

/** A drop has another fate in one service than in another. */
export function serviceProblems({ differences }: ServicesReport): readonly string[] {
  const policy = differences.settings.filter((name) => POLICY.has(name));
  if (policy.length === 0) return [];
  return [`services that run decide on drops by different settings: ${policy.join(', ')}`];
}

export function serviceLines({ services, differences }: ServicesReport): readonly string[] {
  if (services.length === 0) return ['none is listed'];
  const { settings, versions } = differences;
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
    ...(settings.length === 0 ? [] : [`their settings differ: ${settings.join(', ')}`]),
    ...(versions.length === 0 ? [] : [`their versions differ: ${versions.join(', ')}`]),
  ];
}
