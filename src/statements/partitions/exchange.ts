/**
 * Takes rows of partitions under hold names, by the service account. A partition is exchanged with
 * an empty table, which is atomic. To drop it, MySQL does that under LOCK TABLES, so that nobody
 * writes to it between; MariaDB, which fails at an exchange under such a lock while others wait
 * (10.11: 1205, 11.8: for ever), makes a table of it by one atomic CONVERT PARTITION.
 *
 * Invariants: a partition is dropped only where a look under the same lock has found it empty, or
 * as the very table that is held. A table takes part in one exchange only: a second one would give
 * the rows back.
 */
import { UndropError } from '../../errors.js';
import { isVersioned } from '../../held/foreign-keys/read-definition.js';
import { readTable } from '../../held/foreign-keys/read-table.js';
import { ownDefinition } from '../../ledger/detached/restore-script.js';
import { createSchema } from '../../ledger/tables.js';
import type { IntentFacts } from '../../ledger/write.js';
import { formatHoldName } from '../../names/hold-name.js';
import { recycleSchemaFor } from '../../names/recycle-schema.js';
import { hasRows } from '../../service/has-rows.js';
import { findHoldTables } from '../../service/hold-tables.js';
import { isServerError, type ServicePool } from '../../service/pool/pools.js';
import { runWithTimeout, runWithTimeoutOn } from '../../service/pool/statement-timeout.js';
import { ident, note, quoteIdentifier, type SQLQuery, sql } from '../../service/sql.js';
import {
  inStead,
  type ServiceRenameOutcome,
  serviceRenameOutcomeOf,
} from '../../steps/rename/rename-by-service.js';
import {
  ER_BAD_DB_ERROR,
  ER_DROP_LAST_PARTITION,
  ER_DROP_PARTITION_NON_EXISTENT,
  ER_SUBQUERY_NO_1_ROW,
  ER_TRG_IN_WRONG_SCHEMA,
  METADATA_LOCK_GRANTED,
} from '../../wire/server-errors.js';
import { nameOf, type Partition } from './find-partitions.js';

export interface HeldPartition {
  readonly id: string;
  /** What an EXCHANGE names: the subpartition, where there are some. */
  readonly name: string;
  readonly partition: string;
  readonly holdName: string;
}

/** `locked`: exchanged, and `drops` dropped, under one lock. */
export type SwapWay = 'exchange' | 'convert' | 'locked';

export interface PartitionSwap {
  readonly schema: string;
  readonly table: string;
  readonly way: SwapWay;
  readonly parts: readonly HeldPartition[];
  /** Partitions. */
  readonly drops: readonly string[];
  /** What is in their place counts from 1, as behind a TRUNCATE. */
  readonly resets: boolean;
  readonly holdSchema: string;
  /** sql_log_bin of the user's session. */
  readonly logged: boolean;
  /** How long others may be waited for, in milliseconds. */
  readonly killAfterMs: number;
  /** The server's clock. */
  readonly utcNow: Date;
}

export type SwapHow = Pick<PartitionSwap, 'way' | 'drops' | 'resets' | 'killAfterMs'>;

/** `intent`: of the parts, in order; null where there are none. Null: it is no table any more. */
export function planSwap(
  { schema, table, logged }: Pick<PartitionSwap, 'schema' | 'table' | 'logged'>,
  parts: readonly Partition[],
  intent: IntentFacts | null,
  how: SwapHow,
): PartitionSwap | null {
  const held: HeldPartition[] = [];
  for (const [index, part] of parts.entries()) {
    const seen = intent?.tables[index];
    if (seen === undefined || seen.holdUntil === null) return null;
    if (seen.kind !== 'base' || seen.engine === null) return null;
    const { id, holdUntil } = seen;
    const holdName = formatHoldName({ state: 'HOLD', id, due: holdUntil });
    held.push({ id, partition: part.partition, name: nameOf(part), holdName });
  }
  // As the server stores them.
  const { schema: inSchema, table: name } = intent?.tables[0] ?? { schema, table };
  const utcNow = intent?.utcNow ?? new Date(0);
  const holdSchema = recycleSchemaFor(logged);
  return { ...how, schema: inSchema, table: name, parts: held, holdSchema, logged, utcNow };
}

/** A partition isn't there, is the last, or isn't empty (see `underLock`); or no schema is. */
const GONE = [
  ...METADATA_LOCK_GRANTED,
  ER_DROP_PARTITION_NON_EXISTENT,
  ER_DROP_LAST_PARTITION,
  ER_SUBQUERY_NO_1_ROW,
  ER_BAD_DB_ERROR,
];
/** An hour. */
const LEFT_MS = 3_600_000;

/** The tables that the exchanges need; `versioned` of a table whose partitions are not taken. */
export async function makeEmptyTables(
  pool: ServicePool,
  { schema, table, way, parts, holdSchema, logged, resets }: PartitionSwap,
): Promise<ServiceRenameOutcome | { readonly kind: 'versioned' }> {
  try {
    const [first] = parts;
    const look = await readTable(pool, { id: first?.id ?? '', schema, table });
    if (typeof look === 'string') return { kind: 'gone' };
    // No exchange and no plain look has its rows of other times.
    if (isVersioned(look.definition)) return { kind: 'versioned' };
    if (way === 'convert') return { kind: 'renamed' };
    for (const { id, holdName } of parts) {
      const last = emptyTable(look.definition, table, { holdSchema, holdName, resets });
      const create = () =>
        runWithTimeout(pool, sql`DO ${note('partition', id)} 0`, { logged, last });
      try {
        await create();
      } catch (error) {
        if (!isServerError(error, ER_BAD_DB_ERROR)) throw error;
        await createSchema(pool, holdSchema);
        await create();
      }
    }
    return { kind: 'renamed' };
  } catch (error) {
    if (!isServerError(error)) throw error;
    return serviceRenameOutcomeOf(error);
  }
}

/**
 * As SHOW CREATE TABLE prints it, without PARTITION BY, and the names of CHECKs, which are the
 * schema's. Where that isn't what the partitions are, the exchange says so.
 */
function emptyTable(
  definition: string,
  table: string,
  to: Pick<PartitionSwap, 'holdSchema' | 'resets'> & Pick<HeldPartition, 'holdName'>,
): Buffer {
  const { holdSchema, holdName, resets } = to;
  const own = ownDefinition(definition, table, holdName);
  const columns = own.slice(own.indexOf('\n'));
  // The last: a column may be named so.
  const [clause = ''] = [...columns.matchAll(/\n(?:\/\*!\d+)? PARTITION BY /g)].at(-1) ?? [];
  const end = clause === '' ? columns.length : columns.lastIndexOf(clause);
  const plain = columns
    .slice(0, end)
    .replace(/^ {2}CONSTRAINT `(?:[^`]|``)*` CHECK /gm, '  CHECK ');
  const name = `${quoteIdentifier(holdSchema)}.${quoteIdentifier(holdName)}`;
  return Buffer.from(`CREATE TABLE ${name} (${resets ? withoutNumber(plain) : plain}`);
}

/** Behind the exchange the number to come is the highest that one of its partitions has. */
function withoutNumber(definition: string): string {
  const at = definition.lastIndexOf('\n)');
  const options = definition.slice(at).replace(/( ENGINE=\w+) AUTO_INCREMENT=\d+/, '$1');
  return `${definition.slice(0, at)}${options}`;
}

/** The schema of each that is held, by id. */
export type Taken = ReadonlyMap<string, string>;

/** Rejects where nobody knows what of it happened: the connection broke. `taken`: where all are. */
export async function swapPartitions(
  pool: ServicePool,
  swap: PartitionSwap,
): Promise<{ readonly outcome: ServiceRenameOutcome; readonly taken: Taken }> {
  const { parts, way, holdSchema, logged, killAfterMs } = swap;
  const ids = parts.map(({ id }) => id);
  const taken = new Map(ids.map((id) => [id, holdSchema]));
  const outcome = await inStead(pool, { ids, logged, gone: GONE }, async (connection) => {
    const run: Run = (text) => runWithTimeoutOn(connection, pool, text, { killAfterMs, logged });
    switch (way) {
      case 'locked':
        await run(underLock(swap));
        return;
      case 'exchange':
        await run(parts.map((part) => exchange(swap, part)));
        return;
      case 'convert':
        await convert(pool, swap, { taken, run });
    }
  });
  return { outcome, taken };
}

type Run = (text: readonly SQLQuery[]) => Promise<unknown>;

/**
 * Those that are under hold names. `filled`: an empty one is that which was
 * made for an exchange, whether there was one or not.
 */
export async function findTaken(
  pool: ServicePool,
  { schema, parts, holdSchema }: PartitionSwap,
  which: 'all' | 'filled',
): Promise<Taken> {
  const taken = new Map<string, string>();
  for (const { id } of parts) {
    for (const found of await findHoldTables(pool, [schema, holdSchema], id)) {
      if (which === 'all' || (await hasRows(pool, found))) taken.set(id, found.schema);
    }
  }
  return taken;
}

/**
 * Whether this account can lock the table at all, before rows are taken out of partitions that are
 * dropped under a lock.
 */
export function tryLock(
  pool: ServicePool,
  { schema, table, killAfterMs }: Pick<PartitionSwap, 'schema' | 'table' | 'killAfterMs'>,
): Promise<ServiceRenameOutcome> {
  const lock = sql`LOCK ${note('partition')} TABLES ${ident(schema, table)} READ`;
  const texts = [SHORT_SILENCE, lock, sql`UNLOCK TABLES`];
  return inStead(pool, { ids: [], logged: true, gone: GONE }, async (connection) => {
    await runWithTimeoutOn(connection, pool, texts, { killAfterMs });
  });
}

/** Those that have rows, as this account sees it now; `gone` where one of them isn't there. */
export async function findFilled(
  pool: ServicePool,
  { schema, table }: Pick<PartitionSwap, 'schema' | 'table'>,
  parts: readonly Partition[],
): Promise<readonly Partition[] | 'gone'> {
  const looks = parts.map(
    (part) => sql`SELECT ${note('partition')} 1 AS one
      FROM ${ident(schema, table)} PARTITION (${ident(nameOf(part))}) LIMIT 1`,
  );
  try {
    const answers = looks.length === 0 ? [] : await pool.run(looks);
    return parts.filter((_part, index) => (answers[index] ?? []).length > 0);
  } catch (error) {
    if (isServerError(error)) return 'gone';
    throw error;
  }
}

/** Empty ones that were made for nothing: the collector has them in an hour. */
export async function leaveEmptyTables(
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
      // It was never made, or goes in its time.
      if (!isServerError(error) && !(error instanceof UndropError)) throw error;
    }
  }
}

/** Seconds. Should this machine vanish, the server has the lock back then. */
const SILENCE_SECONDS = 10;
const SHORT_SILENCE = sql`SET SESSION wait_timeout = ${SILENCE_SECONDS},
  SESSION net_read_timeout = ${SILENCE_SECONDS}, SESSION net_write_timeout = ${SILENCE_SECONDS}`;

/**
 * One text: the lock ends with the connection, whatever comes of it. What came into a partition
 * since it was exchanged, or has another place in it since it was looked at, is found by a look
 * that fails then (1242).
 */
function underLock(swap: PartitionSwap): readonly SQLQuery[] {
  const { schema, table, parts, drops, holdSchema } = swap;
  const step = note('partition', parts[0]?.id);
  const own = ident(schema, table);
  const locks = [
    sql`${own} WRITE`,
    ...parts.map(({ holdName }) => sql`${ident(holdSchema, holdName)} WRITE`),
  ];
  const dropped = sql.join(
    drops.map((name) => ident(name)),
    ', ',
  );
  return [
    SHORT_SILENCE,
    sql`LOCK ${step} TABLES ${sql.join(locks, ', ')}`,
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

async function convert(
  pool: ServicePool,
  swap: PartitionSwap,
  { taken, run }: { readonly taken: Map<string, string>; readonly run: Run },
): Promise<void> {
  const { schema, table, parts, holdSchema } = swap;
  for (const { id, partition, holdName } of parts) {
    const into = (place: string) => [
      sql`ALTER ${note('partition', id)} TABLE ${ident(schema, table)}
        CONVERT PARTITION ${ident(partition)} TO TABLE ${ident(place, holdName)}`,
    ];
    try {
      await run(into(holdSchema));
    } catch (error) {
      if (!isServerError(error, ER_TRG_IN_WRONG_SCHEMA, ER_BAD_DB_ERROR)) throw error;
      const isOurs = isServerError(error, ER_BAD_DB_ERROR);
      if (isOurs) await createSchema(pool, holdSchema);
      await run(into(isOurs ? holdSchema : schema));
      if (!isOurs) taken.set(id, schema);
    }
  }
}
