/**
 * Reads the privileges of the service account, and the schemas of users that it sees. Every
 * account may read its own privileges; those of its active roles count, if it may see them.
 */
import { foldName } from '../names/names.js';
import type { ServicePool } from '../service/pool/pools.js';
import { textOf, textOrNullOf } from '../service/row.js';
import { readServerFacts } from '../service/server-facts.js';
import { note, sql } from '../service/sql.js';
import { hasPartialRevokes } from './apply.js';

export interface Rights {
  /** `undrop@%` */
  readonly account: string;
  /** On the whole server. */
  readonly server: ReadonlySet<string>;
  /** Keyed by the schema's name, or the pattern of names, that they are granted on. */
  readonly schemas: ReadonlyMap<string, ReadonlySet<string>>;
  /** Names are no patterns. */
  readonly isLiteral: boolean;
  /** Keyed by the schema's name: what a grant on the whole server doesn't give there. */
  readonly revoked: ReadonlyMap<string, ReadonlySet<string>>;
}

export async function readRights(pool: ServicePool): Promise<Rights> {
  const [current = []] = await pool.run(sql`SELECT ${note('look')} CURRENT_USER() AS account`);
  const account = textOf(current[0] ?? {}, 'account');
  const at = account.lastIndexOf('@');
  // As information_schema writes `undrop@%`.
  const self = `'${account.slice(0, at)}'@'${account.slice(at + 1)}'`;
  const grantees = [self, ...(await activeRoles(pool))];
  const [server = [], schemas = []] = await pool.run([
    sql`SELECT ${note('look')} GRANTEE AS grantee, PRIVILEGE_TYPE AS name
        FROM information_schema.USER_PRIVILEGES`,
    sql`SELECT ${note('look')} GRANTEE AS grantee, TABLE_SCHEMA AS schemaName,
          PRIVILEGE_TYPE AS name
        FROM information_schema.SCHEMA_PRIVILEGES`,
  ]);
  const own = (rows: typeof server) =>
    rows.filter((row) => grantees.includes(textOf(row, 'grantee')));
  const bySchema = new Map<string, Set<string>>();
  for (const row of own(schemas)) {
    const schema = textOf(row, 'schemaName');
    const rights = bySchema.get(schema) ?? new Set();
    bySchema.set(schema, rights.add(textOf(row, 'name')));
  }
  // With those of its active roles.
  const [grants = []] = await pool.run(sql`SHOW GRANTS`);
  return {
    account,
    server: new Set(own(server).map((row) => textOf(row, 'name'))),
    schemas: bySchema,
    isLiteral: await hasPartialRevokes(pool),
    revoked: readRevoked(grants.flatMap((row) => Object.values(row)).map(String)),
  };
}

/** `REVOKE DROP ON `shop`.* FROM …`: partial revokes, which information_schema hasn't got. */
export function readRevoked(grants: readonly string[]): Rights['revoked'] {
  const found = grants.flatMap((text) => {
    const match = /^REVOKE (.+?) ON `((?:[^`]|``)+)`\.\* FROM /.exec(text);
    return match === null ? [] : [[match[1] ?? '', match[2] ?? ''] as const];
  });
  const entries = found.map(
    ([rights, schema]) => [schema.replaceAll('``', '`'), new Set(rights.split(', '))] as const,
  );
  return new Map(entries);
}

/** Whether the account has that right on a schema of that name. */
export function hasRight(rights: Rights, right: string, schema: string): boolean {
  if (rights.server.has(right) && rights.revoked.get(schema)?.has(right) !== true) return true;
  return [...rights.schemas].some(
    ([pattern, granted]) => granted.has(right) && isMeant(pattern, schema, rights),
  );
}

function isMeant(pattern: string, schema: string, { isLiteral }: Rights): boolean {
  if (isLiteral) return pattern === schema;
  const parts = pattern.replaceAll(/\\?[\s\S]/g, (part) => {
    if (part === '%') return '.*';
    if (part === '_') return '.';
    return part.slice(-1).replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  });
  return new RegExp(`^${parts}$`, 's').test(schema);
}

/**
 * Its active roles as information_schema writes them: MariaDB writes a role's name in several ways.
 */
async function activeRoles(pool: ServicePool): Promise<readonly string[]> {
  const { flavour, versionId } = await readServerFacts(pool);
  if (flavour === 'mysql' && versionId < 80_000) return [];
  const [rows = []] = await pool.run(sql`SELECT ${note('look')} CURRENT_ROLE() AS roles`);
  const roles = textOrNullOf(rows[0] ?? {}, 'roles') ?? 'NONE';
  if (roles === 'NONE') return [];
  if (flavour === 'mariadb') return [roles, `'${roles}'`, `'${roles}'@''`];
  return roles.split(',').map((role) => role.replaceAll('`', "'"));
}

export const OF_SERVERS = ['mysql', 'sys', 'information_schema', 'performance_schema'];

/** Neither the server's own, nor undrop's. */
export function isOfUsers(schema: string): boolean {
  const name = schema.toLowerCase();
  return !OF_SERVERS.includes(name) && !name.startsWith('_undrop');
}

/** Those of users that the account sees: if it has no privileges, it may see none. */
export async function readSchemas(pool: ServicePool): Promise<readonly string[]> {
  const [rows = []] = await pool.run(
    sql`SELECT ${note('look')} SCHEMA_NAME AS name FROM information_schema.SCHEMATA
        ORDER BY SCHEMA_NAME`,
  );
  return rows.map((row) => textOf(row, 'name')).filter(isOfUsers);
}

/** Those of `wanted` that aren't in `found`, by the server's rules on upper and lower case. */
export async function missingSchemas(
  pool: ServicePool,
  wanted: readonly string[],
  found: readonly string[],
): Promise<readonly string[]> {
  if (wanted.length === 0) return [];
  const { lowerCaseTableNames } = await readServerFacts(pool);
  const keyOf = (name: string) => (lowerCaseTableNames === 0 ? name : foldName(name));
  const there = new Set(found.map(keyOf));
  return wanted.filter((name) => !there.has(keyOf(name)));
}
