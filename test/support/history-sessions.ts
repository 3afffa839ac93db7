/**
 * The schemas that a random history plays in, and the sessions that it has: through the proxy, of
 * several kinds, and one past it.
 */
import { connect, query, type Target } from './servers.js';

/** Each has its charset for good: MariaDB takes a session's default schema for what it was. */
const CHARSETS = { shop: 'utf8mb4', ware: 'latin1', 'odd-name': 'utf8mb4' } as const;
export const SHARED = Object.keys(CHARSETS) as (keyof typeof CHARSETS)[];
/** Its tables are made in the log, and dropped out of it. */
export const KEPT = 'kept';
/** Nothing of it is in the log. */
export const ALONE = 'alone';
export const BESIDE = 'beside';
const DROPPER = 'dropper';

export type Sessions = Awaited<ReturnType<typeof openSessions>>;

/** Schemas that are missing are made. */
export async function openSessions(options: { readonly source: Target; readonly proxy: Target }) {
  const { source, proxy } = options;
  const open = (charset = 'UTF8MB4_GENERAL_CI') =>
    connect(proxy, { multipleStatements: true, charset });
  const unlogged = await open();
  await unlogged.query(`SET sql_log_bin = 0; CREATE DATABASE IF NOT EXISTS ${ALONE}`);
  await query(
    proxy,
    ...SHARED.map((schema) => creation(schema, 'IF NOT EXISTS')),
    `CREATE DATABASE IF NOT EXISTS ${KEPT}`,
    `CREATE DATABASE IF NOT EXISTS ${BESIDE}`,
    `CREATE USER IF NOT EXISTS ${DROPPER} IDENTIFIED BY 'only for tests'`,
    `GRANT SELECT, INSERT, UPDATE, DROP ON *.* TO ${DROPPER}`,
    `CREATE TABLE IF NOT EXISTS ${BESIDE}.log (n INT, note VARCHAR(60))`,
    `CREATE TABLE IF NOT EXISTS ${BESIDE}.account (id INT PRIMARY KEY, n INT)`,
    `INSERT IGNORE INTO ${BESIDE}.account VALUES (1, 0), (2, 0)`,
  );
  const limited = { user: DROPPER, password: 'only for tests', multipleStatements: true };
  return {
    /** Past the proxy. */
    direct: await connect(source),
    /**
     * They may do everything; the second speaks latin1. It makes no temporary tables and none of a
     * SELECT: MariaDB writes their names to its log in utf8, and says that they are latin1.
     */
    able: [await open(), await open('LATIN1_SWEDISH_CI')] as const,
    /** It may drop, and not rename. */
    limited: await connect(proxy, limited),
    /** Under sql_log_bin=0. */
    unlogged,
  };
}

export function creation(schema: keyof typeof CHARSETS, unless = ''): string {
  return `CREATE DATABASE ${unless} \`${schema}\` CHARACTER SET ${CHARSETS[schema]}`;
}
