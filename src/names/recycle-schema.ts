/**
 * The schemas that undrop owns. The first holds the dropped tables and the ledger; the second the
 * tables that were dropped with sql_log_bin off, as replicas don't have them and a logged statement
 * that names one would stop their replication.
 */

export const RECYCLE_SCHEMA = '_undrop';
export const RECYCLE_SCHEMA_LOCAL = '_undrop_local';

/** Every schema in which held tables are at home. */
export const RECYCLE_SCHEMAS: readonly string[] = [RECYCLE_SCHEMA, RECYCLE_SCHEMA_LOCAL];

/** Where a dropped table goes: `logged` is whether the user's session wrote to the binary log. */
export function recycleSchemaFor(logged: boolean): string {
  return logged ? RECYCLE_SCHEMA : RECYCLE_SCHEMA_LOCAL;
}
