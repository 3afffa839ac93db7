/**
 * Moves rows of partitions under hold names, by the service account. A partition is exchanged with
 * an empty table, which is atomic. To drop it, MySQL does that under LOCK TABLES, so that no other
 * session writes to it in between; MariaDB, which fails at an exchange under such a lock while
 * others wait (10.11: 1205, 11.8: for ever), makes a table of it by one atomic CONVERT PARTITION.
 *
 * Invariants: a partition is dropped only after a check under the same lock has found it empty, or
 * as the very table that is held. A table takes part in one exchange only: a second one would give
 * the rows back.
 */
import { UndropError } from '../../errors.js';
import { isVersioned, readTable } from '../../held/foreign-keys/read-table.js';
import { ownDefinition } from '../../ledger/detached/detached.js';
import { named } from '../../ledger/intents/intent-text.js';
import { formatHoldName } from '../../names/names.js';
import { isServerError, isServiceError } from '../../service/errors.js';
import { findHoldTables } from '../../service/hold-tables.js';
import type { ServicePool } from '../../service/pool/pools.js';
import { runWithTimeout, runWithTimeoutOn } from '../../service/pool/statement-timeout.js';
import { hasRows } from '../../service/server-facts.js';
import {
  ident,
  note,
  numberOrNullOf,
  type SQLQuery,
  sql,
  textOf,
  textOrNullOf,
} from '../../service/sql.js';
import { partitionsOf, rootCause } from '../../steps/refusals/refusals.js';
import { asOwner, serviceRenameOutcomeOf } from '../../steps/rename/rename-by-service.js';
import type { HeldTable, ServiceRenameOutcome } from '../../steps/world.js';
import {
  ER_BAD_DB_ERROR,
  ER_DROP_LAST_PARTITION,
  ER_DROP_PARTITION_NON_EXISTENT,
  ER_SUBQUERY_NO_1_ROW,
  METADATA_LOCK_GRANTED,
} from '../../wire/server-errors.js';

export interface PartitionPort {
  /** In their order; none for a table that isn't partitioned. */
  readPartitions(table: Table): Promise<readonly Partition[] | UndropError>;
  /**
   * Takes the rows of partitions. Rejects with UNDROP_FATE_UNKNOWN if the connection broke and the
   * result is unknown. `held`: the taken tables, also after a failure.
   */
  takePartitions(swap: PartitionSwap): Promise<TakenPartitions>;
}

/** `sessionId`: of the user's session. */
export function partitionPort(pool: ServicePool, sessionId: number): PartitionPort {
  return {
    readPartitions: (table) => readPartitions(pool, table),
    takePartitions: (swap) => takePartitions(pool, { ...swap, sessionId }),
  };
}

interface TakenPartitions {
  readonly held: readonly HeldTable[];
  readonly outcome: NotExchanged | { readonly kind: 'renamed' };
}

interface Table {
  readonly schema: string;
  readonly table: string;
}

export interface Partition {
  readonly name: string;
  /** Into subpartitions. */
  readonly isDivided: boolean;
  readonly rowEstimate: number | null;
  readonly byteEstimate: number | null;
}

export interface HeldPartition {
  readonly id: string;
  readonly name: string;
  readonly holdName: string;
}

type OwnSwap = PartitionSwap & { readonly sessionId: number };

export interface PartitionSwap extends Table {
  /** `locked`: exchanged, and `drops` dropped, under one lock. */
  readonly way: 'exchange' | 'convert' | 'locked';
  /** Partitions. */
  readonly drops: readonly string[];
  /** How long others may be waited for, in milliseconds. */
  readonly killAfterMs: number;
  readonly parts: readonly HeldPartition[];
  readonly holdSchema: string;
  /** sql_log_bin of the user's session. */
  readonly logged: boolean;
  /** The server's clock. */
  readonly utcNow: Date;
}

/** `versioned`: neither an exchange nor a plain query has the rows of other times. */
export type NotExchanged =
  | Exclude<ServiceRenameOutcome, { kind: 'renamed' }>
  | { readonly kind: 'versioned' };

async function readPartitions(
  pool: ServicePool,
  { schema, table }: Table,
): Promise<readonly Partition[] | UndropError> {
  try {
    const [rows = []] = await pool.run(
      sql`SELECT ${note('partitions')} PARTITION_NAME AS name, SUBPARTITION_NAME AS sub,
          TABLE_ROWS AS rowEstimate, DATA_LENGTH + INDEX_LENGTH AS byteEstimate
        FROM information_schema.PARTITIONS
        WHERE ${named(schema, table)} AND PARTITION_NAME IS NOT NULL
        ORDER BY PARTITION_ORDINAL_POSITION`,
    );
    return rows.map((row) => ({
      name: textOf(row, 'name'),
      isDivided: textOrNullOf(row, 'sub') !== null,
      rowEstimate: numberOrNullOf(row, 'rowEstimate'),
      byteEstimate: numberOrNullOf(row, 'byteEstimate'),
    }));
  } catch (error) {
    if (!isServiceError(error)) throw error;
    const params = { tables: partitionsOf({ schema, table }), cause: rootCause(error) };
    return new UndropError('UNDROP_NOT_RECORDED', params, error);
  }
}

async function takePartitions(pool: ServicePool, swap: OwnSwap): Promise<TakenPartitions> {
  try {
    const outcome = (await makeEmptyTables(pool, swap)) ?? (await swapPartitions(pool, swap));
    const isDone = outcome.kind === 'renamed';
    const { holdSchema, parts } = swap;
    const taken = new Set(isDone ? parts.map(({ id }) => id) : await findExchanged(pool, swap));
    await leaveEmptyTables(pool, { ...swap, parts: parts.filter(({ id }) => !taken.has(id)) });
    const held = parts.filter(({ id }) => taken.has(id));
    const at = { holdSchema, relocated: true, failure: null };
    return { held: held.map(({ id, holdName }) => ({ id, holdName, ...at })), outcome };
  } catch (error) {
    // An unknown state of rows is never reported as known.
    const params = { tables: 'Some partitions were', cause: rootCause(error) };
    throw new UndropError('UNDROP_FATE_UNKNOWN', params, error);
  }
}

/**
 * A partition doesn't exist, is the last, or isn't empty (see `underLock`); or the schema doesn't
 * exist.
 */
const GONE = [
  ...METADATA_LOCK_GRANTED,
  ER_DROP_PARTITION_NON_EXISTENT,
  ER_DROP_LAST_PARTITION,
  ER_SUBQUERY_NO_1_ROW,
  ER_BAD_DB_ERROR,
];
/** An hour. */
const LEFT_MS = 3_600_000;

/** The tables for the exchanges. Null: they exist. */
async function makeEmptyTables(
  pool: ServicePool,
  { schema, table, way, parts, holdSchema, logged }: PartitionSwap,
): Promise<NotExchanged | ServiceRenameOutcome | null> {
  try {
    const look = await readTable(pool, { id: parts[0]?.id ?? '', schema, table });
    if (typeof look === 'string') return { kind: 'gone' };
    if (isVersioned(look.definition)) return { kind: 'versioned' };
    if (way === 'convert') return null;
    for (const { id, holdName } of parts) {
      const last = emptyTable(look.definition, table, `\`${holdSchema}\`.\`${holdName}\``);
      await runWithTimeout(pool, sql`DO ${note('partition', id)} 0`, { logged, last });
    }
    return null;
  } catch (error) {
    if (error instanceof UndropError) return { kind: 'failed', cause: rootCause(error) };
    if (!isServerError(error)) throw error;
    return serviceRenameOutcomeOf(error);
  }
}

/**
 * The output of SHOW CREATE TABLE, without PARTITION BY, and without the names of CHECKs, which are
 * unique in the schema. If the partitions differ from that, the exchange fails.
 */
function emptyTable(definition: string, table: string, name: string): Buffer {
  const own = ownDefinition(definition, table, 'own');
  const columns = own.slice(own.indexOf('\n'));
  // The last one, because a column may have that name.
  const [clause = ''] = [...columns.matchAll(/\n(?:\/\*!\d+)? PARTITION BY /g)].at(-1) ?? [];
  const end = clause === '' ? columns.length : columns.lastIndexOf(clause);
  const plain = columns
    .slice(0, end)
    .replace(/^ {2}CONSTRAINT `(?:[^`]|``)*` CHECK /gm, '  CHECK ');
  return Buffer.from(`CREATE TABLE ${name} (${plain}`);
}

/** Rejects if the result is unknown. */
export async function swapPartitions(
  pool: ServicePool,
  swap: OwnSwap,
): Promise<ServiceRenameOutcome> {
  const { parts, way, logged, killAfterMs, sessionId } = swap;
  const ids = parts.map(({ id }) => id);
  const owned = { ids, logged, sessionId, gone: GONE };
  const swapOn: Parameters<typeof asOwner>[2] = async (connection, { takeOver }) => {
    // It may be left under LOCK TABLES.
    connection.discard();
    const verb = way === 'convert' ? convert : exchange;
    const texts = way === 'locked' ? underLock(swap) : parts.map((part) => verb(swap, part));
    // A second EXCHANGE of a partition would undo the first.
    const how = { killAfterMs, logged, once: true };
    await runWithTimeoutOn(connection, pool, [...takeOver, ...texts], how);
    return 'owned';
  };
  const outcome = await asOwner(pool, owned, swapOn);
  // Exchanging a partition again would undo the exchange.
  if (outcome.kind !== 'denied' || (await findExchanged(pool, swap)).length > 0) return outcome;
  return asOwner(pool, { ...owned, fresh: true }, swapOn);
}

/**
 * Tables with rows under hold names; an empty one may have been created for an exchange that didn't
 * happen.
 */
async function findExchanged(
  pool: ServicePool,
  { parts, holdSchema, way }: PartitionSwap,
): Promise<readonly string[]> {
  const taken: string[] = [];
  for (const { id } of parts) {
    const [found] = await findHoldTables(pool, [holdSchema], id);
    if (found === undefined) continue;
    if (way === 'convert' || (await hasRows(pool, found))) taken.push(id);
  }
  return taken;
}

/** Empty tables of no use: the collector removes them after an hour. */
async function leaveEmptyTables(
  pool: ServicePool,
  { parts, holdSchema, logged, utcNow }: PartitionSwap,
): Promise<void> {
  for (const { id, holdName } of parts) {
    const due = new Date(utcNow.getTime() + LEFT_MS);
    const name = formatHoldName({ state: 'HOLD', id, due });
    const rename = sql`RENAME ${note('partition', id)}
      TABLE ${ident(holdSchema, holdName)} TO ${ident(holdSchema, name)}`;
    try {
      await runWithTimeout(pool, rename, { logged });
    } catch (error) {
      // It was never created, or the collector removes it.
      if (!isServiceError(error)) throw error;
    }
  }
}

/** In seconds. If this machine vanishes, the server gets the lock back then. */
const SILENCE_SECONDS = 10;
const SHORT_SILENCE = sql`SET SESSION wait_timeout = ${SILENCE_SECONDS},
  SESSION net_read_timeout = ${SILENCE_SECONDS}, SESSION net_write_timeout = ${SILENCE_SECONDS}`;

/**
 * A single text: the lock ends with the connection in any case. New rows in a partition since its
 * exchange, or a changed position since the last read, make a query in it fail (1242).
 */
function underLock(swap: PartitionSwap): readonly SQLQuery[] {
  const { schema, table, parts, drops, holdSchema } = swap;
  const step = note('partition', parts[0]?.id);
  const own = ident(schema, table);
  const held = parts.map(({ holdName }) => sql`${ident(holdSchema, holdName)} WRITE`);
  const locks = sql.join([sql`${own} WRITE`, ...held], ', ');
  const names = drops.map((name) => ident(name));
  const dropped = sql.join(names, ', ');
  return [
    SHORT_SILENCE,
    sql`LOCK ${step} TABLES ${locks}`,
    ...parts.map((part) => exchange(swap, part)),
    sql`SELECT ${step} IF(COUNT(*) = 0, 1, (SELECT 1 UNION SELECT 2)) AS isEmpty
      FROM (SELECT 1 FROM ${own} PARTITION (${dropped}) LIMIT 1) AS found`,
    sql`ALTER ${step} TABLE ${own} DROP PARTITION ${dropped}`,
    sql`UNLOCK TABLES`,
  ];
}

function exchange({ schema, table, holdSchema }: PartitionSwap, part: HeldPartition): SQLQuery {
  return sql`ALTER ${note('partition', part.id)} TABLE ${ident(schema, table)}
    EXCHANGE PARTITION ${ident(part.name)} WITH TABLE ${ident(holdSchema, part.holdName)}`;
}

function convert({ schema, table, holdSchema }: PartitionSwap, part: HeldPartition): SQLQuery {
  return sql`ALTER ${note('partition', part.id)} TABLE ${ident(schema, table)}
    CONVERT PARTITION ${ident(part.name)} TO TABLE ${ident(holdSchema, part.holdName)}`;
}
