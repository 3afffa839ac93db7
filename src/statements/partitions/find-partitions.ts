/** Which partitions an ALTER TABLE … DROP or TRUNCATE PARTITION means, as the service sees them. */

import { UndropError } from '../../errors.js';
import type { PartitionList } from '../../sql/grammar/alter-partition.js';
import { decodeName } from '../../steps/names/decode-name.js';
import type { Signal } from '../../steps/session/signal.js';
import type { ServerVersion } from '../../wire/connection/handshake-v10.js';
import { ER_WRONG_PARTITION_NAME } from '../../wire/server-errors.js';

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
}

/** What an EXCHANGE names. */
export function nameOf({ partition, subpartition }: Partition): string {
  return subpartition ?? partition;
}

interface Context {
  readonly charset: string;
  readonly server: ServerVersion;
  /** Partitions that aren't there any more, because they were taken. */
  readonly gone: ReadonlySet<string>;
}

/** `all`: at least one. */
export function whatIsMeant(
  list: PartitionList,
  all: readonly Partition[],
  { charset, server, gone }: Context,
): Meant {
  if (list.names === 'all') return { kind: 'found', parts: all, missing: 0 };
  let names: readonly string[];
  try {
    const isGone = (name: string) => [...gone].some((one) => isNamed(one, name));
    const asked = list.names.map(({ partition }) => decodeName(partition, charset));
    names = asked.filter((name) => !isGone(name));
  } catch (error) {
    if (error instanceof UndropError) return { kind: 'refused', error };
    throw error;
  }
  const isThere = (name: string) => all.some((part) => isOf(part, name));
  // How a server folds the case of other letters is its own: ß and ẞ are two names, or one.
  if (names.some((name) => !isThere(name) && /[^\0-\x7f]/.test(name))) {
    const why = 'only the server can say whether a partition of another case is meant';
    return { kind: 'refused', error: new UndropError('UNDROP_NOT_UNDERSTOOD', { why }) };
  }
  return list.verb === 'drop' ? toDrop(names, all, list) : toTruncate(names, all, server);
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
  return { kind: 'found', parts, missing };
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
  if (!names.every((name) => all.some((part) => isOf(part, name)))) {
    return { kind: 'fails', missing: 1, saysWhich: true };
  }
  const isTwice = new Set(names.map(inLowerLatin)).size < names.length;
  if (!isNew && (isTwice || !names.every(isOfPartition))) {
    return { kind: 'error', signal: INCORRECT };
  }
  const parts = all.filter((part) => names.some((name) => isOf(part, name)));
  return { kind: 'found', parts, missing: 0 };
}

function isOf({ partition, subpartition }: Partition, name: string): boolean {
  return isNamed(partition, name) || isNamed(subpartition ?? '', name);
}

/** The same name for sure. */
function isNamed(partition: string, name: string): boolean {
  return partition === name || inLowerLatin(partition) === inLowerLatin(name);
}

function inLowerLatin(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase());
}
