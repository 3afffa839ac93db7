/**
 * `examine` reads the facts for `undrop doctor`: the server, the privileges of the service account
 * and the effects of missing ones, the resulting tier, and stored programs that drop tables. It
 * changes nothing.
 */

import { unlessRefused } from '../connections/errors.js';
import type { ServerFacts, ServicePool, SQLQuery } from '../connections/sql.js';
import { col, note, readServerFacts, sql, valueList } from '../connections/sql.js';
import { assert } from '../errors.js';
import { findRows } from '../ledger/read.js';
import { foldName, isUserSchema, RECYCLE_SCHEMA, SERVER_SCHEMAS } from '../names/names.js';
import { DROPPABLE } from '../sql/destroying.js';
import { hypotheses, modeFromSqlMode } from '../sql/lex/lex-mode.js';
import { Lexer } from '../sql/lex/lexer.js';
import { Unreadable } from '../sql/reading.js';
import { productName, type ServerVersion } from '../wire/connection/handshake-v10.js';
import * as ER from '../wire/server-errors.js';
import { type Need, needsOf, type Strictness, type Tier } from './grants.js';

export type Examination = Readonly<Awaited<ReturnType<typeof examine>>>;

/** The versions that the tests run on; major and minor. */
const TESTED: ReadonlySet<string> = new Set([
  'mysql 9.7',
  'mysql 5.6',
  'mariadb 10.5',
  'mariadb 10.11',
  'mariadb 11.8',
]);

/** `wanted`: schemas whose tables must be held. */
export async function examine(
  pool: ServicePool,
  { wanted = [] }: { readonly wanted?: readonly string[] } = {},
) {
  const server = await readServerFacts(pool);
  const strictness = await readStrictness(pool);
  const rights = { ...(await readRights(pool)), isLiteral: strictness.isLiteral };
  const schemas = await readSchemas(pool);
  const needs = needsOf({ ...server, ...strictness });
  const onSchemas = needs.filter(({ on }) => on === 'schemas');
  const seen = schemas.filter((schema) =>
    onSchemas.some(({ right }) => hasRight(rights, right, schema)),
  );
  const missing = needs.flatMap((need) => missingOf(need, rights, seen));
  const heldSomehow = missing.some(({ refuses }) => refuses) ? [] : seen;
  const mayRename = (schema: string) => RENAMING.every((right) => hasRight(rights, right, schema));
  return {
    account: rights.account,
    server: describe(server),
    readOnly: server.readOnly,
    /** Null: an essential privilege is missing. */
    tier: tierOf(rights, missing),
    /** Schemas whose tables are held, perhaps with the limits in `missing`. */
    held: heldSomehow.filter(mayRename),
    /** Schemas whose tables stay there while held, because the account may not move them. */
    heldInPlace: heldSomehow.filter((schema) => !mayRename(schema)),
    /** Schemas without any privileges of the account: a drop there is refused. */
    refused: schemas.filter((schema) => !seen.includes(schema)),
    /** Wanted schemas that don't exist, or that the account has no privileges on. */
    notHeld: await missingSchemas(pool, wanted, heldSomehow),
    missing,
    /** Torn tables as `schema.table`, as recovery found them. */
    torn: await findTorn(pool),
    programs: await findPrograms(pool, server),
    /** False: there may be procedures and functions that this account can't see. */
    seesAllPrograms: SEES_PROGRAMS.some((right) => hasRight(rights, right, null)),
  };
}

/** Empty if the ledger is absent or can't be read, which is reported elsewhere. */
async function findTorn(pool: ServicePool): Promise<readonly string[]> {
  const intents = findRows(pool, { by: 'intent' }, { texts: false });
  const rows = await unlessRefused(intents, [], ...ER.ABSENT_TABLE, ...ER.ACCESS_DENIED);
  const torn = rows.filter(({ pendingWork }) => pendingWork?.todo === 'torn');
  return torn.map(({ schema, table }) => `${schema}.${table}`);
}

/** `isLiteral`: names of schemas in grants aren't patterns (MySQL 8.0.16 and later). */
export async function readStrictness(
  pool: ServicePool,
): Promise<Strictness & { readonly isLiteral: boolean }> {
  const [rows = []] = await pool.run(
    sql`SHOW GLOBAL VARIABLES WHERE Variable_name IN ('log_bin', 'log_bin_trust_function_creators',
        'sql_require_primary_key', 'sql_generate_invisible_primary_key',
        'table_encryption_privilege_check', 'partial_revokes')`,
  );
  const isOn = (name: string) =>
    rows.some((row) => col.text(row, 'Variable_name') === name && col.text(row, 'Value') === 'ON');
  return {
    triggersTakeSuper: isOn('log_bin') && !isOn('log_bin_trust_function_creators'),
    requiresPrimaryKey:
      isOn('sql_require_primary_key') || isOn('sql_generate_invisible_primary_key'),
    checksEncryption: isOn('table_encryption_privilege_check'),
    isLiteral: isOn('partial_revokes'),
  };
}

/** The privileges that move a table out of a schema. */
const RENAMING = ['ALTER', 'DROP'];

/** On the whole server; the second since MySQL 8.0.20. */
const SEES_PROGRAMS = ['SELECT', 'SHOW_ROUTINE'];

function describe({ flavour, version, versionId }: ServerFacts) {
  const [major, minor] = [Math.floor(versionId / 10_000), Math.floor(versionId / 100) % 100];
  const name = productName({ flavour });
  return { name, version, isTested: TESTED.has(`${flavour} ${major}.${minor}`) };
}

type MissingRight = Pick<Need, 'right' | 'isEssential' | 'without' | 'refuses'> & {
  /** On which it is missing; null: on the whole server. */
  readonly schemas: readonly string[] | null;
};

/** Separates the schema of the ledger from schemas of users, because the effects differ. */
function missingOf(need: Need, rights: Rights, seen: readonly string[]): readonly MissingRight[] {
  const { right, on, isEssential, without, withoutThere, refuses } = need;
  const isMissing = (schema: string | null) => !hasRight(rights, right, schema);
  const own = { right, isEssential, without, refuses };
  if (on === 'server') return isMissing(null) ? [{ ...own, schemas: null }] : [];
  const ours = [on === 'schemas' ? RECYCLE_SCHEMA : on].filter(isMissing);
  const there = withoutThere === null ? [] : seen.filter(isMissing);
  return [
    { ...own, schemas: ours },
    { ...own, schemas: there, without: withoutThere ?? '', refuses: false },
  ].filter(({ schemas }) => schemas.length > 0);
}

function tierOf(rights: Rights, missing: readonly MissingRight[]): Tier | null {
  if (missing.some(({ isEssential }) => isEssential)) return null;
  // Each essential privilege is on the whole server, or on the schemas one by one.
  if (RENAMING.some((right) => !hasRight(rights, right, null))) return 'least';
  return missing.length === 0 ? 'full' : 'managed';
}

/** The privileges of an account. */
export interface Rights {
  /** `undrop@%` */
  readonly account: string;
  readonly granted: readonly RightsOn[];
  /** Privileges that a grant on the whole server doesn't give on a schema: partial revokes. */
  readonly revoked: readonly RightsOn[];
  /** Schema names in grants aren't patterns. */
  readonly isLiteral: boolean;
}

interface RightsOn {
  readonly rights: readonly string[];
  /** A schema's name, or a pattern; null: the whole server. */
  readonly schema: string | null;
}

/** Reads the privileges of the account and of its active roles. */
async function readRights(pool: ServicePool): Promise<Omit<Rights, 'isLiteral'>> {
  const [current = []] = await pool.run(sql`SELECT ${note('look')} CURRENT_USER() AS account`);
  const [grants = []] = await pool.run(sql`SHOW GRANTS`);
  return {
    account: col.text(current[0] ?? {}, 'account'),
    ...parseGrants(grants.flatMap((row) => Object.values(row)).map(String)),
  };
}

const GRANT = /^(GRANT|REVOKE) (.+?) ON (?:\*|`((?:[^`]|``)+)`)\.\* (?:TO|FROM) /;

/** Parses SHOW GRANTS for schemas and the server; grants on tables are left out. */
export function parseGrants(texts: readonly string[]): Pick<Rights, 'granted' | 'revoked'> {
  const read = (verb: string) =>
    texts.flatMap((text) => {
      const [, found, rights = '', schema] = GRANT.exec(text) ?? [];
      if (found !== verb) return [];
      return [{ rights: rights.split(/, ?/), schema: schema?.replaceAll('``', '`') ?? null }];
    });
  return { granted: read('GRANT'), revoked: read('REVOKE') };
}

/** Whether the account has the privilege on a schema; null: on the whole server. */
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

/** The schemas of users that the account can see; without privileges that may be none. */
export async function readSchemas(pool: ServicePool): Promise<readonly string[]> {
  const [rows = []] = await pool.run(
    sql`SELECT ${note('look')} SCHEMA_NAME AS name FROM information_schema.SCHEMATA
        ORDER BY SCHEMA_NAME`,
  );
  return rows.map((row) => col.text(row, 'name')).filter(isUserSchema);
}

/** The schemas of `wanted` that aren't in `found`, by the server's rules on case. */
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

// ── stored programs ─────────────────────────────────────────────────────────────────────────────

export type Program = Readonly<Awaited<ReturnType<typeof findPrograms>>[number]>;

/**
 * Stored programs that drop or may drop tables, by schema and name: they run inside the server,
 * where undrop doesn't see their statements. The lexer for statements reads their bodies, under the
 * sql_mode that they were created with. `unread`: this account may not see its body.
 */
async function findPrograms(pool: ServicePool, server: ServerVersion) {
  const others = valueList(SERVER_SCHEMAS);
  const answers = await pool.run([
    sql`SELECT ${note('look')} ROUTINE_SCHEMA AS schemaName, ROUTINE_NAME AS name,
          ROUTINE_TYPE AS kind, ROUTINE_DEFINITION AS body, SQL_MODE AS sqlMode
        FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA NOT IN (${others})`,
    sql`SELECT ${note('look')} EVENT_SCHEMA AS schemaName, EVENT_NAME AS name,
          'EVENT' AS kind, EVENT_DEFINITION AS body, SQL_MODE AS sqlMode
        FROM information_schema.EVENTS WHERE EVENT_SCHEMA NOT IN (${others})`,
  ]);
  const programs = answers.flat().flatMap((row) => {
    const body = col.textOrNull(row, 'body');
    const does = body === null ? UNREAD : classifyProgram(body, server, col.text(row, 'sqlMode'));
    const [schema, name] = [col.text(row, 'schemaName'), col.text(row, 'name')];
    /** `procedure`, `function`, `event` … */
    const kind = col.text(row, 'kind').toLowerCase();
    return does === null ? [] : [{ key: `${schema}\0${name}`, schema, name, kind, does }];
  });
  return programs.sort((one, other) => (one.key < other.key ? -1 : 1));
}

const UNREAD = 'unread' as const;

/** `may drop`: it runs dynamic SQL. Null: it doesn't drop tables. */
export function classifyProgram(
  body: string,
  server: ServerVersion,
  sqlMode: string,
): ReturnType<typeof classifyTokens> {
  const bytes = Buffer.from(body);
  const [mode] = hypotheses(modeFromSqlMode(server, sqlMode, 'utf8mb4'), bytes);
  assert(mode !== undefined, 'a text can be read in one mode at least');
  const lexer = new Lexer({ bytes, mode });
  try {
    return classifyTokens(lexer);
  } catch (error) {
    if (error instanceof Unreadable) return 'may drop';
    throw error;
  }
}

function classifyTokens(lexer: Lexer): 'drops' | 'may drop' | null {
  let [before, isDynamic] = ['', false];
  for (let kind = lexer.next(); kind !== 'end' && kind !== 'error'; kind = lexer.next()) {
    const word = kind === 'word' ? lexer.token().text : '';
    if (before === 'DROP' && DROPPABLE.includes(word)) return 'drops';
    // CREATE OR REPLACE: the statement REPLACE is never followed by TABLE.
    if (before === 'REPLACE' && word === 'TABLE') return 'drops';
    isDynamic ||= word === 'PREPARE' && before !== 'DROP' && before !== 'DEALLOCATE';
    isDynamic ||= before === 'EXECUTE' && word === 'IMMEDIATE';
    before = word;
  }
  return isDynamic ? 'may drop' : null;
}

// ── replication filters ─────────────────────────────────────────────────────────────────────────
// Filters by the default schema of a session, as far as the server shows them. The service
// account's statements have none, and name other schemas than the user's: such a filter leaves some
// of a drop's statements out, and the replica stops or differs.
// https://dev.mysql.com/doc/refman/9.7/en/replication-rules-db-options.html

/** A sentence without a final period; null: no such filter is seen. */
export async function filterProblem(pool: ServicePool): Promise<string | null> {
  const { flavour, versionId } = await readServerFacts(pool);
  // Without the privilege for it, the server tells nothing; that is no reason to log in again.
  const read = async (text: SQLQuery) =>
    (await unlessRefused(pool.run(text, { fresh: false }), []))[0] ?? [];
  const isNew = flavour === 'mysql' && versionId >= 80_400;
  const logged = await read(isNew ? sql`SHOW BINARY LOG STATUS` : sql`SHOW MASTER STATUS`);
  const ofLog = logged.flatMap((row) =>
    ['Binlog_Do_DB', 'Binlog_Ignore_DB'].map((name) => [name, col.textOrNull(row, name) ?? '']),
  );
  const applied =
    flavour === 'mysql' && versionId < 80_000
      ? []
      : await read(flavour === 'mariadb' ? OF_MARIADB : OF_MYSQL);
  const ofReplica = applied.map((row) => Object.values(row).map(String));
  const found = [...ofLog, ...ofReplica].flatMap(([name = '', value = '']) =>
    value === '' ? [] : [`${name.toLowerCase().replaceAll('_', '-')}=${value}`],
  );
  return found.length === 0 ? null : `${found.join(', ')}: ${INSTEAD}`;
}

const INSTEAD =
  "such filters go by the default schema, which undrop's statements do not have, so a replica stops or differs; filter by tables instead: replicate-wild-do-table=shop.% and replicate-wild-do-table=\\_undrop%.%";

const OF_MARIADB = sql`SHOW GLOBAL VARIABLES
  WHERE Variable_name IN ('replicate_do_db', 'replicate_ignore_db')`;
const OF_MYSQL = sql`SELECT ${note('look')} FILTER_NAME, FILTER_RULE
    FROM performance_schema.replication_applier_global_filters
    WHERE FILTER_NAME LIKE 'REPLICATE%DB'
  UNION SELECT FILTER_NAME, FILTER_RULE FROM performance_schema.replication_applier_filters
    WHERE FILTER_NAME LIKE 'REPLICATE%DB'`;
