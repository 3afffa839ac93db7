/** Which partitions an ALTER TABLE … DROP or TRUNCATE PARTITION means, as the service sees them. */
import { UndropError } from '../../errors.js';
import { named } from '../../ledger/intents/intent-text.js';
import type { ServicePool } from '../../service/pool/pools.js';
import { numberOrNullOf, textOf, textOrNullOf } from '../../service/row.js';
import { note, sql } from '../../service/sql.js';
import type { PartitionList } from '../../sql/grammar/alter-partition.js';
import { decodeName } from '../../steps/names/decode-name.js';
import type { OneTable } from '../../steps/one-table.js';
import type { Signal } from '../../steps/session/signal.js';
import { ER_WRONG_PARTITION_NAME } from '../../wire/server-errors.js';
import type { ServerVersion } from '../../wire/server-version.js';

/** A partition, or a subpartition, with rows of its own. */
export interface Partition {
  readonly partition: string;
  readonly subpartition: string | null;
  readonly rowEstimate: number | null;
  readonly byteEstimate: number | null;
}

/**
 * What the names mean. `fails`: the server would fail, in the words for as many as `missing`, or in
 * those for the first of the names that isn't there.
 */
export type Meant =
  | FoundPartitions
  | { readonly kind: 'fails'; readonly missing: number; readonly saysWhich: boolean }
  | { readonly kind: 'error'; readonly signal: Signal }
  | { readonly kind: 'refused'; readonly error: UndropError };

export interface FoundPartitions {
  readonly kind: 'found';
  readonly parts: readonly Partition[];
  readonly missing: number;
  /** Behind it the server counts on from the highest AUTO_INCREMENT of the other partitions. */
  readonly resets: boolean;
}

/** What an EXCHANGE names. */
export function nameOf({ partition, subpartition }: Partition): string {
  return subpartition ?? partition;
}

/** In their order; none of a table that isn't partitioned. */
export async function readPartitions(
  pool: ServicePool,
  { schema, table }: Pick<OneTable, 'schema' | 'table'>,
): Promise<readonly Partition[]> {
  const [rows = []] = await pool.run(
    sql`SELECT ${note('partitions')} PARTITION_NAME AS part, SUBPARTITION_NAME AS sub,
        TABLE_ROWS AS rowEstimate, DATA_LENGTH + INDEX_LENGTH AS byteEstimate
      FROM information_schema.PARTITIONS
      WHERE ${named(schema, table)} AND PARTITION_NAME IS NOT NULL
      ORDER BY PARTITION_ORDINAL_POSITION, SUBPARTITION_ORDINAL_POSITION`,
  );
  return rows.map((row) => ({
    partition: textOf(row, 'part'),
    subpartition: textOrNullOf(row, 'sub'),
    rowEstimate: numberOrNullOf(row, 'rowEstimate'),
    byteEstimate: numberOrNullOf(row, 'byteEstimate'),
  }));
}

/** `all`: at least one. */
export function whatIsMeant(
  list: PartitionList,
  all: readonly Partition[],
  { charset, server }: { readonly charset: string; readonly server: ServerVersion },
): Meant {
  const resets = list.verb === 'truncate';
  if (list.names === 'all') return { kind: 'found', parts: all, missing: 0, resets };
  let names: readonly string[];
  try {
    names = list.names.map(({ partition }) => decodeName(partition, charset));
  } catch (error) {
    if (error instanceof UndropError) return { kind: 'refused', error };
    throw error;
  }
  const there = new Set(all.flatMap((one) => [one.partition, one.subpartition ?? '']));
  const isOdd = (name: string) => ![...there].some((one) => isNamed(one, name));
  if (names.some((name) => isOdd(name) && [...there].some((one) => isPerhapsNamed(one, name)))) {
    const why = 'only the server can say whether a partition of another case is meant';
    return { kind: 'refused', error: new UndropError('UNDROP_NOT_UNDERSTOOD', { why }) };
  }
  return list.verb === 'drop' ? toDrop(names, all, list) : toTruncate(names, all, server);
}

/** The list without partitions that aren't there any more, as we have taken them. */
export function withoutThose(
  list: PartitionList,
  taken: ReadonlySet<string>,
  charset: string,
): PartitionList {
  if (list.names === 'all' || taken.size === 0) return list;
  const isTaken = (name: string) => [...taken].some((one) => isNamed(one, name));
  const names = list.names.filter(({ partition }) => !isTaken(decodeName(partition, charset)));
  return { ...list, names };
}

/**
 * The server counts the names first, whatever they are, without those that MariaDB passes by; one
 * that comes twice is found once.
 */
function toDrop(
  names: readonly string[],
  all: readonly Partition[],
  { ifExists }: PartitionList,
): Meant {
  const partitions = new Set(all.map(({ partition }) => partition));
  const parts = all.filter(({ partition }) => names.some((name) => isNamed(partition, name)));
  const found = new Set(parts.map(({ partition }) => partition)).size;
  const isThere = (name: string) => parts.some(({ partition }) => isNamed(partition, name));
  const missing = names.filter((name) => !isThere(name)).length;
  const counted = ifExists ? names.length - missing : names.length;
  const isTwice = found + missing < names.length;
  if (counted >= partitions.size || isTwice || (missing > 0 && !ifExists)) {
    return { kind: 'fails', missing: counted, saysWhich: false };
  }
  return { kind: 'found', parts, missing, resets: false };
}

/** Before MySQL 8 and on MariaDB: of one that comes twice, and of a subpartition. */
const INCORRECT: Signal = {
  errno: ER_WRONG_PARTITION_NAME,
  sqlState: 'HY000',
  message: 'Incorrect partition name',
};

function toTruncate(
  names: readonly string[],
  all: readonly Partition[],
  server: ServerVersion,
): Meant {
  const isNew = server.flavour === 'mysql' && server.versionId >= 80_000;
  const isOfPartition = (name: string) => all.some((one) => isNamed(one.partition, name));
  const isOfSub = (name: string) => all.some((one) => isNamed(one.subpartition ?? '', name));
  if (!names.every((name) => isOfPartition(name) || isOfSub(name))) {
    return { kind: 'fails', missing: 1, saysWhich: true };
  }
  const isTwice = new Set(names.map(inLowerLatin)).size < names.length;
  if (!isNew && (isTwice || !names.every(isOfPartition))) {
    return { kind: 'error', signal: INCORRECT };
  }
  const parts = all.filter(({ partition, subpartition }) =>
    names.some((name) => isNamed(partition, name) || isNamed(subpartition ?? '', name)),
  );
  // A table has one number there, which goes back with all of its rows alone.
  const resets = !isNew || parts.length === all.length;
  return { kind: 'found', parts, missing: 0, resets };
}

/**
 * The same name for sure. How a server folds the case of other letters is its own (ß and ẞ are two
 * names, or one), so a name that is there only by more than that is refused.
 */
function isNamed(partition: string, name: string): boolean {
  return partition === name || inLowerLatin(partition) === inLowerLatin(name);
}

function inLowerLatin(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase());
}

function isPerhapsNamed(partition: string, name: string): boolean {
  const fold = (one: string) => one.normalize('NFKD').toUpperCase().toLowerCase();
  return !isNamed(partition, name) && fold(partition) === fold(name);
}
