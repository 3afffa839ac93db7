/**
 * One table says which privileges the service account needs, for what, and on which server;
 * `undrop init` makes its statements of it and `undrop doctor` its questions. Pure.
 *
 *   full      everything, exactly: also triggers of other definers, and what no replica sees
 *   managed   without what a managed server keeps for itself: what needs it is held in place
 *   least     as `managed`, on named schemas only
 */
import { RECYCLE_SCHEMA, RECYCLE_SCHEMA_LOCAL, spareSchemasFor } from '../names/names.js';
import { grantClause, renderQuery, type SQLQuery, sql } from '../service/sql.js';
import type { ServerVersion } from '../wire/connection/handshake-v10.js';

export const TIERS = ['full', 'managed', 'least'] as const;
export type Tier = (typeof TIERS)[number];

export interface Need {
  readonly right: string;
  /** On every schema whose tables are to be held and on our own; or on the server as a whole. */
  readonly on: 'schemas' | 'server' | 'performance_schema';
  /** Without it the product doesn't do its work; or one thing less exactly. */
  readonly isEssential: boolean;
  /** What happens without it on the server, or on undrop's own schemas. */
  readonly without: string;
  /** What happens without it on a schema of users; null: nothing there needs it. */
  readonly withoutThere: string | null;
  /** Without it on the server or on undrop's own schema, no drop is held anywhere. */
  readonly refuses: boolean;
}

/** A server, and what else decides which rights it takes. */
interface GrantingServer extends ServerVersion {
  /** Default true. */
  readonly performanceSchema?: boolean;
  /** The binary log is on, and log_bin_trust_function_creators off. Default false. */
  readonly triggersTakeSuper?: boolean;
}

const NO_LEDGER = 'the ledger can’t be read or written: every drop is refused';
const IN_PLACE =
  'held tables stay in their own schema under their hold name; no restore, no removal';

const NO_RESTORE =
  'held tables can’t be given back to it; DROP DATABASE is refused, and TRUNCATE and DROP PARTITION where UNDROP_PROTECT has them';
const NO_SIGHT =
  'DROP DATABASE is refused, and TRUNCATE and DROP PARTITION where UNDROP_PROTECT has them; rules can’t see that a table is empty';

const WITHOUT_LOCKS = 'ALTER TABLE … DROP PARTITION is refused where UNDROP_PROTECT has it';
const NO_VIEWS = 'views don’t come back with a schema that was dropped';
const NO_ROUTINES = 'procedures and functions don’t come back with a schema that was dropped';
const NO_EVENTS =
  'events are not recorded, and don’t come back with a schema that was dropped; the doctor doesn’t see those that drop tables';
/** One thing less exactly. */
const OPTIONAL: readonly string[] = [WITHOUT_LOCKS, NO_VIEWS, NO_ROUTINES, NO_EVENTS];

/** `there`: on a schema of users, if that is something else. */
const ON_SCHEMAS: readonly (readonly [right: string, without: string, there?: string | null])[] = [
  ['SELECT', NO_LEDGER, NO_SIGHT],
  ['INSERT', NO_LEDGER, NO_RESTORE],
  ['UPDATE', 'drops stay intents in the ledger, without a definition and a restore script', null],
  ['DELETE', 'rows are not purged, and refused drops leave intents behind', null],
  ['CREATE', `a ledger that is not there can’t be made; ${IN_PLACE}`, NO_RESTORE],
  ['DROP', IN_PLACE],
  ['ALTER', IN_PLACE],
  ['REFERENCES', 'foreign keys don’t come back with a restored table (MySQL 5.7 and later)'],
  ['TRIGGER', 'triggers are not seen: they stay on the held table, in its own schema'],
  ['SHOW VIEW', 'definitions of views are not recorded when their schema is dropped'],
  ['LOCK TABLES', WITHOUT_LOCKS],
  ['CREATE VIEW', NO_VIEWS],
  ['CREATE ROUTINE', NO_ROUTINES],
  // With these two the server grants nothing on a routine to who creates it; schema-parts.ts.
  ['ALTER ROUTINE', NO_ROUTINES],
  ['EXECUTE', NO_ROUTINES],
  ['EVENT', NO_EVENTS],
];

/** The needs in the order in which they are granted. */
export function needsOf(server: GrantingServer): readonly Need[] {
  // MariaDB has a way to drop a partition that needs no lock.
  const onSchemas = ON_SCHEMAS.filter(
    ([, without]) => without !== WITHOUT_LOCKS || server.flavour === 'mysql',
  );
  const base = onSchemas.map(([right, without, there = without]): Need => {
    const refuses = without === NO_LEDGER;
    const isEssential = !OPTIONAL.includes(without);
    return { right, on: 'schemas', isEssential, without, withoutThere: there, refuses };
  });
  const seen = 'undrop can’t see that the user’s session is on its server: every drop is refused';
  const locks = 'undrop can’t see what the user’s session has locked: every drop is refused';
  const refusing = { isEssential: true, withoutThere: null, refuses: true };
  return [
    ...base,
    { ...refusing, right: 'PROCESS', on: 'server', without: seen },
    ...(tellsLocks(server)
      ? [{ ...refusing, right: 'SELECT', on: 'performance_schema', without: locks } as const]
      : []),
    ...extrasOf(server),
  ];
}

/** Whether a session can see the locks of others; undrop asks before each drop. */
function tellsLocks({ flavour, versionId, performanceSchema = true }: GrantingServer): boolean {
  return flavour === 'mysql' && versionId >= 80_000 && performanceSchema;
}

const UNLOGGED =
  'what is dropped with sql_log_bin=0 stays in its own schema, and purges are in the binary log';
const OTHER_DEFINERS =
  'triggers of other definers come back with their table only by UNDROP of a user who may create them, or by hand (undrop show --sql); views and programs of other definers don’t come back with a schema that was dropped';
const BINLOG = 'as the binary log is on and log_bin_trust_function_creators is off';
const NO_TRIGGER = `no trigger comes back but by UNDROP of a user who may create it, or by hand (undrop show --sql), ${BINLOG}`;
const WITHOUT_SUPER = `every table with triggers stays in its own schema, with them, and a schema with one isn’t dropped, ${BINLOG}`;

/** What the tier `full` has beyond the others. */
function extrasOf(server: GrantingServer): readonly Need[] {
  const lost = new Map<string, string>();
  const add = (right: string, without: string) => {
    const others = lost.get(right);
    lost.set(right, others === undefined ? without : `${others}; ${without}`);
  };
  add(unlogRight(server), UNLOGGED);
  for (const right of definerRights(server)) {
    const isForAll = right === 'SUPER' && server.triggersTakeSuper === true;
    // MySQL 8 and later: DROP TRIGGER takes none.
    const isDroppable = server.flavour === 'mysql' && server.versionId >= 80_000;
    const ofAll = isDroppable ? NO_TRIGGER : WITHOUT_SUPER;
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
 * The privileges for `CREATE DEFINER=… TRIGGER` as it was. With the binary log on every server
 * wants SUPER for any trigger, unless log_bin_trust_function_creators is on.
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
  /** A schema, as a pattern if the server takes it for one; null: the server as a whole. */
  readonly schema: string | null;
  readonly why: string;
}

interface GrantOptions {
  readonly tier: Tier;
  /** The schemas of the tier `least`. */
  readonly schemas: readonly string[];
  /** A `_` in a schema's name is itself: with partial_revokes there are no patterns. */
  readonly isLiteral: boolean;
}

/** What the account needs on such a server. */
export function grantsFor(server: ServerVersion, options: GrantOptions): readonly Grant[] {
  const needs = needsOf(server);
  const onSchemas = needs.filter(({ on }) => on === 'schemas').map(({ right }) => right);
  if (options.tier === 'least') return leastGrants(server, onSchemas, options);
  const base: Grant = {
    rights: [...onSchemas, 'PROCESS'],
    schema: null,
    why: 'the ledger, moving held tables, giving them back, removing them',
  };
  if (options.tier === 'managed') return [base];
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

function leastGrants(
  server: ServerVersion,
  rights: readonly string[],
  { schemas, isLiteral }: GrantOptions,
): readonly Grant[] {
  const spare = [...spareSchemasFor(true), ...spareSchemasFor(false)];
  const own = isLiteral ? [RECYCLE_SCHEMA, RECYCLE_SCHEMA_LOCAL, ...spare] : ['\\_undrop%'];
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
  if (tellsLocks(server)) {
    const schema = isLiteral ? 'performance_schema' : 'performance\\_schema';
    grants.push({ rights: ['SELECT'], schema, why: 'to see LOCK TABLES' });
  }
  return grants;
}

/** In GRANT a schema's name is a pattern. */
function escapePattern(schema: string): string {
  return schema.replaceAll(/[_%\\]/g, '\\$&');
}

/** `requiresTls`: it may log in with TLS only. */
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

/** MySQL: before, CREATE USER has no such clause; MySQL 8 has none in GRANT. */
const REQUIRE_SINCE = 50_706;

export function grantSql({ rights, schema }: Grant, { user, host }: Account): SQLQuery {
  return sql`GRANT ${grantClause(rights, schema)} TO ${user}@${host}`;
}

/** A text for a client, of the statement that leaves an account nothing but its login. */
export function takeAwayAll({ user, host }: Account): string {
  return renderQuery(sql`REVOKE ALL PRIVILEGES, GRANT OPTION FROM ${user}@${host}`);
}

/** A text for a client, to be run as it is. */
export function printStatements(
  account: Account,
  made: ReturnType<typeof createUserSql>,
  grants: readonly Grant[],
): string {
  const lines = grants.map((grant) => `${renderQuery(grantSql(grant, account))};  -- ${grant.why}`);
  return [...made.map((query) => `${renderQuery(query)};`), ...lines].join('\n');
}
