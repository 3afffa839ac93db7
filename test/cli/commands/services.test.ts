/** The section of `undrop status` on services: which run, which collects, and what differs. */
import { expect, test } from '@jest/globals';
import { reportServices, serviceLines } from '../../../src/cli/commands/status/services.js';
import type { RecordedService } from '../../../src/ledger/services.js';

const NOW = new Date('2026-03-01T12:00:00Z');

function service(id: string, more: Partial<RecordedService> = {}): RecordedService {
  return {
    ...{ id, host: id, listen: '0.0.0.0:3307', version: '1.0.0', processes: 3 },
    startedAt: new Date('2026-03-01T08:00:00Z'),
    seenAt: new Date('2026-03-01T11:59:30Z'),
    collectorId: null,
    dropsSent: 0,
    ...more,
  };
}

function report(...found: readonly RecordedService[]) {
  const all = reportServices(found, { now: NOW, leaderId: 7 });
  return serviceLines(all);
}

test('the one that collects is named', () => {
  expect(report(service('a', { collectorId: 7 }), service('b', { collectorId: 6 }))).toEqual([
    'a 0.0.0.0:3307: version 1.0.0, processes 3, started 2026-03-01 08:00:00 UTC, seen 2026-03-01 11:59:30 UTC, collects',
    'b 0.0.0.0:3307: version 1.0.0, processes 3, started 2026-03-01 08:00:00 UTC, seen 2026-03-01 11:59:30 UTC',
  ]);
  expect(report()).toEqual(['none is listed']);
});

test('versions that differ are named', () => {
  const lines = report(service('a'), service('b', { version: '1.1.0' }));
  expect(lines.slice(2)).toEqual(['their versions differ: 1.0.0, 1.1.0']);
});

test('a service that was not seen for two minutes is listed, and not compared', () => {
  const seenAt = new Date('2026-03-01T11:58:00Z');
  const lines = report(service('a'), service('b', { seenAt, version: '0.9.0' }));
  expect(lines).toHaveLength(2);
  expect(lines[1]).toContain('not seen since 2026-03-01 11:58:00 UTC');
});
