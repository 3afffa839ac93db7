/**
 * The control process as operators see it, by the service account: the console asks
 * it only for people whom the server has named operators, but for `detailsOf`, `rowsOf` and
 * `leftOf`, of what the person's own session has shown.
 */
import type { HistoryFit, HistoryLine, Summary } from '../ledger/overview.js';
import type { HeldRows } from '../restore/show.js';

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
  readonly purge: PurgeView | null;
  readonly limits: readonly {
    readonly name: string;
    readonly used: number;
    readonly max: number | null;
    readonly isBytes: boolean;
  }[];
  readonly window: string;
  readonly throttles: readonly string[];
  readonly minutes: readonly Minute[];
}

export interface PurgeView {
  readonly id: string;
  /** Deleted so far. */
  readonly rows: number;
  readonly rowsPerSecond: number;
  /** The delay of nine of ten point reads beside it, at most; null: not measured yet. */
  readonly readMs: number | null;
}

/** A sample of the collector's figures. */
export interface Minute {
  /** UTC, ISO 8601. */
  readonly at: string;
  readonly bytes: number;
  readonly tables: number;
  readonly rowsPurged: number;
  readonly restsFor: string | null;
}

export interface StatusView {
  readonly attention: readonly string[];
  readonly services: readonly string[];
}

export interface FindingView {
  readonly check: string;
  readonly result: string;
  readonly text: string;
}

export interface SettingView {
  readonly variable: string;
  readonly value: string;
  readonly from: string;
}

export interface OperatorDoor {
  /** Null: it is being read. */
  summary(): Promise<Summary | null>;
  /** Both in words, as `undrop status` has them; null: it is being read. */
  status(): Promise<StatusView | null>;
  collector(): Promise<CollectorView>;
  history(fit: HistoryFit): Promise<readonly HistoryLine[]>;
  /** Null: they are being read. */
  findings(): Promise<readonly FindingView[] | null>;
  readonly settings: readonly SettingView[];
  readonly certificates: readonly { readonly name: string; readonly validTo: string }[];
  detailsOf(id: string): Promise<TableDetails>;
  /** The first rows, which is in the history. Rejects with an UndropError. */
  rowsOf(who: Actor, id: string): Promise<HeldRows>;
  /** The drop that UNDROP DATABASE means; null: none. */
  meantDropOf(schema: string): Promise<string | null>;
  /** The tables of a drop that are still held. */
  leftOf(dropId: string): Promise<number>;
  /** `forMs`: null until it is ended. */
  pause(who: Actor, how: { readonly forMs: number | null; readonly reason: string }): Promise<void>;
  resume(who: Actor): Promise<void>;
  /** Lengthens, shortens or unpins; resolves to the end. Rejects with an UndropError. */
  holdFor(who: Actor, id: string, holdMs: number): Promise<string>;
  /** Rejects with an UndropError. */
  pin(who: Actor, id: string): Promise<void>;
}

/** A person, as the audit names one. */
export interface Actor {
  readonly user: string;
  readonly client: string;
}
