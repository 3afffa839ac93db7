/**
 * Chooses the held tables that are removed early, because held tables take more room than the
 * limits allow, or the disk is nearly full: from the user that holds most, and of that user from
 * the schema that holds most. Pure.
 *
 * Invariants: a pinned table is never removed early, nor is a locked one, nor is one before
 * UNDROP_MIN_HOLD from its drop, by the server's clock, nor one without a ledger row; none of these
 * counts against the others, so no table is removed because of them. A user who holds no more than
 * the limit divided by the number of users loses no table. No more is removed than is needed, by
 * the known sizes.
 */
import { type HoldName, isPinned } from '../../names/names.js';

export interface LimitSettings {
  /** For all held tables; null: no limit. */
  readonly bytesMax: number | null;
  readonly tablesMax: number | null;
  /** No early removal sooner after the drop. */
  readonly minHoldMs: number;
  /** For the file system of `dataFolder`; null: no limit. */
  readonly freeBytesMin: number | null;
  /** The server's, if this process can access it. */
  readonly dataFolder: string | null;
}

/** Facts of a held table from the ledger. */
export interface Weight {
  /** The account that dropped it; the bearer of an anonymous one chooses a name for each login. */
  readonly user: string;
  readonly schema: string;
  readonly rows: number | null;
  /** For files of its own. */
  readonly bytes: number | null;
  readonly droppedAt: Date;
  /** Null: not known. */
  readonly createdAt: Date | null;
  /** An operator has lengthened its hold. */
  readonly isLengthened: boolean;
  /** Nobody ends its hold before; default, and null: it isn't locked. */
  readonly lockedUntil?: Date | null;
}

export interface Room {
  readonly bytes: number;
  readonly tables: number;
  /** The used share of the limits, the highest of them; 1: all. */
  readonly used: number;
  /** Null: it isn't known. */
  readonly freeBytes: number | null;
  /** By id, in the order of their removal. */
  readonly early: ReadonlyMap<string, Early>;
}

export interface Early {
  readonly because: string;
  /** The end of its UNDROP_MIN_HOLD. */
  readonly from: Date;
}

/**
 * A table that was dropped this soon after its creation is mostly the scratch table of a program.
 */
const SCRATCH_MS = 86_400_000;

/**
 * Tables in DROP, and those whose hold is over, are removed anyway. Next come those that can no
 * longer be restored whole, then those in HOLD.
 */
export function chooseEarly(
  tables: readonly HoldName[],
  weights: ReadonlyMap<string, Weight>,
  { limits, now, freeBytes }: { limits: LimitSettings; now: Date; freeBytes: number | null },
): Room {
  const { bytesMax, tablesMax, freeBytesMin, minHoldMs } = limits;
  const sizeOf = ({ id }: { readonly id: string }) => weights.get(id)?.bytes ?? 0;
  const isGoing = ({ state, due }: HoldName) =>
    state === 'DROP' || (state === 'HOLD' && due <= now);
  const over = tables.filter(({ state }) => state === 'EVAC' || state === 'PURGE').sort(byState);
  const held = tables.flatMap(({ id, state, due }): Candidate[] => {
    const weight = weights.get(id);
    const isRestorable = state === 'HOLD' && due > now;
    if (!isRestorable || isPinned(due) || weight === undefined) return [];
    const minMs = weight.droppedAt.getTime() + minHoldMs;
    const from = new Date(Math.max(minMs, weight.lockedUntil?.getTime() ?? 0));
    return from > now ? [] : [{ ...weight, id, from }];
  });
  const early = new Map<string, Early>();
  const takeUntil = (most: number, which: string, take: typeof sizeOf) => {
    const isLeft = (one: { readonly id: string }) => !early.has(one.id) && take(one) > 0;
    const left = held.filter(isLeft);
    const gone = over.filter(isLeft).map(({ id }) => ({ id, from: now }));
    let total = sumOf([...gone, ...left], take);
    // In this order, skipping tables of users within their share.
    for (const { id, from } of [...gone, ...highestFirst(left, most, take)]) {
      if (total <= most) return;
      early.set(id, { because: `${which}; its removal frees ${sizeOf({ id })} bytes`, from });
      total -= take({ id });
    }
  };
  const going = sumOf(tables.filter(isGoing), sizeOf);
  const missing = freeBytesMin === null || freeBytes === null ? 0 : freeBytesMin - freeBytes;
  if (missing > going) takeUntil(sumOf([...over, ...held], sizeOf) - missing + going, FREE, sizeOf);
  if (bytesMax !== null) takeUntil(bytesMax, BYTES, sizeOf);
  if (tablesMax !== null) takeUntil(tablesMax, TABLES, () => 1);
  const sums = { bytes: sumOf(tables, sizeOf), tables: tables.length, freeBytes };
  return { ...sums, used: usedOf(sums, limits), early };
}

export const FREE = 'the disk has less than UNDROP_MIN_FREE';
const BYTES = 'UNDROP_MAX_BYTES is passed';
const TABLES = 'UNDROP_MAX_TABLES is passed';

function sumOf<T>(items: readonly T[], sizeOf: (item: T) => number): number {
  return items.reduce((sum, item) => sum + sizeOf(item), 0);
}

/** EVAC comes before PURGE. */
function byState(one: HoldName, other: HoldName): number {
  return one.state.localeCompare(other.state) || one.due.getTime() - other.due.getTime();
}

/** A table in HOLD that may be removed early. */
interface Candidate extends Weight {
  readonly id: string;
  readonly from: Date;
}

/**
 * The tables of a schema form a pile, with those most worth keeping at the bottom; so do those of a
 * user, by their heights in their schemas. The highest table goes first: it always belongs to the
 * user, and to the schema, that holds most. Tables within the share of each user stay, and tables
 * with a lengthened hold go after all others.
 */
function highestFirst(
  tables: readonly Candidate[],
  most: number,
  sizeOf: (table: Candidate) => number,
): readonly Candidate[] {
  const inSchemas = pile([...tables].sort(byWorth), sizeOf, ({ user, schema }) =>
    JSON.stringify([user, schema]),
  );
  const keptFirst = inSchemas
    .sort((one, other) => byLength(one, other) || one.height - other.height)
    .map(({ table }) => table);
  const users = new Set(tables.map(({ user }) => user)).size;
  return pile(keptFirst, sizeOf, ({ user }) => user)
    .reverse()
    .filter(({ height }) => height > Math.max(most, 0) / users)
    .sort((one, other) => -byLength(one, other) || other.height - one.height)
    .map(({ table }) => table);
}

type Piled = ReturnType<typeof pile>[number];

/** `height`: the table's share of the limit plus those of all below it. */
function pile(
  tables: readonly Candidate[],
  sizeOf: (table: Candidate) => number,
  keyOf: (table: Candidate) => string,
) {
  const heights = new Map<string, number>();
  return tables.map((table) => {
    const height = (heights.get(keyOf(table)) ?? 0) + sizeOf(table);
    heights.set(keyOf(table), height);
    return { table, height };
  });
}

function byLength({ table: one }: Piled, { table: other }: Piled): number {
  return Number(other.isLengthened) - Number(one.isLengthened);
}

/** Most worth keeping first. */
function byWorth(one: Candidate, other: Candidate): number {
  const worthOf = (table: Candidate): readonly number[] => [
    ...[Number(table.isLengthened), Number(!isScratch(table)), Number(table.rows !== 0)],
    table.droppedAt.getTime(),
  ];
  const [ones, others] = [worthOf(one), worthOf(other)];
  const at = ones.findIndex((value, index) => value !== others[index]);
  return at < 0 ? (one.id < other.id ? 1 : -1) : (others[at] ?? 0) - (ones[at] ?? 0);
}

/** Servers don't report when a MERGE table was created, and any number of them can be created. */
function isScratch({ createdAt, droppedAt }: Candidate): boolean {
  return createdAt === null || droppedAt.getTime() - createdAt.getTime() < SCRATCH_MS;
}

/** 1: all that one of the limits allows. */
export function usedOf(
  room: Pick<Room, 'bytes' | 'tables' | 'freeBytes'>,
  limits: LimitSettings,
): number {
  const { bytes, tables, freeBytes } = room;
  const { bytesMax, tablesMax, freeBytesMin } = limits;
  return Math.max(
    bytesMax === null ? 0 : bytes / bytesMax,
    tablesMax === null ? 0 : tables / tablesMax,
    freeBytesMin === null || freeBytes === null ? 0 : freeBytesMin / Math.max(freeBytes, 1),
  );
}
