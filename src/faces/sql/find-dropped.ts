/**
 * The held tables for the statements of undrop itself: on the very server of the user's session,
 * and only tables that this user may see.
 *
 * Invariant: a table without an original name in the ledger is never shown here, and a user who may
 * not restore a table sees it only if this very connection has dropped it.
 */

import { isServiceError, tolerantly } from '../../connections/errors.js';
import { readServerFacts, type ServerFacts, type ServicePool } from '../../connections/sql.js';
import { findSession } from '../../drop/drop-database/read-schema.js';
import { isSameServer } from '../../drop/steps/inspect-names.js';
import { SET_IF_EXISTS } from '../../drop/steps/refusals/refusals.js';
import type { SessionFacts, UserFacts } from '../../drop/steps/world.js';
import { UndropError } from '../../errors.js';
import type { LedgerRow } from '../../ledger/entry.js';
import { AT } from '../../ledger/intents/intent-text.js';
import type { Selection, Sort } from '../../ledger/selection.js';
import { inBatches, inGroups, type QualifiedTable } from '../../names/names.js';
import { type Asker, OPERATOR, person } from '../../recycle/asker.js';
import * as finder from '../../recycle/find-dropped.js';
import { type DroppedTable, newestFirst, originOf } from '../../recycle/held-tables.js';
import { findHeldTables, TABLES_MAX } from '../../recycle/list.js';
import { canComeBack, newestWhole } from '../../recycle/plan-restore.js';
import type { UndoRun } from './answer.js';
import { askWhichMayBeSeen } from './rights.js';

/** Names as the server compares them. */
interface NamesOfServer {
  readonly names: readonly QualifiedTable[];
  readonly lowerCaseTableNames: ServerFacts['lowerCaseTableNames'];
  /** A key that is the same for names which mean the same table. */
  keyIn(name: QualifiedTable): string;
}

/**
 * By the key of each name: the newest complete held table of that name, else the newest. The
 * privileges were checked before. `before`: dropped before then; null: at any time.
 */
export async function findNewest(
  { names, lowerCaseTableNames, keyIn }: NamesOfServer,
  before: Date | null,
  run: UndoRun,
): Promise<ReadonlyMap<string, DroppedTable>> {
  const isInTime = ({ droppedAt }: DroppedTable) =>
    before === null || (droppedAt !== null && droppedAt < before);
  const found = new Map<string, DroppedTable>();
  let left = names;
  // There may be thousands of one name.
  for (const limit of [names.length, TABLES_MAX]) {
    for (const some of inBatches(left, NAMES_OF_QUERY)) {
      const all = await findAll({ lowerCaseTableNames, names: some }, run, limit);
      for (const same of inGroups(all.filter(isInTime), (one) => keyIn(originOf(one)))) {
        const newest = newestWhole(same);
        if (newest !== undefined) found.set(keyIn(originOf(newest)), newest);
      }
    }
    left = left.filter((name) => {
      const newest = found.get(keyIn(name));
      return newest === undefined || !canComeBack(newest);
    });
  }
  return found;
}

/** More would make a text of a megabyte. */
const NAMES_OF_QUERY = 500;

interface Wanted {
  readonly sort?: Sort;
  /** Default: `TABLES_MAX`. */
  readonly limit?: number;
  readonly asker?: Asker;
}

/**
 * Matching held tables, newest first, that this user may see: at least `limit`, if there are as
 * many among the first `TABLES_MAX`. `isCut`: the others were not read, and too few were found.
 */
export async function findSeen(
  selection: Selection,
  run: UndoRun,
  { sort = 'dropped', limit = TABLES_MAX, asker = askerOf(run) }: Wanted = {},
): Promise<{ readonly tables: readonly DroppedTable[]; readonly isCut: boolean }> {
  const found = await findHeldTables(run.service.pool, selection, { sort, limit, asker });
  return { ...found, tables: found.tables.toSorted(newestFirst) };
}

/**
 * The only one with these digits of an id that this user may see: a user who may not see a table
 * must not learn that it exists. Rejects with UNDROP_AMBIGUOUS.
 */
export async function findById(
  id: string,
  run: UndoRun,
  isMeant: (table: DroppedTable) => boolean = () => true,
): Promise<DroppedTable | undefined> {
  const digits = finder.idDigits(id);
  if (!finder.isIdPrefix(digits)) return undefined;
  const { tables } = await findSeen({ digits }, run, { limit: 2 });
  const [table, ...others] = tables.filter(isMeant);
  if (table !== undefined && others.length > 0) throw finder.ambiguous(id, [table, ...others]);
  return table;
}

/** The error with what became of its table, and with near names, as far as this user may see. */
export async function withSeenFate(error: unknown, target: string, run: UndoRun): Promise<unknown> {
  const { pool } = run.service;
  const filter = askerOf(run).filter();
  // Other tables may be back, whatever the session says about names.
  const seen = (rows: readonly LedgerRow[]) => filter(rows).catch(() => []);
  const near = await seen(await finder.readNear(pool, target));
  const { value: ended } = await tolerantly(() => finder.findEndedRows(pool, target));
  return finder.withFate(pool, { target, error, near }, await seen(ended));
}

/** The same without a look at privileges. */
export async function findAll(
  selection: Selection,
  run: UndoRun,
  limit?: number,
): Promise<readonly DroppedTable[]> {
  const { queued, rowsMin } = askerOf(run);
  const asker = { ...OPERATOR, queued, rowsMin };
  return (await findSeen(selection, run, { asker, ...(limit !== undefined && { limit }) })).tables;
}

/** The server of the service; rejects if the user's session is on another, or can't be found. */
export async function findServer({
  facts,
  service: { pool },
  session,
}: UndoRun): Promise<ServerFacts> {
  const server = await readServerFacts(pool);
  const seen = await findSession(pool, session.threadId, server);
  if (isSameServer({ session }, seen, facts)) return server;
  throw notUndone(
    'the service account cannot find this session on its server',
    'Connect again; `undrop doctor` lists the privileges that the account lacks.',
  );
}

/** The user of this session, who sees what it may restore, and what this connection dropped. */
export function askerOf({ session, service, facts, asked }: UndoRun): Asker {
  const me = { ...session, proxyId: service.proxyId, user: facts.user };
  return person((names) => askWhichMayBeSeen(names, asked), {
    queued: (work) => inQueue(service.pool, `read ${facts.account}`, work),
    isOwn: (row) => isOwn(row, me),
  });
}

/** Whether this very connection has dropped it: its user may see the row without any privilege. */
function isOwn(
  row: LedgerRow,
  session: SessionFacts & { readonly proxyId: string; readonly user: string },
): boolean {
  const isThere =
    row.threadId === session.threadId && row.upstreamPort === session.upstreamLocalPort;
  return (
    // A service connection may own an intent (record-intent.ts).
    (isThere || row.state === 'intent') &&
    // The ledger's row also has the server.
    row.proxyId.startsWith(`${session.proxyId}${AT}`) &&
    row.clientAddress === session.clientAddress &&
    row.user === session.user
  );
}

/** The service restores on its own, whatever the session has set for its own statements. */
export function refuseUnder({ gtidNext, addsIfExists }: UserFacts): void {
  if (gtidNext !== null) {
    throw notUndone('the session has set GTID_NEXT', "SET SESSION gtid_next = 'AUTOMATIC' first.");
  }
  if (addsIfExists) throw notUndone('sql_if_exists is set', SET_IF_EXISTS);
}

/** A failure of the service, for the client; anything else is a defect, and thrown. */
export function undropErrorOf(error: unknown): UndropError {
  if (!isServiceError(error)) throw error;
  if (error instanceof UndropError) return error;
  return notUndone(`the server returned to the service account: ${error.message}`, 'Try again.');
}

function notUndone(why: string, instead: string): UndropError {
  return new UndropError('UNDROP_NOT_UNDONE', { why, instead });
}

// ── turns at the pool ────────────────────────────────────────────────────────────────────────────
// For statements of undrop's own: work of one kind is done one after the other. No work in a queue
// waits for a client's session, so each turn ends.

/**
 * read, restore: all requests of a user have one connection at a time. restore alone: needs several
 * connections of the pool at once; the others don't wait for it.
 */
type QueueKey = 'restore' | `read ${string}` | `restore ${string}`;

/** The last of those that wait, by pool and kind. */
const queues = new WeakMap<ServicePool, Map<QueueKey, Promise<unknown>>>();

export function inQueue<T>(pool: ServicePool, key: QueueKey, work: () => Promise<T>): Promise<T> {
  const ofPool = queues.get(pool) ?? new Map<QueueKey, Promise<unknown>>();
  queues.set(pool, ofPool);
  const done = (ofPool.get(key) ?? Promise.resolve()).then(work);
  const forget = () => {
    if (ofPool.get(key) === over) ofPool.delete(key);
  };
  const over: Promise<unknown> = done.then(forget, forget);
  ofPool.set(key, over);
  return done;
}

/** A restore of several steps: in the turn of its account, then of all. */
export function inRestoreQueue<T>(
  { service: { pool }, facts }: UndoRun,
  work: () => Promise<T>,
): Promise<T> {
  return inQueue(pool, `restore ${facts.account}`, () => inQueue(pool, 'restore', work));
}
