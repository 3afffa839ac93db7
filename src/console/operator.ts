/**
 * The control process as operators see it, by the service account: the console asks
 * it only for people whom the server has named operators, but for `find`, by the rights of the
 * person's own session, and `detailsOf`, `rowsOf` and `leftOf`, of what that has shown.
 */
import type { HistoryFit, HistoryLine, Summary } from '../ledger/overview.js';
import type { Selection, Sort } from '../ledger/selection.js';
import type { Asker } from '../recycle/asker.js';
import type { Dropped } from '../recycle/dropped.js';
import type { HeldRows } from '../recycle/show.js';

export interface TableDetails {
  /** CREATE TABLE, as it was; null: not known. */
  readonly definition: string | null;
  readonly tags: Readonly<Record<string, unknown>> | null;
  readonly history: readonly HistoryLine[];
}

/** The collector of this process, and what it has last seen. */
export interface CollectorView {
  readonly leads: boolean;
  /** In words; null: it doesn't wait. */
  readonly restsFor: string | null;
  readonly pause: { readonly by: string; readonly until: string | null } | null;
  /** The table whose rows are being deleted, with their number so far. */
  readonly purge: { readonly id: string; readonly rows: number } | null;
  readonly limits: readonly {
    readonly name: string;
    readonly used: number;
    readonly max: number | null;
    readonly isBytes: boolean;
  }[];
}

export interface StatusView {
  readonly attention: readonly string[];
  readonly services: readonly string[];
}

/** Tables that the asker may see, of the first 10,000: at least `limit`, if there are as many. */
export type FindTables = (
  selection: Selection,
  wanted: { readonly sort: Sort; readonly limit: number; readonly asker: Asker },
) => Promise<readonly Dropped[]>;

export interface OperatorDoor {
  readonly find: FindTables;
  /** Null: it is being read. */
  summary(): Promise<Summary | null>;
  /** Both in words, as `undrop status` has them; null: it is being read. */
  status(): Promise<StatusView | null>;
  collector(): Promise<CollectorView>;
  history(fit: HistoryFit): Promise<readonly HistoryLine[]>;
  detailsOf(id: string): Promise<TableDetails>;
  /** The first rows, which is in the history. Rejects with an UndropError. */
  rowsOf(who: Actor, id: string): Promise<HeldRows>;
  /** The drop that UNDROP DATABASE means; null: none. */
  meantDropOf(schema: string): Promise<string | null>;
  /** The tables of a drop that are still held. */
  leftOf(dropId: string): Promise<number>;
}

/** A person, as the audit names one. */
export interface Actor {
  readonly user: string;
  readonly client: string;
}
