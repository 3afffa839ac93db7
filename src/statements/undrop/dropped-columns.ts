/**
 * The columns of SHOW DROPPED TABLES and SHOW DROPPED DATABASES, and what a statement wants of
 * them: which columns, which rows, in which order.
 */
import { utcText } from '../../duration.js';
import type { HeldOrder, LiveFit } from '../../ledger/read.js';
import type { DroppedSchema } from '../../ledger/schema-restores.js';
import { isHoldId, isPinned, type QualifiedTable } from '../../names/names.js';
import type { Field } from '../../printer.js';
import type { ListedTable } from '../../restore/held-tables.js';
import type { ListClauses, ListCondition } from '../../sql/grammar/list-clauses.js';
import type { Literal } from '../../sql/grammar/literal.js';
import type { Selected, ShownDrops } from '../../sql/verdict.js';
import { fieldOf, type ListPlan, planList } from './list-filter.js';

/** A held table whose original name is in the ledger. */
export interface Dropped extends ListedTable {
  readonly origin: QualifiedTable;
  /** Null: this user may not see it. */
  readonly statement: string | null;
}

/** The columns that are shown, or a count, and the rows. */
export type BoundList =
  | {
      readonly what: 'tables';
      readonly fields: readonly Field<Dropped>[] | { readonly count: string };
      readonly plan: ListPlan<Dropped>;
      /** Only these tables may be meant by the WHERE. */
      readonly among: Pick<LiveFit, 'before' | 'digits' | 'drop'>;
      /** The order of the plan, if the ledger can be read in it; null: it can't. */
      readonly order: HeldOrder | null;
      /** Only the last digits of ids are shown, as many as tell them apart. */
      readonly hasShortIds: boolean;
    }
  | {
      readonly what: 'databases';
      readonly fields: readonly Field<DroppedSchema>[];
      readonly plan: ListPlan<DroppedSchema>;
    };

/** The titles are the names of the columns; times are in UTC. */
const TABLE_COLUMNS: readonly Field<Dropped>[] = [
  { key: 'id', title: 'Id' },
  { key: 'groupId', title: 'Drop_id' },
  { title: 'Schema', json: ({ origin }) => origin.schema },
  { title: 'Table', json: ({ origin }) => origin.table },
  { key: 'how', title: 'How' },
  { key: 'droppedAt', title: 'Dropped_at' },
  { key: 'user', title: 'User' },
  { key: 'clientAddress', title: 'Client' },
  { key: 'rowEstimate', title: 'Rows', isNumber: true },
  { key: 'byteEstimate', title: 'Bytes', isNumber: true },
  { title: 'State', json: ({ torn, state }) => (torn === true ? 'TORN' : state) },
  { title: 'Expires_at', json: ({ state, due }) => (mayExpire(state, due) ? due : null) },
  { title: 'Next', json: nextOf },
  { key: 'statement', title: 'Statement' },
];
/** Without FULL. */
const SHORT = new Set(['Id', 'Schema', 'Table', 'Dropped_at', 'User', 'Expires_at']);
const TIMES = new Set(['Dropped_at', 'Expires_at']);
/** Shown to whom may read the whole server. */
const HIDDEN = new Set(['Statement']);
/** The ledger may be behind the server with these. */
const LATE = new Set(['Rows', 'Bytes', 'State', 'Expires_at', 'Next']);

const SCHEMA_COLUMNS: readonly Field<DroppedSchema>[] = [
  { key: 'groupId', title: 'Drop_id' },
  { key: 'schema', title: 'Schema' },
  { key: 'droppedAt', title: 'Dropped_at' },
  { key: 'user', title: 'User' },
  { key: 'tables', title: 'Tables', isNumber: true },
  { key: 'held', title: 'Held', isNumber: true },
];

/** Throws `SaidByServer`. */
export function bindList(
  {
    what,
    select,
    ...clauses
  }: ListClauses & { readonly what: ShownDrops; readonly select: Selected },
  { decode }: { readonly decode: (literal: Literal) => string },
): BoundList {
  const common = { times: TIMES, decode };
  if (what === 'databases') {
    const fields = SCHEMA_COLUMNS;
    return { what, fields, plan: planList(clauses, { fields, ...common }) };
  }
  const plan = planList(clauses, {
    ...{ fields: TABLE_COLUMNS, late: LATE, hidden: HIDDEN },
    ...common,
  });
  const among = idsMeant(clauses.where, decode);
  if (select !== null && 'count' in select) {
    return { what: 'tables', fields: select, plan, among, order: null, hasShortIds: false };
  }
  const short = TABLE_COLUMNS.filter(({ title = '' }) => SHORT.has(title));
  const all = what === 'tables' ? short : TABLE_COLUMNS;
  const fields =
    select?.map((one) => ({ ...fieldOf(one, TABLE_COLUMNS, 'field list'), title: one.alias })) ??
    all;
  const order = heldOrderOf(clauses.orderBy);
  return { what: 'tables', fields, plan, among, order, hasShortIds: what === 'tables' };
}

/** A NULL of Expires_at is before all else; one of Bytes, after all else if it is descending. */
function heldOrderOf(orderBy: ListClauses['orderBy']): HeldOrder | null {
  const [first, second] = orderBy;
  if (first === undefined || second !== undefined) return null;
  const column = first.column.toLowerCase();
  if (column === 'bytes') return first.isDescending ? 'size' : null;
  return column === 'expires_at' && !first.isDescending ? 'expires' : null;
}

/**
 * By `Id < '…'`, `Id = '…'` or `Drop_id = '…'`, alone or with others by AND: then the ledger is
 * read from there on, however many tables are newer.
 */
function idsMeant(
  where: ListCondition | null,
  decode: (literal: Literal) => string,
): Pick<LiveFit, 'before' | 'digits' | 'drop'> {
  for (const one of where?.kind === 'and' ? where.all : [where]) {
    if (one?.kind !== 'compare' || (one.by !== '<' && one.by !== '=')) continue;
    const { by, left, right } = one;
    const id = right.kind === 'text' ? decode(right).toLowerCase() : '';
    if (left.kind !== 'column' || !isHoldId(id)) continue;
    const column = left.column.toLowerCase();
    if (column === 'id') return by === '<' ? { before: id } : { digits: id };
    if (column === 'drop_id' && by === '=') return { drop: id };
  }
  return {};
}

function mayExpire(state: Dropped['state'], due: Date): boolean {
  return state === 'HOLD' && !isPinned(due);
}

function nextOf({ state, due, torn, unseen, purgedBy = null }: Dropped): string {
  if (torn === true) return 'torn: an operator has to repair it';
  if (unseen === true) return 'a privilege is missing, see undrop doctor';
  switch (state) {
    case 'HOLD':
      return isPinned(due) ? 'nothing, it is pinned' : `removed from ${utcText(due)} on`;
    case 'PURGE':
      return purgedBy === null
        ? 'its rows are being deleted'
        : `its rows are being deleted until about ${utcText(purgedBy)}`;
    case 'EVAC':
      return `DROP at ${utcText(due)}`;
    case 'DROP':
      return 'DROP at the next check';
  }
}
