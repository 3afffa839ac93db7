/**
 * What `undrop doctor` finds: the server, the rights of the service account and what is lost
 * without the missing ones, the tier that comes out of it, and what drops tables where nobody sees
 * it. Changes nothing.
 */
import { RECYCLE_SCHEMA } from '../names/recycle-schema.js';
import type { ServicePool } from '../service/pools.js';
import { textOf } from '../service/row.js';
import { readServerFacts, type ServerFacts } from '../service/server-facts.js';
import { note, sql } from '../service/sql.js';
import { type Need, needsOf, type Tier } from './grants.js';
import { findPrograms, type Program } from './programs.js';
import { hasRight, type Rights, readRights } from './rights.js';

export interface MissingRight {
  readonly right: string;
  /** Where it is missing; null: on the server as a whole. */
  readonly schemas: readonly string[] | null;
  readonly isEssential: boolean;
  readonly without: string;
}

export interface Examination {
  readonly account: string;
  readonly server: { readonly name: string; readonly version: string; readonly isTested: boolean };
  readonly readOnly: boolean;
  /** Null: something essential is missing. */
  readonly tier: Tier | null;
  /** Schemas whose tables are held, if not in every respect: `missing` says what is less. */
  readonly held: readonly string[];
  /** Schemas on which the account has no rights: a drop there is refused. */
  readonly refused: readonly string[];
  readonly missing: readonly MissingRight[];
  readonly programs: readonly Program[];
  /** False: there may be procedures and functions that this account can't even see. */
  readonly seesAllPrograms: boolean;
}

/** The versions that every test runs on; major and minor. */
const TESTED: ReadonlySet<string> = new Set([
  'mysql 9.7',
  'mysql 5.6',
  'mariadb 10.11',
  'mariadb 11.8',
]);

export async function examine(pool: ServicePool): Promise<Examination> {
  const server = await readServerFacts(pool);
  const rights = await readRights(pool);
  const schemas = await readSchemas(pool);
  const needs = needsOf(server);
  const seen = schemas.filter((schema) => hasAny(rights, needs, schema));
  const missing = needs.flatMap((need) => missingOf(need, rights, seen));
  return {
    account: rights.account,
    server: describe(server),
    readOnly: server.readOnly,
    tier: tierOf(rights, missing),
    held: needs.some((need) => need.refuses && isMissing(need, rights)) ? [] : seen,
    refused: schemas.filter((schema) => !seen.includes(schema)),
    missing,
    programs: await findPrograms(pool, server),
    seesAllPrograms: SEES_PROGRAMS.some((right) => rights.server.has(right)),
  };
}

/** On the server as a whole; the second since MySQL 8.0.20. */
const SEES_PROGRAMS = ['SELECT', 'SHOW_ROUTINE'];

function describe({ flavour, version, versionId }: ServerFacts): Examination['server'] {
  const [major, minor] = [Math.floor(versionId / 10_000), Math.floor(versionId / 100) % 100];
  const name = flavour === 'mysql' ? 'MySQL' : 'MariaDB';
  return { name, version, isTested: TESTED.has(`${flavour} ${major}.${minor}`) };
}

/** Of the users: none of the server's own, and none of ours. */
async function readSchemas(pool: ServicePool): Promise<readonly string[]> {
  const [rows = []] = await pool.run(
    sql`SELECT ${note('look')} SCHEMA_NAME AS name FROM information_schema.SCHEMATA
        WHERE SCHEMA_NAME NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema')
          AND SCHEMA_NAME NOT LIKE '\\_undrop%' ORDER BY SCHEMA_NAME`,
  );
  return rows.map((row) => textOf(row, 'name'));
}

function hasAny(rights: Rights, needs: readonly Need[], schema: string): boolean {
  return needs.some(({ on, right }) => on === 'schemas' && hasRight(rights, right, schema));
}

/** On the server, or where the ledger is. */
function isMissing({ right, on }: Need, rights: Rights): boolean {
  return on === 'server' ? !rights.server.has(right) : !hasRight(rights, right, RECYCLE_SCHEMA);
}

function missingOf(
  { right, on, isEssential, without }: Need,
  rights: Rights,
  seen: readonly string[],
): readonly MissingRight[] {
  if (on === 'server') {
    return rights.server.has(right) ? [] : [{ right, schemas: null, isEssential, without }];
  }
  const schemas = [RECYCLE_SCHEMA, ...seen].filter((schema) => !hasRight(rights, right, schema));
  return schemas.length === 0 ? [] : [{ right, schemas, isEssential, without }];
}

function tierOf(rights: Rights, missing: readonly MissingRight[]): Tier | null {
  if (missing.some(({ isEssential }) => isEssential)) return null;
  // Each essential right is on the server as a whole, or on the schemas one by one.
  if (!rights.server.has('ALTER') || !rights.server.has('DROP')) return 'least';
  return missing.length === 0 ? 'full' : 'managed';
}
