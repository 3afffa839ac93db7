/** Which dropped tables are meant, and in which order: by every face the same. Pure. */

import { type SQLQuery, sql } from '../connections/sql.js';
import { assert } from '../errors.js';
import { foldName, type QualifiedTable } from '../names/names.js';
import { asLike } from '../wildcards.js';
import { STATEMENT_HEAD_CHARACTERS } from './entry.js';
import { LEDGER, LIVE } from './tables.js';

/** The conditions on tables and on single definitions alike. A missing one matches all. */
export interface CommonSelection {
  /** The whole id of the table, or of its drop. */
  readonly id?: string;
  readonly schema?: string;
  /** Any of these. */
  readonly schemas?: readonly string[];
  /** A pattern for the table's name, as in the server's own SHOW TABLES LIKE. */
  readonly like?: string;
  /** In any case; so is `program`. */
  readonly user?: string;
  readonly program?: string;
  /** Dropped then or later. */
  readonly since?: Date;
  /** Dropped then or before. */
  readonly until?: Date;
}

/** Tables that are, or may be, held. */
export interface Selection extends CommonSelection {
  /** Also those that are no longer held. */
  readonly withEnded?: boolean;
  readonly state?: string;
  /** In HOLD, and to be removed at its end. */
  readonly isExpiring?: boolean;
  /** With a smaller id: dropped before it. */
  readonly before?: string;
  /** Any of: the table's name, its schema's, digits at an end of its id or of its drop's. */
  readonly target?: {
    readonly name: { readonly schema: string | null; readonly table: string } | null;
    readonly digits: string | null;
  };
  /** Hex digits with which the id begins or ends. */
  readonly digits?: string;
  /** Digits at an end of the id of the drop, or of one of its tables. */
  readonly drop?: string;
  /** Any of these; each by the index. */
  readonly names?: readonly QualifiedTable[];
  /** In one of the fields that are searched, or across two of them; in any case. */
  readonly text?: string;
  /** The server's. Left out: it compares names, and can use no index. */
  readonly lowerCaseTableNames?: 0 | 1 | 2;
}

export const SORTS = ['dropped', 'size', 'expires'] as const;
/** dropped: newest first; size: biggest first; expires: soonest first. Unknown sizes are last. */
export type Sort = (typeof SORTS)[number];

export const ORDER_BY: Readonly<Record<Sort, SQLQuery>> = {
  dropped: sql`id DESC`,
  // Along the key `by_size`.
  size: sql`byte_estimate DESC, id DESC`,
  expires: sql`state <> 'HOLD', hold_until, id DESC`,
};

export const OF_TABLE = sql`kind NOT IN ('schema', 'view')`;

export function isSelected(selection: Selection): SQLQuery {
  const { withEnded = false, state, isExpiring = false, before } = selection;
  const { target, digits, drop, names, text } = selection;
  const is = comparison(selection);
  const named = names?.map((name) => isNamed(name, is));
  return allOf([
    withEnded ? OF_TABLE : LIVE,
    state !== undefined && sql`state = ${state}`,
    isExpiring && sql`state = 'HOLD' AND pinned = 0`,
    before !== undefined && sql`id < ${before}`,
    target !== undefined && isTarget(target, is),
    digits !== undefined && hasDigits(sql`id`, digits),
    drop !== undefined && isOfDrop(drop),
    named !== undefined && sql`(${anyOf(named)})`,
    ...commonConditions(selection, is),
    text !== undefined && isLike(SEARCHED, `%${asLike(text)}%`),
  ]);
}

/** False: not given. */
export function commonConditions(
  { id, schema, schemas, like, user, program, since, until }: CommonSelection,
  is: Comparison = sameName,
): readonly (SQLQuery | false)[] {
  return [
    id !== undefined && sql`(id = ${id} OR group_id = ${id})`,
    schema !== undefined && is(sql`schema_name`, schema),
    schemas !== undefined && sql`(${anyOf(schemas.map((one) => is(sql`schema_name`, one)))})`,
    like !== undefined && isLike(sql`table_name`, like),
    user !== undefined && sql`LOWER(user_name) = LOWER(${user})`,
    program !== undefined && sql`LOWER(program) = LOWER(${program})`,
    since !== undefined && sql`dropped_at >= ${since}`,
    until !== undefined && sql`dropped_at <= ${until}`,
  ];
}

/** Without those that are false. */
export function allOf(conditions: readonly (SQLQuery | false)[]): SQLQuery {
  const given = conditions.filter((one) => one !== false);
  return sql.join(given, sql` AND `);
}

type Comparison = (column: SQLQuery, name: string) => SQLQuery;

/** The server stores folded names under 1; an index can't be used under 2. */
function comparison({ lowerCaseTableNames }: Selection): Comparison {
  if (lowerCaseTableNames === undefined) return sameName;
  return (column, name) => {
    if (lowerCaseTableNames === 2) return sql`LOWER(${column}) = LOWER(${name})`;
    return sql`${column} = ${lowerCaseTableNames === 1 ? foldName(name) : name}`;
  };
}

function isTarget({ name, digits }: NonNullable<Selection['target']>, is: Comparison): SQLQuery {
  const ids = [sql`id`, sql`group_id`].flatMap((id) =>
    digits === null ? [] : hasDigits(id, digits),
  );
  const named = name === null ? [] : [isNamed(name, is)];
  return sql`(${anyOf([...named, ...ids])})`;
}

function anyOf(conditions: readonly SQLQuery[]): SQLQuery {
  return sql.join([...conditions, sql`FALSE`], sql` OR `);
}

/** A single name may be that of the table or of its schema. */
function isNamed(
  { schema, table }: NonNullable<NonNullable<Selection['target']>['name']>,
  is: Comparison,
): SQLQuery {
  const isTable = is(sql`table_name`, table);
  const isSchema = is(sql`schema_name`, schema ?? table);
  return schema === null ? sql`${isTable} OR ${isSchema}` : sql`(${isTable} AND ${isSchema})`;
}

const SEARCHED = sql`CONCAT_WS(' ', id, group_id, CONCAT(schema_name, '.', table_name), user_name,
  program, LEFT(statement_text, ${STATEMENT_HEAD_CHARACTERS}))`;

/** Compares names as the server does. */
export function sameName(column: SQLQuery, name: string): SQLQuery {
  return sql`(${column} = ${name} OR @@lower_case_table_names <> 0 AND LOWER(${column}) = LOWER(${name}))`;
}

/** The same as the server's own SHOW TABLES LIKE, without regard to case. */
export function isLike(column: SQLQuery, pattern: string): SQLQuery {
  return sql`${column} COLLATE utf8mb4_general_ci LIKE ${pattern}`;
}

const ID_DIGITS = 32;

/** Whether an id begins or ends with these hex digits. */
export function hasDigits(id: SQLQuery, digits: string): SQLQuery {
  assert(/^[0-9a-f]{1,32}$/.test(digits), 'an id has hex digits');
  if (digits.length === ID_DIGITS) return sql`${id} = ${digits}`;
  return sql`(${id} LIKE ${`${digits}%`} OR ${id} LIKE ${`%${digits}`})`;
}

/** Whether the drop, or one of its tables, has these digits in its id. */
export function isOfDrop(digits: string): SQLQuery {
  return sql`group_id IN (SELECT found.group_id FROM ${LEDGER} AS found
    WHERE ${hasDigits(sql`found.id`, digits)} OR ${hasDigits(sql`found.group_id`, digits)})`;
}
