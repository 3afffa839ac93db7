/**
 * What is held, as the statements of undrop's own see it: on the very server of the user's session,
 * and only what that user may see.
 *
 * Invariant: a table whose origin the ledger doesn't know is seen by nobody here, and who may not
 * bring a table back sees it only if this very connection has dropped it.
 */
import { UndropError } from '../../errors.js';
import { AT } from '../../ledger/intents/intent-text.js';
import { isServiceError, type ServicePool } from '../../service/pool/pools.js';
import { readServerFacts, type ServerFacts } from '../../service/server-facts.js';
import { isSameServer } from '../../steps/inspect-names.js';
import { newId } from '../../steps/intents.js';
import { SET_IF_EXISTS } from '../../steps/refusals/refusals.js';
import type { UserFacts } from '../../steps/request.js';
import type { SessionFacts } from '../../steps/session/user-session.js';
import { listWithRows, type Wanted } from '../../undo/list.js';
import type { ErrPacket } from '../../wire/response.js';
import { findSession } from '../drop-database/read-schema.js';
import type { InterceptOptions } from '../intercepted.js';
import { inSession } from './answer.js';
import type { Dropped } from './dropped-rows.js';
import { askWhichMayBeSeen, keyOf } from './rights.js';

/** The last of those that wait, by pool. */
export type Queue = WeakMap<ServicePool, Promise<unknown>>;

interface AllDropped {
  readonly dropped: readonly Dropped[];
  /** The server takes names for one that differ in case alone. */
  readonly foldsCase: boolean;
}

/**
 * Held tables on the very server that the user's session is on, newest first: all, or those that
 * are wanted.
 */
export async function readDropped(
  facts: UserFacts,
  options: InterceptOptions,
  wanted: readonly Wanted[] | null = null,
): Promise<AllDropped> {
  const { pool } = options.service;
  return oneAtATime(reading, pool, () => readAll(facts, options, wanted));
}

/**
 * Anybody may ask what is held, and it is a long list: one statement at a time reads it, so that
 * no drop waits for a connection because of them.
 */
export function oneAtATime<T>(queue: Queue, pool: ServicePool, work: () => Promise<T>): Promise<T> {
  const before = queue.get(pool) ?? Promise.resolve();
  const done = before.then(work);
  const noMatter = () => undefined;
  queue.set(pool, done.then(noMatter, noMatter));
  return done;
}

const reading: Queue = new WeakMap();

/** What needs several connections of the pool at once: nothing waits for the others then. */
export const restoring: Queue = new WeakMap();

async function readAll(
  facts: UserFacts,
  options: InterceptOptions,
  wanted: readonly Wanted[] | null,
): Promise<AllDropped> {
  const { pool } = options.service;
  const server = await findServer(facts, options);
  const dropped = (await listWithRows(pool, wanted)).flatMap(({ table, row }) => {
    const { origin } = table;
    return row === undefined || origin === null
      ? []
      : [{ ...table, origin, row, statement: row.statementText }];
  });
  return { dropped, foldsCase: server.lowerCaseTableNames !== 0 };
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

/** Those that this user may bring back, and what this very connection has dropped. */
export async function seenBy<T extends Pick<Dropped, 'origin' | 'row' | 'statement'>>(
  dropped: readonly T[],
  facts: UserFacts,
  options: InterceptOptions,
): Promise<readonly T[] | ErrPacket> {
  const { session, service } = options;
  const me = { ...session, proxyId: service.proxyId, user: facts.user };
  const asked = { facts, groupId: newId() };
  const others = dropped.filter((one) => !isOwn(one, me)).map(({ origin }) => origin);
  const names = others.length === 0 ? [] : [...others, OF_SERVER];
  const granted = await inSession(askWhichMayBeSeen(names, asked), options);
  if ('errno' in granted) return granted;
  return dropped.flatMap((one) => {
    if (isOwn(one, me)) return [one];
    // A statement may name, or read, what this user may not see.
    const statement = granted.has(keyOf(OF_SERVER)) ? one.statement : null;
    return granted.has(keyOf(one.origin)) ? [{ ...one, statement }] : [];
  });
}

/** Whether this very connection has dropped it: its user may see the row without any right. */
function isOwn(
  { row }: Pick<Dropped, 'row'>,
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
