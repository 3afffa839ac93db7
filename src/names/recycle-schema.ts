/**
 * The schemas that undrop owns. The first holds the dropped tables and the ledger; the local one
 * what was dropped with sql_log_bin off, as replicas don't have it and a logged statement that
 * names it would stop their replication. Beside each are spare ones: the name of a CHECK is unique
 * in its schema on MySQL, so two tables with a CHECK of one name need two schemas.
 */

export const RECYCLE_SCHEMA = '_undrop';
export const RECYCLE_SCHEMA_LOCAL = '_undrop_local';

/** How many tables can be held with a CHECK of one name; the next are held without theirs. */
const SCHEMAS_MAX = 32;

/** Where a dropped table goes: `logged` is whether the user's session wrote to the binary log. */
export function recycleSchemaFor(logged: boolean): string {
  return logged ? RECYCLE_SCHEMA : RECYCLE_SCHEMA_LOCAL;
}

/** Where a table goes if the first can't take it: `_undrop_2`, `_undrop_3` …, in this order. */
export function spareSchemasFor(logged: boolean): readonly string[] {
  const first = recycleSchemaFor(logged);
  return Array.from({ length: SCHEMAS_MAX - 1 }, (_, index) => `${first}_${index + 2}`);
}

const LOGGED: ReadonlySet<string> = new Set([RECYCLE_SCHEMA, ...spareSchemasFor(true)]);
const LOCAL: ReadonlySet<string> = new Set([RECYCLE_SCHEMA_LOCAL, ...spareSchemasFor(false)]);

/** Whether held tables are moved to it; the name as the server stores it. */
export function isRecycleSchema(schema: string): boolean {
  return LOGGED.has(schema) || LOCAL.has(schema);
}

/** Whether replicas don't have it. */
export function isLocalSchema(schema: string): boolean {
  return LOCAL.has(schema);
}
