/**
 * A schema without its tables: lists its views, routines, events and packages, reads their
 * properties, and creates the schema and them again from these, under the same sql_mode, charsets
 * and time zone.
 *
 * Invariant: an existing part is never replaced.
 */

import { isServerError, refusalFor } from '../../connections/errors.js';
import { runWithTimeout } from '../../connections/pool/statement-timeout.js';
import type { Row, ServicePool, SQLQuery } from '../../connections/sql.js';
import { col, ident, note, quoteIdentifier, sql } from '../../connections/sql.js';
import { assert, UndropError } from '../../errors.js';
import { inCharset, QUOTED } from '../../held/triggers/definition.js';
import { inOrder, type SchemaDetails, type SchemaPart } from '../../ledger/schema-details.js';
import * as ER from '../../wire/server-errors.js';
import { ifDenied } from '../plan-restore.js';

export type PartName = Pick<SchemaPart, 'name' | 'kind'>;
export type LivePart = Omit<SchemaPart, 'name' | 'kind'>;

/** The names of all existing views and programs. */
export async function listParts(pool: ServicePool, schema: string): Promise<readonly PartName[]> {
  const [rows = []] = await pool.run(
    sql`SELECT ${note('look')} TABLE_NAME AS name, 'VIEW' AS kind FROM information_schema.TABLES
        WHERE TABLE_SCHEMA = ${schema} AND TABLE_TYPE = 'VIEW'
      UNION ALL SELECT ROUTINE_NAME, ROUTINE_TYPE FROM information_schema.ROUTINES
        WHERE ROUTINE_SCHEMA = ${schema}
      UNION ALL SELECT EVENT_NAME, 'EVENT' FROM information_schema.EVENTS
        WHERE EVENT_SCHEMA = ${schema}`,
  );
  return rows.map((row) => {
    return { name: col.text(row, 'name'), kind: col.text(row, 'kind').toUpperCase() };
  });
}

/** SHOW CREATE of each kind, and the column of its result that has the text. */
const SHOWN: Readonly<Record<string, readonly [SQLQuery, string]>> = {
  VIEW: [sql`VIEW`, 'Create View'],
  PROCEDURE: [sql`PROCEDURE`, 'Create Procedure'],
  FUNCTION: [sql`FUNCTION`, 'Create Function'],
  EVENT: [sql`EVENT`, 'Create Event'],
  TRIGGER: [sql`TRIGGER`, 'SQL Original Statement'],
  PACKAGE: [sql`PACKAGE`, 'Create Package'],
  'PACKAGE BODY': [sql`PACKAGE BODY`, 'Create Package Body'],
};

/** Columns of these results with the settings of its creation. */
const MAKING = [
  ['sqlMode', 'sql_mode'],
  ['characterSetClient', 'character_set_client'],
  ['collationConnection', 'collation_connection'],
  ['databaseCollation', 'Database Collation'],
  ['timeZone', 'time_zone'],
] as const;

/** Null: it can't be read, because it is gone or broken, or the account may not. */
export async function showPart(
  pool: ServicePool,
  schema: string,
  { name, kind }: PartName,
): Promise<LivePart | null> {
  const [what, column] = SHOWN[kind] ?? [null, ''];
  if (what === null) return null;
  try {
    const [rows = []] = await pool.run(sql`SHOW CREATE ${what} ${ident(schema, name)}`);
    const row: Row = rows[0] ?? {};
    const text = column in row ? col.textOrNull(row, column) : null;
    // Its bytes are not text in its charset, and would come back as others.
    const statement = text?.includes('\uFFFD') ? null : text;
    const making = MAKING.flatMap(([key, from]) => {
      const value = from in row ? col.textOrNull(row, from) : null;
      return value === null ? [] : [[key, value] as const];
    });
    return { statement, ...Object.fromEntries(making) };
  } catch (error) {
    // The drop fails because of a lock, and can be repeated.
    if (isServerError(error) && !isServerError(error, ...ER.LOCK_NOT_GRANTED)) return null;
    throw error;
  }
}

export async function dropPart(
  pool: ServicePool,
  schema: string,
  { name, kind }: PartName,
): Promise<void> {
  const [what] = SHOWN[kind] ?? [];
  assert(what !== undefined, 'it was shown');
  await pool.run(sql`DROP ${what} ${note('part')} IF EXISTS ${ident(schema, name)}`);
}

/**
 * Whether this account has the privileges on a routine that the server would grant to its creator
 * (automatic_sp_privileges). MySQL 5.6 creates another account of its name for that, without a
 * password, unless the routine's sql_mode has NO_AUTO_CREATE_USER. `id`: for a name that isn't in
 * use.
 */
async function mayCreateRoutines(pool: ServicePool, schema: string, id: string): Promise<boolean> {
  for (const probe of probesOf(schema, id)) {
    try {
      // It changes nothing.
      await pool.logging(true).run(probe);
    } catch (error) {
      if (isServerError(error, ER.PROCACCESS_DENIED_ERROR)) return false;
      if (!isServerError(error, ER.SP_DOES_NOT_EXIST)) throw error;
    }
  }
  return true;
}

/** Statements that fail with `ER_SP_DOES_NOT_EXIST` for an account with these privileges. */
export function probesOf(schema: string, id: string): readonly SQLQuery[] {
  const none = ident(schema, `_undrop_none_${id}`);
  return [
    sql`ALTER PROCEDURE ${note('part', id)} ${none} COMMENT ''`,
    sql`CALL ${note('part', id)} ${none}()`,
  ];
}

/** The settings of its creation, in a single statement. */
export function partSettings(part: SchemaPart): SQLQuery {
  const { kind, sqlMode = '', characterSetClient = 'utf8mb4', timeZone } = part;
  const { collationConnection: collation } = part;
  const sets = [
    sql`character_set_client = ${characterSetClient}`,
    ...(collation === undefined ? [] : [sql`collation_connection = ${collation}`]),
    sql`sql_mode = ${sqlMode}`,
    // Older versions did not record it; most servers have one zone for all.
    ...(kind === 'EVENT' ? [sql`time_zone = ${timeZone ?? sql`@@GLOBAL.time_zone`}`] : []),
  ];
  return sql`SET ${note('part')} ${sql.join(sets, ', ')}`;
}

/** `CREATE DEFINER=… PROCEDURE `, and the name after it, if it has no schema. */
const NAMED_PART = new RegExp(
  `^(CREATE (?:ALGORITHM ?= ?\\w+ )?(?:DEFINER ?= ?${QUOTED}(?:@${QUOTED})? )?(?:SQL SECURITY \\w+ )?(?:AGGREGATE )?(?:VIEW|PROCEDURE|FUNCTION|TRIGGER|EVENT|PACKAGE BODY|PACKAGE) (?:IF NOT EXISTS )?)(${QUOTED}|\\w+)(\\.?)`,
  'i',
);

/**
 * Its statement for a session with another default schema, or none. Null if its name isn't found in
 * the text.
 */
export function qualifiedPart(
  schema: string,
  { name, statement }: Pick<SchemaPart, 'name' | 'statement'>,
): string | null {
  const [, before = '', quoted = '', dot = ''] = NAMED_PART.exec(statement ?? '') ?? [];
  if (statement === null || quoted === '') return null;
  if (dot !== '') return statement;
  const isName = [quoteIdentifier(name), `"${name.replaceAll('"', '""')}"`, name].includes(quoted);
  if (!isName) return null;
  return `${before}${quoteIdentifier(schema)}.${statement.slice(before.length)}`;
}

// ── creating all of them again ───────────────────────────────────────────────────────────────────
// In an order in which each finds the objects that it names; failed ones are tried once more after
// the others. May run twice: an existing part is compared with the recorded one, and left
// unchanged. A failed part doesn't affect the others.

export interface RestoredPart extends Pick<SchemaPart, 'kind' | 'name' | 'statement'> {
  /** Why it is missing or differs; null: it doesn't. */
  readonly problem: string | null;
  /** It is not there, and its statement is known. */
  readonly isMissing: boolean;
}

/** `id`: of the ledger's row of the schema. Rejects if the server can't be reached. */
export async function restoreParts(
  pool: ServicePool,
  schema: string,
  { id, parts }: { readonly id: string; readonly parts: readonly SchemaPart[] },
): Promise<readonly RestoredPart[]> {
  const there = new Set((await listParts(pool, schema)).map(partKey));
  const problems = new Map<SchemaPart, string>();
  let left = inOrder(parts).filter((part) => part.statement !== null && !there.has(partKey(part)));
  if (left.some(isRoutine) && !(await mayCreateRoutines(pool, schema, id))) {
    for (const part of left.filter(isRoutine)) problems.set(part, NO_RIGHTS);
    left = left.filter((part) => !isRoutine(part));
  }
  for (let before = Number.POSITIVE_INFINITY; left.length > 0 && left.length < before; ) {
    before = left.length;
    for (const part of left) {
      const problem = await make(pool, schema, part);
      if (problem === null) problems.delete(part);
      else problems.set(part, problem);
    }
    left = left.filter((part) => problems.has(part));
  }
  const reports: RestoredPart[] = [];
  for (const part of inOrder(parts)) {
    const { kind, name, statement } = part;
    const refusal = problems.get(part) ?? null;
    const problem = refusal ?? (await difference(pool, schema, { part, there }));
    reports.push({ kind, name, statement, problem, isMissing: refusal !== null });
  }
  return reports;
}

export function isRoutine({ kind }: PartName): boolean {
  return !['VIEW', 'EVENT', 'TRIGGER'].includes(kind);
}

const NO_RIGHTS =
  'the service account lacks ALTER ROUTINE or EXECUTE, and the server would grant them to it; `undrop init` prints the GRANT';

/** Names of some kinds differ in case only, as those of views do. */
export function partKey({ kind, name }: PartName): string {
  return `${kind} ${name}`;
}

/** The server's error, or that its charset lacks a character of it; null: it is created. */
async function make(pool: ServicePool, schema: string, part: SchemaPart): Promise<string | null> {
  const { statement, characterSetClient = 'utf8mb4' } = part;
  assert(statement !== null, 'its definition was recorded');
  try {
    const last = await inCharset(pool, statement, characterSetClient);
    const before = [sql`USE ${ident(schema)}`, partSettings(part)];
    await runWithTimeout(pool, before, { last });
    return null;
  } catch (error) {
    if (isServerError(error)) return error.sqlMessage;
    if (error instanceof UndropError && error.code === 'UNDROP_BAD_NAME') return error.message;
    throw error;
  }
}

async function difference(
  pool: ServicePool,
  schema: string,
  { part, there }: { readonly part: SchemaPart; readonly there: ReadonlySet<string> },
): Promise<string | null> {
  const wasThere = there.has(partKey(part));
  const now = await showPart(pool, schema, part);
  if (part.statement === null) {
    return wasThere
      ? null
      : 'its definition was not recorded: it could not be read, or there were too many';
  }
  if (now === null)
    return 'it was created, but no longer exists: the time of this event has passed';
  const keys = ['statement', ...MAKING.map(([key]) => key)] as const;
  const isOther = keys.some((key) => part[key] !== undefined && part[key] !== now[key]);
  return isOther ? 'it exists, but differs' : null;
}

// ── the schema itself ────────────────────────────────────────────────────────────────────────────

/** By the statement of SHOW CREATE DATABASE, with the new name. */
export async function createSchemaAs(
  pool: ServicePool,
  to: string,
  details: SchemaDetails,
): Promise<void> {
  const create = `CREATE DATABASE ${quoteIdentifier(to)}`;
  const last = Buffer.from(details.statement.replace(NAMED, () => create));
  try {
    await runWithTimeout(pool, sql`DO ${note('schema')} 0`, { last });
  } catch (error) {
    if (isServerError(error, ER.DB_CREATE_EXISTS)) return;
    const what = { step: `create schema ${to}`, server: 'the server' };
    throw refusalFor(error, [ifDenied(), [null, 'UNDROP_SERVICE_FAILED', what]]) ?? error;
  }
}

const NAMED = /^CREATE DATABASE `(?:[^`]|``)+`/;

/** An existing or altered schema may have another default. */
export async function schemaDifference(
  pool: ServicePool,
  to: string,
  { charset, collation }: SchemaDetails,
): Promise<string | null> {
  const [rows = []] = await pool.run(
    sql`SELECT ${note('look')} DEFAULT_COLLATION_NAME AS collation FROM information_schema.SCHEMATA
        WHERE SCHEMA_NAME = ${to}`,
  );
  const now = col.text(rows[0] ?? { collation: '' }, 'collation');
  if (now === collation) return null;
  return `its default is ${now}; ALTER DATABASE ${quoteIdentifier(to)} CHARACTER SET ${charset} COLLATE ${collation}; makes it what it was`;
}
