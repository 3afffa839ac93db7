/** The row of a running service where it can't be written; else server/services.test.ts has it. */

import { ServerError } from '../../../src/connections/errors.js';
import type { Row, Rows, SQLQuery } from '../../../src/connections/sql.js';
import { renderQuery } from '../../../src/connections/sql.js';
import { reportServices, serviceLines } from '../../../src/faces/cli/status.js';
import type { RecordedService } from '../../../src/ledger/services.js';
import { LEDGER_VERSION } from '../../../src/ledger/tables.js';
import { silentLog } from '../../../src/log.js';
import { Presence } from '../../../src/runtime/serve/presence.js';
import { until } from '../../support/poll.js';
import { fakePool } from '../../support/tapped-pool.js';

/** A server with a ledger; `refuses`: its error for changes. */
class Ledger {
  readonly changes: string[] = [];
  readonly warnings: unknown[] = [];
  readonly figures = { leaderId: null as number | null };
  looks = 0;
  refusals = 0;
  readonly #readOnly: string;
  readonly #refuses: ServerError | null;

  constructor({ readOnly = 'OFF', refuses = null as ServerError | null } = {}) {
    this.#readOnly = readOnly;
    this.#refuses = refuses;
  }

  open(): Presence {
    const warn = (_fields: unknown, text: unknown) => this.warnings.push(text);
    const run = async (text: SQLQuery | readonly SQLQuery[]) => this.#answer([text].flat());
    const pool = fakePool(run);
    return new Presence({
      ...{ serviceId: 'a'.repeat(32), processes: 3, figures: this.figures, pool: () => pool },
      listen: [{ host: '0.0.0.0', port: 3307 }],
      log: { ...silentLog, warn },
      dropsSent: () => 0,
    });
  }

  async #answer(queries: readonly SQLQuery[]): Promise<readonly Rows[]> {
    const [text = ''] = queries.map(renderQuery);
    const rows = (...all: readonly Row[]) => Object.assign([...all], { affectedRows: 0 });
    if (text.includes('MAX(version)')) return [rows({ version: LEDGER_VERSION })];
    if (text.startsWith('SHOW')) {
      this.looks++;
      const variables = Object.entries({ version: '8.4.0', read_only: this.#readOnly });
      const shown = variables.map(([Variable_name, Value]) => ({ Variable_name, Value }));
      return [rows(...shown), rows(), rows({ utcNow: new Date() })];
    }
    if (!/^(INSERT|DELETE)/.test(text)) return [rows()];
    if (this.#refuses !== null) {
      this.refusals++;
      throw this.#refuses;
    }
    this.changes.push(text.split(' ')[0] ?? '');
    return [rows()];
  }
}

test('is not written to a read-only server', async () => {
  const ledger = new Ledger({ readOnly: 'ON' });
  const presence = ledger.open();
  await until(() => ledger.looks > 0, 'the server was asked');
  await presence.stop({ isEnd: true });
  expect([ledger.changes, ledger.warnings]).toEqual([[], []]);
});

test('that the account may not write costs one warning', async () => {
  const sqlMessage = 'INSERT command denied';
  const refuses = new ServerError({ errno: 1142, sqlState: '42000', sqlMessage });
  const ledger = new Ledger({ refuses });
  const presence = ledger.open();
  await until(() => ledger.warnings.length > 0, 'the warning');
  ledger.figures.leaderId = 7;
  await until(() => ledger.refusals > 1, 'another try');
  await presence.stop({ isEnd: true });
  expect(ledger.warnings).toEqual([
    'cannot write the row of this service; `undrop status` may not list it',
  ]);
});

// ── services ─────────────────────────────────────────────────────────────────────────────────────
// The section of `undrop status` on services: which run, which collects, and what differs.

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
