/** The row of a running service: when it is written, and what happens where it can't be. */
import { expect, test } from '@jest/globals';
import { Presence } from '../../../src/cli/serve/presence.js';
import { LEDGER_VERSION } from '../../../src/ledger/tables.js';
import { silentLog } from '../../../src/log.js';
import { ServerError } from '../../../src/service/errors.js';
import type { Row, Rows, ServicePool } from '../../../src/service/pool/pools.js';
import { renderQuery, type SQLQuery } from '../../../src/service/sql.js';
import { until } from '../../support/poll.js';

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
    const pool = { run } as unknown as ServicePool;
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

test('is written once, again when the service begins to collect, and deleted at its end', async () => {
  const ledger = new Ledger();
  const presence = ledger.open();
  await until(() => ledger.changes.length === 2, 'it is written');
  ledger.figures.leaderId = 7;
  await until(() => ledger.changes.length === 3, 'it is renewed');
  await presence.stop({ isEnd: true });
  // Both kinds, in the binary log and not.
  expect(ledger.changes).toEqual(['DELETE', 'INSERT', 'INSERT', 'DELETE', 'DELETE']);
});

test('stays at a reload', async () => {
  const ledger = new Ledger();
  const presence = ledger.open();
  await until(() => ledger.changes.length === 2, 'it is written');
  await presence.stop({ isEnd: false });
  expect(ledger.changes).toEqual(['DELETE', 'INSERT']);
});

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
