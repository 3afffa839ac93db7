/**
 * The recycle schemas as a proxy finds them after its first start: nothing is held, and the ledger
 * is empty. Its tables stay where they are there, as some servers take long to make them.
 */
import { ensureLedger, LEDGER_VERSION } from '../../src/ledger/tables.js';
import { query, type Target } from './servers.js';
import { poolOn } from './service-pool.js';

/** The tables that stay, and the rows of each that go. */
const EMPTIED: Readonly<Record<string, string>> = {
  ...{ ledger: 'TRUE', history: 'TRUE', proxies: 'TRUE' },
  control: `name <> 'version' OR wakes <> ${LEDGER_VERSION}`,
  // The next collector is new to the server.
  leader: "server_identity LIKE 'round %'",
};
/** How to drop a kind of table; all others by DROP TABLE. */
const DROPS: Readonly<Record<string, string>> = { VIEW: 'DROP VIEW', SEQUENCE: 'DROP SEQUENCE' };

/** Before a test; no proxy works on that server. */
export async function freshLedger(target: Target): Promise<void> {
  const rows = await query<{ readonly at: string; readonly name: string; readonly kind: string }>(
    target,
    `SELECT TABLE_SCHEMA AS at, TABLE_NAME AS name, TABLE_TYPE AS kind
     FROM information_schema.TABLES WHERE TABLE_SCHEMA LIKE '\\_undrop%'`,
  );
  const drops = rows
    .filter(({ name }) => !Object.hasOwn(EMPTIED, name))
    .map(({ at, name, kind }) => {
      return `${DROPS[kind] ?? 'DROP TABLE'} ${at}.\`${name.replaceAll('`', '``')}\``;
    });
  const isThere = (table: string) => rows.some(({ name }) => name === table);
  await query(
    target,
    'SET foreign_key_checks = 0',
    ...drops,
    ...Object.entries(EMPTIED)
      .filter(([name]) => isThere(name))
      .map(([name, which]) => `DELETE FROM _undrop.${name} WHERE ${which}`),
  );
  await using pool = poolOn(target);
  await ensureLedger(pool);
}

/** The server as it was before the first proxy. */
export async function dropRecycleSchemas(target: Target): Promise<void> {
  await query(
    target,
    'SET foreign_key_checks = 0',
    'DROP DATABASE IF EXISTS _undrop',
    'DROP DATABASE IF EXISTS _undrop_local',
  );
}
