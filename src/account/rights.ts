/**
 * Reads the privileges of the service account, and the schemas of users that it sees. Every
 * account may read its own privileges, and those of its active roles.
 */
import { foldName } from '../names/names.js';
import type { ServicePool } from '../service/pool/pools.js';
import { textOf } from '../service/row.js';
import { readServerFacts } from '../service/server-facts.js';
import { note, sql } from '../service/sql.js';
import { hasPartialRevokes } from './apply.js';

export interface Rights {
  /** `undrop@%` */
  readonly account: string;
  readonly granted: readonly RightsOn[];
  /** What a grant on the whole server doesn't give on a schema: partial revokes. */
  readonly revoked: readonly RightsOn[];
  /** Names are no patterns. */
  readonly isLiteral: boolean;
}

interface RightsOn {
  readonly rights: readonly string[];
  /** A schema's name, or the pattern of names; null: the whole server. */
  readonly schema: string | null;
}

/** With those of its active roles. */
export async function readRights(pool: ServicePool): Promise<Rights> {
  const [current = []] = await pool.run(sql`SELECT ${note('look')} CURRENT_USER() AS account`);
  const [grants = []] = await pool.run(sql`SHOW GRANTS`);
  return {
    account: textOf(current[0] ?? {}, 'account'),
    ...parseGrants(grants.flatMap((row) => Object.values(row)).map(String)),
    isLiteral: await hasPartialRevokes(pool),
  };
}

const GRANT = /^(GRANT|REVOKE) (.+?) ON (?:\*|`((?:[^`]|``)+)`)\.\* (?:TO|FROM) /;

/** What SHOW GRANTS says of schemas and of the server; what is said of tables is left out. */
export function parseGrants(texts: readonly string[]): Pick<Rights, 'granted' | 'revoked'> {
  const read = (verb: string) =>
    texts.flatMap((text) => {
      const [, found, rights = '', schema] = GRANT.exec(text) ?? [];
      if (found !== verb) return [];
      return [{ rights: rights.split(/, ?/), schema: schema?.replaceAll('``', '`') ?? null }];
    });
  return { granted: read('GRANT'), revoked: read('REVOKE') };
}

/** Whether the account has that right on a schema of that name; null: on the whole server. */
export function hasRight(rights: Rights, right: string, schema: string | null): boolean {
  const isIn = (on: RightsOn) => on.rights.some((one) => [right, 'ALL PRIVILEGES'].includes(one));
  return rights.granted.filter(isIn).some((on) => {
    if (on.schema !== null) return schema !== null && isMeant(on.schema, schema, rights);
    return !rights.revoked.some((one) => one.schema === schema && isIn(one));
  });
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
