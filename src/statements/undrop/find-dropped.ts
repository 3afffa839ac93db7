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
import { findRows, type LiveFit } from '../../ledger/read.js';
import { isServiceError, type ServicePool, unlessRefused } from '../../service/pool/pools.js';
import { readServerFacts, type ServerFacts } from '../../service/server-facts.js';
import { isSameServer } from '../../steps/inspect-names.js';
import { newId } from '../../steps/intents.js';
import { SET_IF_EXISTS } from '../../steps/refusals/refusals.js';
import type { UserFacts } from '../../steps/request.js';
import type { SessionFacts } from '../../steps/session/user-session.js';
import { listRows, newestFirst } from '../../undo/list.js';
import { canComeBack } from '../../undo/plan-restore.js';
import type { ErrPacket } from '../../wire/response.js';
import { ABSENT_TABLE } from '../../wire/server-errors.js';
import { findSession } from '../drop-database/read-schema.js';
import type { InterceptOptions } from '../intercepted.js';
import { inSession } from './answer.js';
import type { BoundName } from './bind.js';
import type { Dropped } from './dropped-rows.js';
import { askWhichMayBeSeen, keyOf } from './rights.js';

/** The last of the waiting ones, by pool. */
type Queue = WeakMap<ServicePool, Promise<unknown>>;

export function oneAtATime<T>(queue: Queue, pool: ServicePool, work: () => Promise<T>): Promise<T> {
  const before = queue.get(pool) ?? Promise.resolve();
  const done = before.then(work);
  const noMatter = () => undefined;
  queue.set(pool, done.then(noMatter, noMatter));
  return done;
}

/** Work that needs several connections of the pool at once: these never wait for each other. */
export const restoring: Queue = new WeakMap();

const ofUsers = new WeakMap<ServicePool, Map<string, Promise<unknown>>>();

/**
 * Any user may list held tables any number of times, so a user gets one connection of the pool at a
 * time for it. Nothing in here waits for a client's session, and a reader waits only for other
 * reads.
 */
export function oneOfUser<T>(
  { user, does }: { readonly user: string; readonly does: 'read' | 'restore' },
  pool: ServicePool,
  work: () => Promise<T>,
): Promise<T> {
  const key = `${does} ${user}`;
  const ofPool = ofUsers.get(pool) ?? new Map<string, Promise<unknown>>();
  ofUsers.set(pool, ofPool);
  const done = (ofPool.get(key) ?? Promise.resolve()).then(work);
  const forget = () => {
    if (ofPool.get(key) === over) ofPool.delete(key);
  };
  const over: Promise<unknown> = done.then(forget, forget);
  ofPool.set(key, over);
  return done;
}

/**
 * By `keyOf` each name: the newest complete held table of that name, else the newest. The
 * privileges were checked before. There may be thousands of one name.
 */
export async function readNewest(
  names: ReadonlyMap<string, BoundName>,
  { facts, server, sameOf }: Asker & { readonly sameOf: (name: BoundName) => string },
  options: InterceptOptions,
): Promise<ReadonlyMap<string, Dropped>> {
  const { pool } = options.service;
  const { lowerCaseTableNames } = server;
  const left = new Map(names);
  const found = new Map<string, Dropped>();
  for (let after: string | null = null, isMore = true; isMore && left.size > 0; ) {
    const fit: LiveFit = { names: [...left.values()], lowerCaseTableNames };
    const page = await oneOfUser({ user: facts.user, does: 'read' }, pool, async () => {
      const rows = await readLive(pool, fit, after);
      return { rows, listed: await listDropped(pool, rows.map(whole)) };
    });
    for (const one of page.listed) {
      const key = sameOf(one.origin);
      if (!left.has(key)) continue;
      if (!found.has(key) || canComeBack(one)) found.set(key, one);
      if (canComeBack(one)) left.delete(key);
    }
    after = page.rows.at(-1)?.id ?? null;
    isMore = page.rows.length === PAGE_ROWS;
  }
  return found;
}

/**
 * The maximum of tables that are read for a result set, or for the beginning of an id, in pages.
 */
export const TABLES_MAX = 10_000;
const PAGE_ROWS = 500;

/**
 * Matching held tables, newest first, that this user may see: at least `enough`, if there are as
 * many among the newest `TABLES_MAX`. Privileges are checked page by page, and only visible tables
 * are located.
 */
export async function findSeen(
  fit: LiveFit,
  { facts, server, enough = TABLES_MAX }: Asker & { readonly enough?: number },
  options: InterceptOptions,
): Promise<{ readonly seen: readonly Dropped[]; readonly isCut: boolean } | ErrPacket> {
  const { pool } = options.service;
  const { lowerCaseTableNames } = server;
  const read = <T>(work: () => Promise<T>) =>
    oneOfUser({ user: facts.user, does: 'read' }, pool, work);
  const granted: Granted = new Map();
  const found: Dropped[] = [];
  let after: string | null = null;
  for (let looked = 0; looked < TABLES_MAX && found.length < enough; looked += PAGE_ROWS) {
    const rows: readonly LedgerRow[] = await read(() =>
      readLive(pool, { ...fit, lowerCaseTableNames }, after),
    );
    const seen = await seenBy(rows, { facts, granted }, options);
    if ('errno' in seen) return seen;
    if (seen.length > 0) found.push(...(await read(() => listDropped(pool, seen))));
    after = rows.at(-1)?.id ?? null;
    if (rows.length < PAGE_ROWS) return { seen: found.sort(newestFirst), isCut: false };
  }
  return { seen: found.sort(newestFirst), isCut: true };
}

/** The user and its server. */
export interface Asker {
  readonly facts: UserFacts;
  /** By `findServer`. */
  readonly server: ServerFacts;
}

/** A page, newest first. */
async function readLive(
  pool: ServicePool,
  fit: LiveFit,
  after: string | null,
): Promise<readonly LedgerRow[]> {
  const page = { texts: false, rowsMax: PAGE_ROWS, after };
  const rows = findRows(pool, { by: 'live', ...fit }, page);
  return unlessRefused(rows, [], ...ABSENT_TABLE);
}

type Seen = Pick<Dropped, 'row' | 'statement'>;

function whole(row: LedgerRow): Seen {
  return { row, statement: row.statementText };
}

async function listDropped(pool: ServicePool, seen: readonly Seen[]): Promise<readonly Dropped[]> {
  const byId = new Map(seen.map((one) => [one.row.id, one]));
  const rows = seen.map(({ row }) => row);
  return (await listRows(pool, rows)).flatMap(({ table }) => {
    const one = byId.get(table.id);
    const { origin } = table;
    return one === undefined || origin === null ? [] : [{ ...table, origin, ...one }];
  });
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

/** INSERT on mysql.user implies every other privilege. */
const OF_SERVER = { schema: 'mysql', table: 'user' };

/** Results of earlier checks in the same statement, by `keyOf` the name. */
type Granted = Map<string, boolean>;

/** Tables that this user may restore, and those that this very connection has dropped. */
export async function seenBy(
  rows: readonly LedgerRow[],
  { facts, granted }: { readonly facts: UserFacts; readonly granted: Granted },
  options: InterceptOptions,
): Promise<readonly Seen[] | ErrPacket> {
  const { session, service } = options;
  const me = { ...session, proxyId: service.proxyId, user: facts.user };
  const others = rows.filter((row) => !isOwn(row, me));
  const names = others.length === 0 ? [] : [OF_SERVER, ...others];
  const news = names.filter((name) => !granted.has(keyOf(name)));
  const said = await inSession(askWhichMayBeSeen(news, { facts, groupId: newId() }), options);
  if ('errno' in said) return said;
  for (const name of news) granted.set(keyOf(name), said.has(keyOf(name)));
  return rows.flatMap((row) => {
    if (isOwn(row, me)) return [whole(row)];
    // A statement may name, or read, objects that this user may not see.
    const statement = granted.get(keyOf(OF_SERVER)) === true ? row.statementText : null;
    return granted.get(keyOf(row)) === true ? [{ row, statement }] : [];
  });
}

/** Whether this very connection has dropped it: its user may see the row without any privilege. */
function isOwn(
  row: LedgerRow,
  session: SessionFacts & { readonly proxyId: string; readonly user: string },
): boolean {
  return (
    row.threadId === session.threadId &&
    // The ledger's row also has the server.
    row.proxyId.startsWith(`${session.proxyId}${AT}`) &&
    row.upstreamPort === session.upstreamLocalPort &&
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
