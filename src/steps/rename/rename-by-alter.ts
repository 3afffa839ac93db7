/**
 * The RENAME of one table to its hold name where the server refuses that (MySQL 8 and later, 1059):
 * it gives foreign keys and CHECKs whose names begin with the table's the new name as well, and one
 * of them would have more than 64 characters. A single ALTER TABLE, which copies no row and is
 * atomic there, drops them and renames the table.
 *
 * Invariant: the dropped parts are in the ledger before. Killed before the ALTER, the table is
 * unchanged and its intent is forgotten; killed after it, the table is held as any other.
 */
import { dropKey } from '../../held/foreign-keys/add-keys.js';
import { withOriginalNames } from '../../held/foreign-keys/detach.js';
import { readTable } from '../../held/foreign-keys/read-table.js';
import { isPlainCheck } from '../../held/relocate/checks.js';
import {
  checksIn,
  type HeldCheck,
  NOTHING_DETACHED,
  recordDetached,
} from '../../ledger/detached/detached.js';
import { NAME_CHARACTERS_MAX } from '../../names/names.js';
import type { ServicePool } from '../../service/pool/pools.js';
import { ident, note, type SQLQuery, sql } from '../../service/sql.js';
import type { ServiceRenameTable } from '../world.js';

/** The ALTER; null: no part of the table has such a name, or it can't be dropped. */
export async function prepareAlter(
  pool: ServicePool,
  renamed: ServiceRenameTable,
  { logged: rowLogged }: { readonly logged: boolean },
): Promise<SQLQuery | null> {
  const { id, schema, table, holdName, holdSchema = schema } = renamed;
  const look = await readTable(pool, { id, schema, table });
  if (typeof look === 'string' || look.keys === null) return null;
  const checks = checksIn(look.definition).filter((check) => !isKept(check, renamed));
  if (look.keys.length + checks.length === 0 || !checks.every(isPlainCheck)) return null;
  const where = { table: { id, fromSchema: schema, holdName, table }, schema, tables: [] };
  const keysOut = await Promise.all(look.keys.map((key) => withOriginalNames(pool, key, where)));
  const detached = { ...NOTHING_DETACHED, keysOut, checks };
  const { definition } = look;
  if (!(await recordDetached(pool, { id, detached, definition, rowLogged }))) return null;
  const changes = [
    ...look.keys.map(({ name }) => dropKey(name)),
    ...checks.map(({ name }) => sql`DROP CHECK ${ident(name)}`),
    sql`RENAME TO ${ident(holdSchema, holdName)}`,
  ];
  return sql`ALTER TABLE ${note('hold-by-alter', id)} ${ident(schema, table)}
    ${sql.join(changes, ', ')}, ALGORITHM=INPLACE`;
}

/** An ALTER reads the rest after `_chk_` in such a name as a number, and turns a word into 0. */
function isKept({ name }: HeldCheck, { table, holdName }: ServiceRenameTable): boolean {
  const made = `${table}_chk_`;
  if (!name.startsWith(made)) return true;
  const number = name.slice(made.length);
  return /^[1-9]\d*$/.test(number) && `${holdName}_chk_${number}`.length <= NAME_CHARACTERS_MAX;
}
