/**
 * Reads the ledger for lists: dropped tables that match, page by page, or a line for each statement
 * that dropped. A page costs the same among 100,000 held tables as among ten: it is read backwards
 * along an index by ids, which sort by time.
 *
 * Invariant: no list decides about rows. It shows the ledger; restore/list-drops.ts compares a page
 * of it with the server.
 */
import type { Row, ServiceConnection } from '../service/pool/pools.js';
import {
  dateOrNullOf,
  note,
  numberOf,
  numberOrNullOf,
  type SQLQuery,
  sql,
  textOf,
} from '../service/sql.js';
import type { LedgerRow } from './entry.js';
import {
  findRowsIfAny,
  hasDigits,
  isLike,
  isOfDrop,
  LIVE,
  OF_TABLE,
  readIfAny as read,
  sameName,
} from './read.js';
import { LEDGER } from './tables.js';

/** Which dropped tables; a missing condition matches all. */
export interface DropFit {
  /** Also those that are no longer held. */
  readonly withEnded?: boolean;
  /** Any of: the table's name, its schema's, digits at an end of its id or of its drop's. */
  readonly target?: {
    readonly name: { readonly schema: string | null; readonly table: string } | null;
    readonly digits: string | null;
  };
  /** Digits at an end of the id of the drop, or of one of its tables. */
  readonly drop?: string;
  readonly schema?: string;
  /** A pattern for the table's name. */
  readonly like?: string;
  readonly user?: string;
  /** Dropped then or later. */
  readonly since?: Date;
  /** Dropped then or before. */
  readonly until?: Date;
}

export const SORTS = ['dropped', 'size', 'expires'] as const;
/** dropped: newest first; size: biggest first; expires: soonest first. Unknown sizes are last. */
export type Sort = (typeof SORTS)[number];

interface Page {
  readonly sort: Sort;
  readonly rowsMax: number;
  /** The id after which the page begins; only for `dropped`. */
  readonly after?: string | null;
}

/** The held tables of one statement. */
export interface LedgerDrop {
  readonly groupId: string;
  /** The newest of its tables. */
  readonly id: string;
  readonly tables: number;
  /** Null: they are of several schemas. */
  readonly schema: string | null;
  /** The known sizes; null: none is known. */
  readonly bytes: number | null;
  readonly unknown: number;
  /** When the first of those that aren't pinned leaves HOLD; null: none does. */
  readonly until: Date | null;
  readonly pinned: number;
  /** Held in their own schema. */
  readonly inPlace: number;
  /** Their hold is over. */
  readonly ending: number;
  /** The statement isn't over, or was broken off. */
  readonly unsettled: number;
}

/** The statements with matching held tables, in that order. */
export async function readDrops(
  connection: ServiceConnection,
  fit: DropFit,
  { sort, rowsMax, after = null }: Page,
): Promise<readonly LedgerDrop[]> {
  const order = {
    dropped: sql`group_id DESC`,
    size: sql`bytes DESC, group_id DESC`,
    expires: sql`until IS NULL, until, group_id DESC`,
  }[sort];
  const isAfter = after === null ? sql`` : sql` AND group_id < ${after}`;
  const isOpen = sql`state = 'HOLD' AND pinned = 0`;
  const rows = await read(
    connection,
    sql`SELECT ${note('read')} group_id, MAX(id) AS id, COUNT(*) AS found,
          MIN(schema_name) AS first_schema, MAX(schema_name) AS last_schema,
          SUM(byte_estimate) AS bytes, SUM(byte_estimate IS NULL) AS unknown_sizes,
          CAST(MIN(IF(${isOpen}, hold_until, NULL)) AS DATETIME) AS until, SUM(state = 'HOLD' AND pinned) AS pinned,
          SUM(state <> 'intent' AND relocated = 0) AS in_place,
          SUM(state NOT IN ('intent', 'HOLD')) AS ending, SUM(state = 'intent') AS unsettled
        FROM ${LEDGER} WHERE ${condition(fit)}${isAfter}
        GROUP BY group_id ORDER BY ${order} LIMIT ${rowsMax}`,
  );
  return rows.map(asDrop);
}

function asDrop(row: Row): LedgerDrop {
  const schema = textOf(row, 'first_schema');
  return {
    groupId: textOf(row, 'group_id'),
    id: textOf(row, 'id'),
    tables: numberOf(row, 'found'),
    schema: schema === textOf(row, 'last_schema') ? schema : null,
    bytes: numberOrNullOf(row, 'bytes'),
    unknown: numberOf(row, 'unknown_sizes'),
    until: dateOrNullOf(row, 'until'),
    pinned: numberOf(row, 'pinned'),
    inPlace: numberOf(row, 'in_place'),
    ending: numberOf(row, 'ending'),
    unsettled: numberOf(row, 'unsettled'),
  };
}

/** The rows of matching tables, in that order, without their long columns. */
export async function readTables(
  connection: ServiceConnection,
  fit: DropFit,
  { sort, rowsMax, after = null }: Page,
): Promise<readonly LedgerRow[]> {
  const order = {
    dropped: sql`id DESC`,
    size: sql`byte_estimate DESC, id DESC`,
    expires: sql`state <> 'HOLD', hold_until, id DESC`,
  }[sort];
  const filter = { by: 'fit', where: condition(fit), order } as const;
  return findRowsIfAny(connection, filter, { rowsMax, after, texts: false });
}

export async function countTables(connection: ServiceConnection, fit: DropFit): Promise<number> {
  const [row = {}] = await read(
    connection,
    sql`SELECT ${note('read')} COUNT(*) AS found FROM ${LEDGER} WHERE ${condition(fit)}`,
  );
  return 'found' in row ? numberOf(row, 'found') : 0;
}

function condition(fit: DropFit): SQLQuery {
  const { withEnded = false, target, drop, schema, like, user, since, until } = fit;
  const conditions = [
    withEnded ? OF_TABLE : LIVE,
    ...(target === undefined ? [] : [isTarget(target)]),
    ...(drop === undefined ? [] : [isOfDrop(drop)]),
    ...(schema === undefined ? [] : [sameName(sql`schema_name`, schema)]),
    ...(like === undefined ? [] : [isLike(sql`table_name`, like)]),
    ...(user === undefined ? [] : [sql`user_name = ${user}`]),
    ...(since === undefined ? [] : [sql`dropped_at >= ${since}`]),
    ...(until === undefined ? [] : [sql`dropped_at <= ${until}`]),
  ];
  return sql.join(conditions, sql` AND `);
}

function isTarget({ name, digits }: NonNullable<DropFit['target']>): SQLQuery {
  const ids = [sql`id`, sql`group_id`].flatMap((id) =>
    digits === null ? [] : hasDigits(id, digits),
  );
  return sql`(${sql.join([...(name === null ? [] : [isNamed(name)]), ...ids, sql`FALSE`], sql` OR `)})`;
}

/** A single name may be that of the table or of its schema. */
function isNamed({ schema, table }: { schema: string | null; table: string }): SQLQuery {
  const isTable = sameName(sql`table_name`, table);
  const isSchema = sameName(sql`schema_name`, schema ?? table);
  return schema === null ? sql`${isTable} OR ${isSchema}` : sql`(${isTable} AND ${isSchema})`;
}
