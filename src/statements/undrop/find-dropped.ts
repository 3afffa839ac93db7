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
import { findPage, type LiveFit } from '../../ledger/read.js';
import { listPage, NAMED_MAX, newestFirst } from '../../restore/held-tables.js';
import { canComeBack } from '../../restore/plan-restore.js';
import { isServiceError, unlessRefused } from '../../service/errors.js';
import type { ServicePool } from '../../service/pool/pools.js';
import { readServerFacts, type ServerFacts } from '../../service/server-facts.js';
import { isSameServer } from '../../steps/inspect-names.js';
import { newId } from '../../steps/intents.js';
import { SET_IF_EXISTS } from '../../steps/refusals/refusals.js';
import type { SessionFacts, UserFacts } from '../../steps/world.js';
import { ABSENT_TABLE } from '../../wire/server-errors.js';
import { findSession } from '../drop-database/read-schema.js';
import type { InterceptOptions } from '../intercepted.js';
import type { BoundName } from './bind.js';
import type { Dropped } from './dropped-columns.js';
import { askWhichMayBeSeen, keyOf } from './rights.js';

/**
 * By `keyOf` each name: the newest complete held table of that name, else the newest. The
 * privileges were checked before. There may be thousands of one name.
 */
export async function readNewest(
  names: ReadonlyMap<string, BoundName>,
  {
    facts,
    server,
    sameOf,
    before,
  }: Asker & {
    readonly sameOf: (name: BoundName) => string;
    /** Null: at any time. */
    readonly before: Date | null;
  },
  options: InterceptOptions,
): Promise<ReadonlyMap<string, Dropped>> {
  const { pool } = options.service;
  const { lowerCaseTableNames } = server;
  const left = new Map(names);
  const found = new Map<string, Dropped>();
  const fitOf = () => ({ names: [...left.values()], lowerCaseTableNames });
  for await (const { rows } of readPages(pool, facts, fitOf)) {
    for (const one of await listDropped(pool, facts, rows.map(whole))) {
      const key = sameOf(one.origin);
      const isLate = before !== null && !(one.droppedAt !== null && one.droppedAt < before);
      if (isLate || !left.has(key)) continue;
      if (!found.has(key) || canComeBack(one)) found.set(key, one);
      if (canComeBack(one)) left.delete(key);
    }
    if (left.size === 0) break;
  }
  return found;
}

/**
 * The maximum of tables that are read for a result set, or for the beginning of an id, in pages.
 */
export const TABLES_MAX = 10_000;
/** Others wait while a page is decoded; a small LIMIT needs few rows. */
const FIRST_ROWS_MIN = 50;
const PAGE_ROWS = 200;
/** For whom wants all, because each page costs one look at all names. */
const PAGE_ROWS_MAX = 500;
/** Up to so many are located by their names, in slices; for more, one look at all is quicker. */
const SLICED_MAX = 5 * NAMED_MAX;

/** `among`: those of ledger/read.ts; default: `live`. */
export type SeenFit = LiveFit & { readonly among?: 'live' | 'largest' | 'not-in-hold' };

/**
 * Matching held tables, newest first, that this user may see: at least `enough`, if there are as
 * many among the first `TABLES_MAX`. Privileges are checked page by page, and only visible tables
 * are located. `isCut`: the others were not read, although too few were found.
 */
export async function findSeen(
  fit: SeenFit,
  { facts, server, enough = TABLES_MAX }: Asker & { readonly enough?: number },
  options: InterceptOptions,
): Promise<{ readonly seen: readonly Dropped[]; readonly isCut: boolean }> {
  const { pool } = options.service;
  const fitted = { ...fit, lowerCaseTableNames: server.lowerCaseTableNames };
  const granted: Granted = new Map();
  const found: Dropped[] = [];
  let looked = 0;
  let isCut = false;
  for await (const { rows, isLast } of readPages(pool, facts, () => fitted, enough)) {
    looked += rows.length;
    const seen = await seenBy(rows, { facts, granted }, options);
    let left = fit.text === undefined ? seen : seen.filter(searchFor(fit.text));
    while (left.length > 0 && found.length < enough) {
      // A few are located by their names, which costs the same among any number.
      const missing = enough - found.length;
      const count = missing > SLICED_MAX ? left.length : Math.min(missing, NAMED_MAX);
      found.push(...(await listDropped(pool, facts, left.slice(0, count))));
      left = left.slice(count);
    }
    isCut = !isLast && looked >= TABLES_MAX && found.length < enough;
    if (isCut || found.length >= enough) break;
  }
  return { seen: found.sort(newestFirst), isCut };
}

/**
 * All that match, newest first, without a look at privileges; at most the newest `TABLES_MAX`.
 */
export async function findAll(
  fit: LiveFit,
  { facts, server }: Asker,
  { service: { pool } }: InterceptOptions,
): Promise<readonly Dropped[]> {
  const found: Dropped[] = [];
  const fitted = { ...fit, lowerCaseTableNames: server.lowerCaseTableNames };
  for await (const { rows } of readPages(pool, facts, () => fitted)) {
    found.push(...(await listDropped(pool, facts, rows.map(whole))));
    if (found.length >= TABLES_MAX) break;
  }
  return found.sort(newestFirst);
}

/** The user and its server. */
export interface Asker {
  readonly facts: UserFacts;
  /** By `findServer`. */
  readonly server: ServerFacts;
}

/**
 * Ledger rows of tables that are, or may be, held. `fitOf`: called for each page; `enough`: the
 * rows that may be enough.
 */
async function* readPages(
  pool: ServicePool,
  { account }: UserFacts,
  fitOf: () => SeenFit,
  enough = TABLES_MAX,
): AsyncGenerator<{ readonly rows: readonly LedgerRow[]; readonly isLast: boolean }> {
  const cursor = { after: null };
  const most = enough > SLICED_MAX ? PAGE_ROWS_MAX : PAGE_ROWS;
  let rowsMax = Math.min(Math.max(enough, FIRST_ROWS_MIN), most);
  for (let isLast = false; !isLast; rowsMax = most) {
    const page = { cursor, rowsMax };
    const { among: by = 'live', ...fit } = fitOf();
    const rows = await inQueue(pool, `read ${account}`, () =>
      unlessRefused(findPage(pool, { by, ...fit }, page), [], ...ABSENT_TABLE),
    );
    isLast = rows.length < rowsMax;
    yield { rows, isLast };
  }
}

/** The same as SEARCHED of ledger/read.ts, in what this user sees of a row alone. */
function searchFor(text: string): (seen: Seen) => boolean {
  const part = text.toLowerCase();
  return ({ row: { id, groupId, schema, table, user }, statement }) =>
    [id, groupId, `${schema}.${table}`, user, statement].join(' ').toLowerCase().includes(part);
}

interface Seen extends Pick<Dropped, 'statement'> {
  readonly row: LedgerRow;
}

function whole(row: LedgerRow): Seen {
  return { row, statement: row.statementText };
}

async function listDropped(
  pool: ServicePool,
  { account }: UserFacts,
  seen: readonly Seen[],
): Promise<readonly Dropped[]> {
  const statements = new Map(seen.map(({ row, statement }) => [row.id, statement]));
  const rows = seen.map(({ row }) => row);
  const listed = await inQueue(pool, `read ${account}`, () => listPage(pool, rows));
  return listed.flatMap((table) => {
    const { id, origin } = table;
    return origin === null ? [] : [{ ...table, origin, statement: statements.get(id) ?? null }];
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
): Promise<readonly Seen[]> {
  const { session, service } = options;
  const me = { ...session, proxyId: service.proxyId, user: facts.user };
  const others = rows.filter((row) => !isOwn(row, me));
  const names = others.length === 0 ? [] : [OF_SERVER, ...others];
  const news = names.filter((name) => !granted.has(keyOf(name)));
  const { userSession } = options;
  const asked = { session: userSession, facts, groupId: newId() };
  const said = await askWhichMayBeSeen(news, asked);
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
