/**
 * The held tables for the statements of undrop itself: on the very server of the user's session,
 * and only tables that this user may see.
 *
 * Invariant: a table without an original name in the ledger is never shown here, and a user who may
 * not restore a table sees it only if this very connection has dropped it.
 */
import { UndropError } from '../../errors.js';
import type { LedgerRow } from '../../ledger/entry.js';
import { AT } from '../../ledger/intents/intent-text.js';
import type { Selection, Sort } from '../../ledger/selection.js';
import { inBatches, inGroups, keyOf, type QualifiedTable } from '../../names/names.js';
import { type Asker, OPERATOR, person } from '../../recycle/asker.js';
import type { Dropped } from '../../recycle/dropped.js';
import { newestFirst } from '../../recycle/held-tables.js';
import { findHeldTables, TABLES_MAX } from '../../recycle/list.js';
import { canComeBack, foldedKey, newestWhole } from '../../recycle/plan-restore.js';
import { isServiceError } from '../../service/errors.js';
import type { ServicePool } from '../../service/pool/pools.js';
import { readServerFacts, type ServerFacts } from '../../service/server-facts.js';
import { isSameServer } from '../../steps/inspect-names.js';
import { newId } from '../../steps/intents.js';
import { SET_IF_EXISTS } from '../../steps/refusals/refusals.js';
import type { SessionFacts, UserFacts } from '../../steps/world.js';
import { findSession } from '../drop-database/read-schema.js';
import type { InterceptOptions } from '../intercepted.js';
import type { BoundName } from './bind.js';
import { askWhichMayBeSeen } from './rights.js';

/**
 * By `sameOfIn` each name: the newest complete held table of that name, else the newest. The
 * privileges were checked before.
 */
export async function readNewest(
  names: ReadonlyMap<string, BoundName>,
  { before, ...asker }: SessionUser & { /** Null: at any time. */ readonly before: Date | null },
  options: InterceptOptions,
): Promise<ReadonlyMap<string, Dropped>> {
  const sameOf = sameOfIn(asker.server);
  const isInTime = ({ droppedAt }: Dropped) =>
    before === null || (droppedAt !== null && droppedAt < before);
  const left = new Map(names);
  const found = new Map<string, Dropped>();
  // There may be thousands of one name.
  for (const enough of [names.size, TABLES_MAX]) {
    for (const some of inBatches([...left.values()], NAMES_OF_QUERY)) {
      const all = await findAll({ names: some }, { ...asker, enough }, options);
      for (const same of inGroups(all.filter(isInTime), ({ origin }) => sameOf(origin))) {
        const newest = newestWhole(same);
        if (newest === undefined) continue;
        const key = sameOf(newest.origin);
        found.set(key, newest);
        if (canComeBack(newest)) left.delete(key);
      }
      const isAll = all.length < enough;
      if (isAll) for (const name of some) left.delete(sameOf(name));
    }
  }
  return found;
}

/** A key that is the same for names which mean the same table on that server. */
export function sameOfIn({ lowerCaseTableNames }: ServerFacts): (name: QualifiedTable) => string {
  return lowerCaseTableNames === 0 ? keyOf : foldedKey;
}

/** More would make a text of a megabyte. */
const NAMES_OF_QUERY = 500;

/** The user and its server. */
export interface SessionUser {
  readonly facts: UserFacts;
  /** By `findServer`. */
  readonly server: ServerFacts;
  /** Default: `TABLES_MAX`. */
  readonly enough?: number;
}

/**
 * Matching held tables, newest first, that this user may see: at least `enough`, if there are as
 * many among the first `TABLES_MAX`. `isCut`: the others were not read, and too few were found.
 */
export function findSeen(
  fit: SeenFit,
  who: SessionUser,
  options: InterceptOptions,
): Promise<{ readonly seen: readonly Dropped[]; readonly isCut: boolean }> {
  return find(fit, { ...who, asker: askerOf(who.facts, options) }, options);
}

/** The same without a look at privileges. */
export async function findAll(
  fit: Selection,
  who: SessionUser,
  options: InterceptOptions,
): Promise<readonly Dropped[]> {
  const { queued, rowsMin } = askerOf(who.facts, options);
  const asker = { ...OPERATOR, queued, rowsMin };
  return (await find(fit, { ...who, asker }, options)).seen;
}

export type SeenFit = Selection & { readonly sort?: Sort };

async function find(
  { sort = 'dropped', ...selection }: SeenFit,
  { server, enough = TABLES_MAX, asker }: SessionUser & { readonly asker: Asker },
  { service: { pool } }: InterceptOptions,
): Promise<{ readonly seen: readonly Dropped[]; readonly isCut: boolean }> {
  const { lowerCaseTableNames } = server;
  const how = { sort, limit: enough, asker };
  const found = await findHeldTables(pool, { lowerCaseTableNames, ...selection }, how);
  return { seen: [...found.tables].sort(newestFirst), isCut: found.isCut };
}

/** The server of the service; rejects if the user's session is on another, or can't be found. */
export async function findServer(
  facts: UserFacts,
  { service: { pool }, session }: InterceptOptions,
): Promise<ServerFacts> {
  const server = await readServerFacts(pool);
  const seen = await findSession(pool, session.threadId, server);
  if (!isSameServer({ session }, seen, facts)) {
    const why = 'the service account cannot find this session on its server';
    throw notUndone(
      why,
      'Connect again; `undrop doctor` lists the privileges that the account lacks.',
    );
  }
  return server;
}

/** The user of this session, who sees what it may restore, and what this connection dropped. */
export function askerOf(facts: UserFacts, options: InterceptOptions): Asker {
  const { session, service, userSession } = options;
  const me = { ...session, proxyId: service.proxyId, user: facts.user };
  const asked = { session: userSession, facts, groupId: newId() };
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
  pool: ServicePool,
  account: string,
  work: () => Promise<T>,
): Promise<T> {
  return inQueue(pool, `restore ${account}`, () => inQueue(pool, 'restore', work));
}
