/** The section of `undrop status` on services: which run, which collects, and what differs. */
import { expect, test } from '@jest/globals';
import {
  reportServices,
  serviceLines,
  serviceProblems,
} from '../../../src/cli/commands/status/services.js';
import type { RecordedService } from '../../../src/ledger/services.js';

const NOW = new Date('2026-03-01T12:00:00Z');

function service(id: string, more: Partial<RecordedService> = {}): RecordedService {
  return {
    ...{ id, host: id, listen: '0.0.0.0:3307', version: '1.0.0', processes: 3 },
    startedAt: new Date('2026-03-01T08:00:00Z'),
    seenAt: new Date('2026-03-01T11:59:30Z'),
    collectorId: null,
    dropsSent: 0,
    settings: { hold: 'aa', maxConnections: 'bb' },
    ...more,
  };
}

function report(...found: readonly RecordedService[]) {
  const all = reportServices(found, { now: NOW, leaderId: 7 });
  return { lines: serviceLines(all), problems: serviceProblems(all) };
}

test('services that are the same need no attention', () => {
  expect(report(service('a', { collectorId: 7 }), service('b', { collectorId: 6 }))).toEqual({
    lines: [
      'a 0.0.0.0:3307: version 1.0.0, processes 3, started 2026-03-01 08:00:00 UTC, seen 2026-03-01 11:59:30 UTC, collects',
      'b 0.0.0.0:3307: version 1.0.0, processes 3, started 2026-03-01 08:00:00 UTC, seen 2026-03-01 11:59:30 UTC',
    ],
    problems: [],
  });
  expect(report()).toEqual({ lines: ['none is listed'], problems: [] });
});

test('settings and versions that differ are named; those of the policy need attention', () => {
  const other = { hold: 'cc', maxConnections: 'dd', newer: 'ee' };
  const { lines, problems } = report(
    service('a'),
    service('b', { version: '1.1.0', settings: other }),
  );
  expect(lines.slice(2)).toEqual([
    'their settings differ: UNDROP_HOLD, UNDROP_MAX_CONNECTIONS',
    'their versions differ: 1.0.0, 1.1.0',
  ]);
  expect(problems).toEqual([
    'services that run decide on drops by different settings: UNDROP_HOLD',
  ]);
  const limited = service('b', { settings: { hold: 'aa', maxConnections: 'dd' } });
  expect(report(service('a'), limited)).toMatchObject({ problems: [] });
});

test('a service that was not seen for two minutes is listed, and not compared', () => {
  const seenAt = new Date('2026-03-01T11:58:00Z');
  const gone = service('b', { seenAt, version: '0.9.0', settings: { hold: 'cc' } });
  const { lines, problems } = report(service('a'), gone);
  expect(lines).toHaveLength(2);
  expect(lines[1]).toContain('not seen since 2026-03-01 11:58:00 UTC');
  expect(problems).toEqual([]);
});
