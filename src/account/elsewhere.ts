/**
 * Finds the accounts whose drops undrop doesn't see, because their sessions come from elsewhere: a
 * session through undrop comes from a host where undrop runs. It changes nothing.
 */

import { unlessRefused } from '../connections/errors.js';
import type { ServerFacts, ServicePool } from '../connections/sql.js';
import { col, ident, note, processlistOf, readServerFacts, sql } from '../connections/sql.js';
import * as ER from '../wire/server-errors.js';

interface Session {
  readonly user: string;
  readonly host: string;
}

const FOUND_MAX = 20;
/** Not accounts. */
const INTERNAL: ReadonlySet<string> = new Set(['', 'system user', 'event_scheduler']);

/**
 * `serviceUser`: its sessions are undrop's own. Most drops first: the statements that dropped
 * tables or schemas since the start of the server; null: the server doesn't count them by account,
 * and this account may drop, and has sessions from there.
 */
export async function findElsewhere(
  pool: ServicePool,
  serviceUser: string,
): Promise<readonly (Session & { readonly drops: number | null })[]> {
  const server = await readServerFacts(pool);
  const sessions = await readSessions(pool, server);
  const own = new Set(sessions.flatMap(({ user, host }) => (user === serviceUser ? [host] : [])));
  const isElsewhere = ({ user, host }: Session) =>
    user !== serviceUser && !INTERNAL.has(user) && !own.has(host);
  const counted = server.performanceSchema ? await readCounted(pool) : [];
  if (counted.length > 0) return counted.filter(isElsewhere).slice(0, FOUND_MAX);
  const droppers = await readDroppers(pool);
  const others = sessions.filter((one) => isElsewhere(one) && droppers.has(one.user));
  return others.slice(0, FOUND_MAX).map((one) => ({ ...one, drops: null }));
}

async function readSessions(pool: ServicePool, server: ServerFacts): Promise<readonly Session[]> {
  const [rows = []] = await pool.run(
    sql`SELECT ${note('look')} DISTINCT USER AS user, HOST AS host FROM ${processlistOf(server)}`,
  );
  const named = rows.map((row) => {
    // Without its port.
    const host = col.text(row, 'host').replace(/:\d+$/, '');
    return [`${col.text(row, 'user')}@${host}`, { user: col.text(row, 'user'), host }] as const;
  });
  return [...new Map(named).values()];
}

async function readCounted(pool: ServicePool): Promise<readonly (Session & { drops: number })[]> {
  const query = sql`SELECT ${note('look')} USER AS user, HOST AS host, SUM(COUNT_STAR) AS drops
    FROM performance_schema.events_statements_summary_by_account_by_event_name
    WHERE EVENT_NAME IN ('statement/sql/drop_table', 'statement/sql/drop_db')
      AND USER IS NOT NULL AND HOST IS NOT NULL AND COUNT_STAR > 0
    GROUP BY USER, HOST ORDER BY drops DESC`;
  const read = pool.run(query);
  const [rows = []] = await unlessRefused(read, [], ...ER.ACCESS_DENIED, ...ER.ABSENT_TABLE);
  return rows.map((row) => ({
    user: col.text(row, 'user'),
    host: col.text(row, 'host'),
    drops: col.number(row, 'drops'),
  }));
}

/** The users with DROP somewhere, as far as this account may see that; roles aren't followed. */
async function readDroppers(pool: ServicePool): Promise<ReadonlySet<string>> {
  const on = (table: string) =>
    sql`SELECT GRANTEE AS grantee FROM information_schema.${ident(table)}
      WHERE PRIVILEGE_TYPE = 'DROP'`;
  const tables = ['USER_PRIVILEGES', 'SCHEMA_PRIVILEGES', 'TABLE_PRIVILEGES'].map(on);
  const [rows = []] = await pool.run(sql`SELECT ${note('look')} grantee
    FROM (${sql.join(tables, sql` UNION `)}) AS found`);
  return new Set(rows.map((row) => col.text(row, 'grantee').replace(/^'(.*)'@'[^']*'$/, '$1')));
}
