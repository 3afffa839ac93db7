/**
 * What is held, as the statements of undrop's own see it: on the very server of the user's session,
 * and only what that user may see.
 *
 * Invariant: a table whose origin the ledger doesn't know is seen by nobody here, and who may not
 * bring a table back sees it only if this very connection has dropped it.
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

/** The last of those that wait, by pool. */
type Queue = WeakMap<ServicePool, Promise<unknown>>;

export function oneAtATime<T>(queue: Queue, pool: ServicePool, work: () => Promise<T>): Promise<T> {
  const before = queue.get(pool) ?? Promise.resolve();
  const done = before.then(work);
  const noMatter = () => undefined;
  queue.set(pool, done.then(noMatter, noMatter));
  return done;
}

/** What needs several connections of the pool at once: nothing waits for the others then. */
export const restoring: Queue = new WeakMap();

const ofUsers = new WeakMap<ServicePool, Map<string, Promise<unknown>>>();

/**
 * Anybody may ask what is held, as often as he likes: a user has one connection of the pool at a
 * time for it. Nothing in here waits for a client's session, and who reads waits for nobody else.
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
 * By `keyOf` each name: of the held tables of that name the newest that is whole, else the newest.
 * What this user may do with them was asked before. There may be thousands of one name.
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

/** So many are looked at for a result set, or for the beginning of an id, in pages of so many. */
export const TABLES_MAX = 10_000;
const PAGE_ROWS = 500;

/**
 * Held tables that fit, newest first, as far as this user may see them: at least `enough`, if so
 * many of the newest `TABLES_MAX` are. Rights are asked page by page, and where the table is held
 * is looked up of those alone that may be seen.
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

/** Who asks, and where. */
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

/** The server of the service; rejects if the user's session is on another, or can't be seen. */
export async function findServer(
  facts: UserFacts,
  { service: { pool }, session }: InterceptOptions,
): Promise<ServerFacts> {
  const server = await readServerFacts(pool);
  const seen = await findSession(pool, session.threadId, server);
  if (!isSameServer({ session }, seen, facts)) {
    const why = 'the service account does not see this session on its server';
    throw notUndone(why, 'Connect anew; `undrop doctor` tells what the account lacks.');
  }
  return server;
}

/** Who may fill this may do anything. */
const OF_SERVER = { schema: 'mysql', table: 'user' };

/** What was asked before in the same statement, by `keyOf` the name. */
type Granted = Map<string, boolean>;

/** Those that this user may bring back, and what this very connection has dropped. */
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
    // A statement may name, or read, what this user may not see.
    const statement = granted.get(keyOf(OF_SERVER)) === true ? row.statementText : null;
    return granted.get(keyOf(row)) === true ? [{ row, statement }] : [];
  });
}

/** Whether this very connection has dropped it: its user may see the row without any right. */
function isOwn(
  row: LedgerRow,
  session: SessionFacts & { readonly proxyId: string; readonly user: string },
): boolean {
  return (
    row.threadId === session.threadId &&
    // The ledger's row says on which server, too.
    row.proxyId.startsWith(`${session.proxyId}${AT}`) &&
    row.upstreamPort === session.upstreamLocalPort &&
    row.clientAddress === session.clientAddress &&
    row.user === session.user
  );
}

/** The service restores by itself, whatever the session has set for its own statements. */
export function refuseUnder({ gtidNext, addsIfExists }: UserFacts): void {
  if (gtidNext !== null) {
    throw notUndone('the session has set GTID_NEXT', "SET SESSION gtid_next = 'AUTOMATIC' first.");
  }
  if (addsIfExists) throw notUndone('sql_if_exists is set', SET_IF_EXISTS);
}

/** What the service failed with, for the client; anything else is a defect, and thrown. */
export function undropErrorOf(error: unknown): UndropError {
  if (!isServiceError(error)) throw error;
  if (error instanceof UndropError) return error;
  return notUndone(`the service account was answered: ${error.message}`, 'Try again.');
}

function notUndone(why: string, instead: string): UndropError {
  return new UndropError('UNDROP_NOT_UNDONE', { why, instead });
}
