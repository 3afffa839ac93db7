/**
 * `showTable` reads everything that the ledger and the server have about one dropped table, and
 * `readHeldRows` some rows of a held one. Changes nothing.
 *
 * Invariant: only a part of each value is read, so that no row is too big for the caller.
 */

import { col, ident, note, type ServicePool, sql } from '../connections/sql.js';
import { findMissing, missingScript } from '../held/triggers/reattach-triggers.js';
import { readUses } from '../ledger/history.js';
import { findRowsIfAny, readRestoreScript } from '../ledger/read.js';
import * as finder from './find-dropped.js';
import * as heldTables from './held-tables.js';
import { newestWhole } from './plan-restore.js';

export type ShownTable = Readonly<Awaited<ReturnType<typeof showTable>>>;

/** Rejects with UNDROP_NO_SUCH_HELD or UNDROP_AMBIGUOUS. A name means the newest complete one. */
export async function showTable(pool: ServicePool, target: string) {
  const found = await finder.findDropped(pool, target);
  const newest = newestWhole(found);
  const [held = null] = newest === undefined ? [] : await heldTables.withWhatIsLeft(pool, [newest]);
  const id = held?.id ?? (await findEnded(pool, target));
  const [known = null] = await findRowsIfAny(pool, { by: 'ids', ids: [id] });
  const missing = known === null ? null : await findMissing(pool, known);
  const isMade = missing === null && known?.pendingWork?.todo === 'triggers';
  const row = isMade ? { ...known, pendingWork: null } : known;
  const script = row === null ? null : await readRestoreScript(pool, id);
  const isBack = row?.state === 'restored';
  const drop = { by: 'drop', dropId: row?.dropId ?? '' } as const;
  const group = row === null ? [] : await findRowsIfAny(pool, drop, { texts: false });
  const kin = group
    .filter((other) => other.id !== id)
    .map((other) => heldTables.describeRow(other.id, other));
  return {
    dropped: heldTables.describeRow(id, row ?? undefined),
    /** Null: it is no longer held. */
    held,
    /** Null: the ledger has no row for it. */
    row,
    /** Statements that have failed because they use it; null: none. */
    used: (await readUses(pool)).get(id) ?? null,
    /** It restores the table by hand, or its missing parts; null: the ledger has none yet. */
    script: missing === null ? (isBack ? withoutMove(script) : script) : missingScript(missing),
    /** Its end; null: it is held, or may be. */
    ended: row === null ? null : heldTables.describeEnded(row),
    /** The other tables of the same statement. */
    sameDrop: kin.sort(heldTables.newestFirst),
    /** Other held tables of its name, newest first. */
    others: found.filter((other) => other !== newest),
  };
}

/** A table that has its name again may lack its parts alone. */
function withoutMove(script: string | null): string | null {
  return script?.replace(/^RENAME TABLE .*;\n/m, '') ?? null;
}

/** The id of a table that is no longer held: for a name the last, for digits the only one. */
async function findEnded(pool: ServicePool, target: string): Promise<string> {
  const found = await finder.findEndedRows(pool, target);
  const [last] = found;
  if (last === undefined) throw finder.noSuchHeld(target);
  const isById = found.every(({ id }) => finder.isIdWith(id, finder.idDigits(target)));
  const ids = found.map(({ id }) => id);
  if (isById && ids.length > 1) throw finder.ambiguousIds(target, ids);
  return last.id;
}

export interface HeldRows {
  readonly columns: readonly string[];
  /** Texts of the values, cut; null is NULL. */
  readonly rows: readonly (readonly (string | null)[])[];
}

const VALUE_CHARACTERS_MAX = 60;
/** Shown as bytes, because they aren't texts. */
const IN_BYTES =
  /^(?:bit|.*binary|.*blob|vector|geometry.*|.*point|.*linestring|.*polygon|.*collection)$/i;

/** At most `rowsMax`, in the server's order. */
export async function readHeldRows(
  pool: ServicePool,
  { id, holdSchema, holdName }: heldTables.DroppedTable,
  rowsMax: number,
): Promise<HeldRows> {
  const [found = []] = await pool.run(
    sql`SELECT ${note('show', id)} COLUMN_NAME AS name, DATA_TYPE AS type
        FROM information_schema.COLUMNS
        WHERE TABLE_SCHEMA = ${holdSchema} AND TABLE_NAME = ${holdName} ORDER BY ORDINAL_POSITION`,
  );
  const columns = found.map((row) => col.text(row, 'name'));
  if (columns.length === 0) return { columns, rows: [] };
  const values = found.map((row, index) => {
    const column = ident(col.text(row, 'name'));
    // A character more than is shown, to see whether a value was cut.
    const text = IN_BYTES.test(col.text(row, 'type'))
      ? sql`CONCAT('0x', HEX(LEFT(${column}, ${VALUE_CHARACTERS_MAX / 2})))`
      : sql`LEFT(CAST(${column} AS CHAR), ${VALUE_CHARACTERS_MAX + 1})`;
    return sql`${text} AS ${ident(`c${index}`)}`;
  });
  const [rows = []] = await pool.run(
    sql`SELECT ${note('show', id)} ${sql.join(values, ', ')}
        FROM ${ident(holdSchema, holdName)} LIMIT ${rowsMax}`,
  );
  const cut = (text: string | null) =>
    text === null || text.length <= VALUE_CHARACTERS_MAX
      ? text
      : `${text.slice(0, VALUE_CHARACTERS_MAX - 1)}…`;
  return {
    columns,
    rows: rows.map((row) => columns.map((_name, index) => cut(col.textOrNull(row, `c${index}`)))),
  };
}
