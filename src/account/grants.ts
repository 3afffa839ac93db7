/**
 * A table of the privileges that the service account needs, for which purpose, and on which
 * server; `undrop init` makes its statements of it and `undrop doctor` its checks. Pure.
 *
 * full      everything, including triggers of other definers and unlogged purges
 * managed   without the privileges that managed servers keep for themselves; tables that need them
 * stay in their own schema
 * least     as `managed`, on named schemas only
 */

import { grantClause, renderQuery, type SQLQuery, sql } from '../connections/sql.js';
import { RECYCLE_SCHEMA, RECYCLE_SCHEMA_LOCAL } from '../names/names.js';
import { isMysql8, type ServerVersion } from '../wire/connection/handshake-v10.js';

export const TIERS = ['full', 'managed', 'least'] as const;
export type Tier = (typeof TIERS)[number];

export interface Need {
  readonly right: string;
  /** On undrop's schemas and on every schema whose tables are held; or on the whole server. */
  readonly on: 'schemas' | 'server' | 'performance_schema';
  /** False: without it, undrop works with a restriction. */
  readonly isEssential: boolean;
  /** The effect of its absence on the server, or on undrop's own schemas. */
  readonly without: string;
  /** The effect of its absence on a schema of users; null: not needed there. */
  readonly withoutThere: string | null;
  /** Without it on the server or on undrop's own schema, undrop holds no drop at all. */
  readonly refuses: boolean;
}

/** Settings of a server that make its tables take further privileges; default: off. */
export interface Strictness {
  /** The binary log is on, and log_bin_trust_function_creators off. */
  readonly triggersTakeSuper?: boolean;
  /** sql_require_primary_key or sql_generate_invisible_primary_key. */
  readonly requiresPrimaryKey?: boolean;
  /** table_encryption_privilege_check. */
  readonly checksEncryption?: boolean;
}

/** A server, and the settings that decide which privileges it needs. */
interface GrantingServer extends ServerVersion, Strictness {
  /** Default true. */
  readonly performanceSchema?: boolean;
}

const NO_LEDGER = 'undrop cannot read or write the ledger: every drop is refused';
const IN_PLACE =
  'held tables stay in their own schema under their hold name: no restore, no removal';

const NO_RESTORE =
  'held tables cannot be restored into it; DROP DATABASE is refused, and TRUNCATE where UNDROP_PROTECT has it';
const NO_SIGHT =
  'DROP DATABASE is refused, and TRUNCATE where UNDROP_PROTECT has it; rules cannot see whether a table is empty';

const NO_VIEWS = 'a restored schema lacks its views';
const NO_ROUTINES = 'a restored schema lacks its procedures and functions';
const NO_EVENTS =
  'events are not recorded: a restored schema lacks them; the doctor does not see events that drop tables';
/** Effects that only restrict undrop. */
const OPTIONAL: readonly string[] = [NO_VIEWS, NO_ROUTINES, NO_EVENTS];

/** `there`: the effect on a schema of users, if it differs. */
const ON_SCHEMAS: readonly (readonly [right: string, without: string, there?: string | null])[] = [
  ['SELECT', NO_LEDGER, NO_SIGHT],
  ['INSERT', NO_LEDGER, NO_RESTORE],
  ['UPDATE', 'drops stay intents in the ledger, without a definition and a restore script', null],
  ['DELETE', 'rows are not purged, and refused drops leave intents behind', null],
  ['CREATE', `undrop cannot create a missing ledger; ${IN_PLACE}`, NO_RESTORE],
  ['DROP', IN_PLACE],
  ['ALTER', IN_PLACE],
  ['REFERENCES', 'a restored table lacks its foreign keys (MySQL 5.7 and later)'],
  ['TRIGGER', 'undrop cannot see triggers: they stay on the held table, in its own schema'],
  ['SHOW VIEW', 'definitions of views are not recorded when their schema is dropped'],
  ['CREATE VIEW', NO_VIEWS],
  ['CREATE ROUTINE', NO_ROUTINES],
  // With these two the server grants nothing on a routine to who creates it
  // (recycle/schema/schema-parts.ts).
  ['ALTER ROUTINE', NO_ROUTINES],
  ['EXECUTE', NO_ROUTINES],
  ['EVENT', NO_EVENTS],
];

/** The needs in the order of their grants. */
export function needsOf(server: GrantingServer): readonly Need[] {
  const base = ON_SCHEMAS.map(([right, without, there = without]): Need => {
    const refuses = without === NO_LEDGER;
    const isEssential = !OPTIONAL.includes(without);
    return { right, on: 'schemas', isEssential, without, withoutThere: there, refuses };
  });
  const seen = "undrop cannot find the user's session on its server: every drop is refused";
  const locks = "undrop cannot see the locks of the user's session: every drop is refused";
  const refusing = { isEssential: true, withoutThere: null, refuses: true };
  return [
    ...base,
    { ...refusing, right: 'PROCESS', on: 'server', without: seen },
    ...(showsLocks(server)
      ? [{ ...refusing, right: 'SELECT', on: 'performance_schema', without: locks } as const]
      : []),
    ...extrasOf(server),
  ];
}

/** Whether a session can see the locks of others, which undrop checks before each drop. */
function showsLocks({ performanceSchema = true, ...server }: GrantingServer): boolean {
  return isMysql8(server) && performanceSchema;
}

const UNLOGGED =
  'tables dropped with sql_log_bin=0 stay in their own schema, and purges are in the binary log';
const OTHER_DEFINERS =
  'triggers, views and programs of other definers come back only by UNDROP of a user who may create them, or by hand (undrop show --sql)';
/** The parts that an account without the tier `full` cannot bring back, and the remedy. */
export const WITHOUT_FULL = `${OTHER_DEFINERS}; the tier full restores them: \`undrop init --tier full\``;
const BINLOG = 'as the binary log is on and log_bin_trust_function_creators is off';
const NO_TRIGGER = `triggers come back only by UNDROP of a user who may create them, or by hand (undrop show --sql), ${BINLOG}`;
const WITHOUT_SUPER = `tables with triggers stay in their own schema, with their triggers, and a schema with such a table cannot be dropped, ${BINLOG}`;

const KEYLESS = {
  right: 'SESSION_VARIABLES_ADMIN',
  without:
    'as the server requires primary keys, tables without one are not dropped if foreign keys bind them, and lack these after a restore; TRUNCATE of them is refused where UNDROP_PROTECT has it',
  why: 'tables without a primary key, which this server requires',
};
const ENCRYPTION = {
  right: 'TABLE_ENCRYPTION_ADMIN',
  without:
    'as table_encryption_privilege_check is on, tables of schemas with another default encryption than that of _undrop stay in their own schema, and cannot be dropped with it',
  why: 'schemas of different default encryptions, which this server checks',
};

/** Privileges of every tier on a server with such a setting. */
function strictRights({ requiresPrimaryKey = false, checksEncryption = false }: Strictness) {
  return [...(requiresPrimaryKey ? [KEYLESS] : []), ...(checksEncryption ? [ENCRYPTION] : [])];
}

/** The privileges that only the tier `full` has, and those that settings of the server take. */
function extrasOf(server: GrantingServer): readonly Need[] {
  const lost = new Map<string, string>();
  const add = (right: string, without: string) => {
    const others = lost.get(right);
    lost.set(right, others === undefined ? without : `${others}; ${without}`);
  };
  for (const { right, without } of strictRights(server)) add(right, without);
  add(unlogRight(server), UNLOGGED);
  for (const right of definerRights(server)) {
    const isForAll = right === 'SUPER' && server.triggersTakeSuper === true;
    // MySQL 8 and later: DROP TRIGGER doesn't need SUPER.
    const ofAll = isMysql8(server) ? NO_TRIGGER : WITHOUT_SUPER;
    add(right, isForAll ? ofAll : OTHER_DEFINERS);
  }
  const extra = { on: 'server', isEssential: false, withoutThere: null, refuses: false } as const;
  return [...lost].map(([right, without]) => ({ ...extra, right, without }));
}

/** The privilege for `SET sql_log_bin`. */
function unlogRight({ flavour, versionId }: ServerVersion): string {
  if (flavour === 'mariadb') return versionId >= 100_502 ? 'BINLOG ADMIN' : 'SUPER';
  return versionId >= 80_014 ? 'SESSION_VARIABLES_ADMIN' : 'SUPER';
}

/**
 * The privileges for `CREATE DEFINER=… TRIGGER` with the original definer. With the binary log on,
 * every server requires SUPER for any trigger, unless log_bin_trust_function_creators is on.
 */
function definerRights({ flavour, versionId }: ServerVersion): readonly string[] {
  if (flavour === 'mariadb') return versionId >= 100_502 ? ['SET USER', 'SUPER'] : ['SUPER'];
  if (versionId < 80_000) return ['SUPER'];
  const system = versionId >= 80_016 ? ['SYSTEM_USER'] : [];
  if (versionId < 80_200) return ['SET_USER_ID', 'SUPER', ...system];
  return ['SET_ANY_DEFINER', 'SUPER', ...system];
}

export interface Account {
  readonly user: string;
  readonly host: string;
}

export interface Grant {
  readonly rights: readonly string[];
  /** A schema, as a pattern where the server reads it as one; null: the whole server. */
  readonly schema: string | null;
  readonly why: string;
  /** Undrop works without it; an administrator of a managed server may not have it. */
  readonly isOptional?: true;
}

interface GrantOptions {
  readonly tier: Tier;
  /** The schemas of the tier `least`. */
  readonly schemas: readonly string[];
  /** A `_` in a schema's name is literal, because with partial_revokes names aren't patterns. */
  readonly isLiteral: boolean;
}

/** The grants that the account needs on such a server. */
export function grantsFor(server: GrantingServer, options: GrantOptions): readonly Grant[] {
  const needs = needsOf(server);
  const onSchemas = needs.filter(({ on }) => on === 'schemas').map(({ right }) => right);
  const strict = strictRights(server).map(({ right, why }): Grant => {
    return { rights: [right], schema: null, why, isOptional: true };
  });
  if (options.tier === 'least') return [...leastGrants(server, onSchemas, options), ...strict];
  const base: Grant = {
    rights: [...onSchemas, 'PROCESS'],
    schema: null,
    why: 'the ledger, moving held tables, giving them back, removing them',
  };
  if (options.tier === 'managed') return [base, ...strict];
  const extras = extrasOf(server).map(({ right }) => right);
  return [
    base,
    {
      rights: extras,
      schema: null,
      why: 'sql_log_bin=0, triggers, views and programs of other definers',
    },
  ];
}

/** The further grants of a server whose settings were not read, for a client; null: none. */
export function strictGrants(
  { flavour, versionId }: ServerVersion,
  account: Account,
): string | null {
  if (flavour !== 'mysql' || versionId < STRICT_SINCE) return null;
  const textOf = ({ right, why }: typeof KEYLESS) =>
    renderQuery(grantSql({ rights: [right], schema: null, why }, account));
  return [
    `-- Where sql_require_primary_key is ON, also: ${textOf(KEYLESS)};`,
    `-- Where table_encryption_privilege_check is ON, also: ${textOf(ENCRYPTION)};`,
  ].join('\n');
}

/** The first version of MySQL that has both settings. */
const STRICT_SINCE = 80_016;

function leastGrants(
  server: ServerVersion,
  rights: readonly string[],
  { schemas, isLiteral }: GrantOptions,
): readonly Grant[] {
  const own = isLiteral ? [RECYCLE_SCHEMA, RECYCLE_SCHEMA_LOCAL] : ['\\_undrop%'];
  const why = 'the ledger and the held tables';
  const grants: Grant[] = [
    { rights: ['PROCESS'], schema: null, why: 'to see the sessions that drop' },
    ...own.map((schema) => ({ rights, schema, why })),
    ...schemas.map((schema) => ({
      rights,
      schema: isLiteral ? schema : escapePattern(schema),
      why: 'a schema whose tables are held',
    })),
  ];
  if (showsLocks(server)) {
    const schema = isLiteral ? 'performance_schema' : 'performance\\_schema';
    grants.push({ rights: ['SELECT'], schema, why: 'to see LOCK TABLES' });
  }
  return grants;
}

/** In GRANT a schema's name is a pattern. */
function escapePattern(schema: string): string {
  return schema.replaceAll(/[_%\\]/g, '\\$&');
}

/** `requiresTls`: login requires TLS. */
export function createUserSql(
  { user, host }: Account,
  password: string,
  { requiresTls, server }: { readonly requiresTls: boolean; readonly server: ServerVersion },
): readonly SQLQuery[] {
  const made = sql`CREATE USER ${user}@${host} IDENTIFIED BY ${password}`;
  if (!requiresTls) return [made];
  const isOld = server.flavour === 'mysql' && server.versionId < REQUIRE_SINCE;
  return isOld
    ? [made, sql`GRANT USAGE ON *.* TO ${user}@${host} REQUIRE SSL`]
    : [sql`${made} REQUIRE SSL`];
}

/** MySQL: earlier versions lack the clause in CREATE USER; MySQL 8 lacks it in GRANT. */
const REQUIRE_SINCE = 50_706;

export function grantSql({ rights, schema }: Grant, { user, host }: Account): SQLQuery {
  return sql`GRANT ${grantClause(rights, schema)} TO ${user}@${host}`;
}

/** The statement, for a client, that leaves an account only its login. */
export function takeAwayAll({ user, host }: Account): string {
  return renderQuery(sql`REVOKE ALL PRIVILEGES, GRANT OPTION FROM ${user}@${host}`);
}

/** Statements for a client, to run unchanged. */
export function printStatements(
  account: Account,
  made: ReturnType<typeof createUserSql>,
  grants: readonly Grant[],
): string {
  const lines = grants.map((grant) => `${renderQuery(grantSql(grant, account))};  -- ${grant.why}`);
  return [...made.map((query) => `${renderQuery(query)};`), ...lines].join('\n');
}
