/**
 * The section of `undrop status` on services: which ones run in front of the server, which of them
 * collects, and whether their versions differ. Pure.
 */
import { timeText } from '../../../duration.js';
import { isServiceRunning, type RecordedService } from '../../../ledger/services.js';

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
