/**
 * Dropped tables are asked for by an operator with the service account, or by a person, whose
 * rights the server checks on that person's own connection. A person may see a table that it may
 * restore: where it may create and fill one of that name.
 */
import { randomBytes } from 'node:crypto';
import type { LedgerRow } from '../ledger/entry.js';
import { keyOf, newHoldId, type QualifiedTable } from '../names/names.js';

export interface Asker {
  /** The rows of a page, at least: the asker may not see all of them. */
  readonly rowsMin: number;
  /** Work of one account is done one after the other. */
  queued<T>(work: () => Promise<T>): Promise<T>;
  /** For one list: what the server has answered about a name holds for all its pages. */
  filter(): Filter;
}

/** The rows that the asker may see, without the statements that it may not. */
type Filter = (rows: readonly LedgerRow[]) => Promise<readonly LedgerRow[]>;

/** Sees all. */
export const OPERATOR: Asker = {
  rowsMin: 1,
  queued: (work) => work(),
  filter: () => async (rows) => rows,
};

/** By `keyOf`: those of the names that the person may restore. */
type AskNames = (names: readonly QualifiedTable[]) => Promise<ReadonlySet<string>>;

/** Enough for a page of a person who may not see some of it. */
const ROWS_MIN = 50;
/** INSERT on mysql.user implies every other privilege. */
const OF_SERVER = { schema: 'mysql', table: 'user' };

/** `isOwn`: whether the person's very connection has dropped it, and so sees it in any case. */
export function person(
  ask: AskNames,
  { queued, isOwn }: Pick<Asker, 'queued'> & { isOwn(row: LedgerRow): boolean },
): Asker {
  const filter = (): Filter => {
    const granted = new Map<string, boolean>();
    const has = (name: QualifiedTable) => granted.get(keyOf(name)) === true;
    const learn = async (names: readonly QualifiedTable[]) => {
      const news = new Map(names.map((name) => [keyOf(name), name]));
      for (const key of granted.keys()) news.delete(key);
      const said = news.size === 0 ? null : await ask([...news.values()]);
      for (const key of news.keys()) granted.set(key, said?.has(key) === true);
    };
    // No table has that name, so only a privilege on the schema, or on all, is a yes.
    const none = `_undrop_none_${newHoldId(Date.now(), randomBytes)}`;
    const anyOf = ({ schema }: QualifiedTable) => ({ schema, table: none });
    return async (rows) => {
      const others = rows.filter((row) => !isOwn(row));
      if (others.length === 0) return rows;
      await learn([anyOf(OF_SERVER), ...others.map(anyOf)]);
      await learn([OF_SERVER, ...others].filter((name) => !has(anyOf(name))));
      // A statement may name, or read, objects that this person may not see.
      const seesAll = has(anyOf(OF_SERVER)) || has(OF_SERVER);
      return rows.flatMap((row) => {
        if (isOwn(row)) return [row];
        const seen = seesAll ? row : { ...row, isStatementHidden: true as const };
        return has(anyOf(row)) || has(row) ? [seen] : [];
      });
    };
  };
  return { rowsMin: ROWS_MIN, queued, filter };
}
