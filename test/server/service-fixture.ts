/**
 * What the tests of the service folders share: a user session that drops the way a proxy does.
 * Imports what writes an intent, and recovery: a drop that has got no further than that can't be
 * had from a proxy.
 */
import { randomBytes } from 'node:crypto';
import { Socket } from 'node:net';
import type { RowDataPacket } from 'mysql2/promise';
import { reconcile } from '../../src/collector/reconcile.js';
import { quoteIdentifier, type ServicePool } from '../../src/connections/sql.js';
import { recordIntent } from '../../src/ledger/intents/record-intent.js';
import { type DropIntent, recordOutcome } from '../../src/ledger/write.js';
import { silentLog } from '../../src/log.js';
import { formatHoldName, newHoldId } from '../../src/names/names.js';
import { ledgerRows } from '../support/ledger-rows.js';
import { until } from '../support/poll.js';
import { sample } from '../support/sample.js';
import { connect, hasProcess, type Session, type Target } from '../support/servers.js';
import { tappedPool } from '../support/tapped-pool.js';

export const PROXY_ID = 'proxy-of-the-test';

/** One round of recovery. */
export function recoverOnce(pool: ServicePool, activeIds: readonly string[] = []) {
  return reconcile(pool, { proxyId: PROXY_ID, activeIds: new Set(activeIds), log: silentLog });
}

export function newId(): string {
  return newHoldId(Date.now(), randomBytes);
}

/** The port from which a connection was dialled. */
export function localPortOf(session: Session): number {
  const inner: unknown = Reflect.get(session, 'connection');
  const stream: unknown = Reflect.get(inner as object, 'stream');
  if (!(stream instanceof Socket)) throw new Error('mysql2 has no connection.stream any more.');
  return stream.localPort ?? 0;
}

export interface DropOptions {
  readonly schema: string;
  readonly tables: readonly string[];
  readonly holdMs?: number;
  readonly sqlLogBin?: boolean;
}

/** Only records the intent of a drop by that session. */
export async function intend(pool: ServicePool, session: Session, options: DropOptions) {
  const { schema, tables, holdMs = 600_000, sqlLogBin = true } = options;
  const intent: DropIntent = {
    ...{ dropId: newId(), proxyId: PROXY_ID, threadId: session.threadId, user: 'root' },
    ...{ clientAddress: '192.0.2.1:4711', statementText: `DROP TABLE ${tables.join(', ')}` },
    ...{ holdMs, sqlLogBin },
    tables: tables.map((table) => ({ id: newId(), schema, table })),
  };
  const facts = await recordIntent(pool, intent);
  // `schema.hold name` of each table, quoted, in order.
  const holdNames: readonly string[] = facts.tables.map(({ id, holdUntil }) =>
    formatHoldName({ state: 'HOLD', id, due: holdUntil ?? new Date(0) }),
  );
  return { intent, facts, holdNames };
}

export type UserDrop = Awaited<ReturnType<typeof intend>>;

/** The user's own RENAME of everything that was intended, into hold names in the same schema. */
export async function renameAway(session: Session, drop: UserDrop): Promise<void> {
  const pairs = drop.facts.tables.map(({ schema, table }, index) => {
    const own = `${quoteIdentifier(schema)}.${quoteIdentifier(table)}`;
    return `${own} TO ${quoteIdentifier(schema)}.${quoteIdentifier(drop.holdNames[index] ?? '')}`;
  });
  await session.query(`RENAME TABLE ${pairs.join(', ')}`);
}

/** Records that the first table of a drop could not be relocated: from then on it is a debt. */
export async function recordOwed(pool: ServicePool, { facts, holdNames }: UserDrop): Promise<void> {
  const [{ id, schema: holdSchema } = { id: '', schema: '' }] = facts.tables;
  const [holdName = ''] = holdNames;
  const pendingWork = { todo: 'relocate', text: 'locked' } as const;
  const outcome = { id, holdSchema, holdName, relocated: false, pendingWork };
  await recordOutcome(pool, { tables: [outcome] });
}

/** Ends a session and waits until the server has forgotten it. */
export async function endSession(target: Target, session: Session): Promise<void> {
  const { threadId } = session;
  await session.end();
  const own = `ID = ${threadId}`;
  await until(async () => !(await hasProcess(target, own)), 'the server has forgotten the session');
}

/** Every base table of the schema with its number of rows. */
export async function rowCounts(target: Target, schema: string) {
  await using session = await connect(target);
  const [rows] = await session.query(
    `SELECT TABLE_NAME AS name FROM information_schema.TABLES
       WHERE TABLE_SCHEMA = ? AND TABLE_TYPE = 'BASE TABLE' ORDER BY TABLE_NAME`,
    [schema],
  );
  const counts: Record<string, number> = {};
  for (const { name } of rows as { readonly name: string }[]) {
    const [[row]] = (await session.query(
      `SELECT COUNT(*) AS n FROM ${quoteIdentifier(schema)}.${quoteIdentifier(name)}`,
    )) as unknown as [[{ readonly n: number }]];
    counts[name] = row.n;
  }
  return counts;
}

/** Calls to the server at which a test kills: each of them in a long run, otherwise some. */
export function callsToKill(count: number, name: string): readonly number[] {
  const calls = Array.from({ length: count }, (_none, index) => index + 1);
  return sample(calls, { name, count: 4 });
}

/** Before the text is sent, or before its answer is seen. */
export const MOMENTS = ['before', 'after'] as const;

export interface PoolFault {
  /** To the server, counted from 1. */
  readonly call: number;
  readonly moment: (typeof MOMENTS)[number];
  /** How that call alone fails; default: the process dies there, and nothing works any more. */
  readonly alone?: Error;
}

/** A pool that fails; `calls`: so far. */
export function faultyPool(pool: ServicePool, { call, moment, alone }: PoolFault) {
  let calls = 0;
  const tapped = tappedPool(pool, async (send) => {
    calls += 1;
    const isAt = calls === call;
    const fails = () => isAt || (alone === undefined && calls >= call);
    const error = alone ?? new Error('The process has died here.');
    if (fails() && !(isAt && moment === 'after')) throw error;
    const answer = await send();
    if (fails()) throw error;
    return answer;
  });
  return {
    ...tapped,
    get calls() {
      return calls;
    },
  };
}

/** Says each text in a session of its own. */
export async function sayTo(
  target: Target,
  { schema, texts }: { readonly schema: string; readonly texts: readonly string[] },
): Promise<void> {
  await using client = await connect(target, { database: schema });
  await client.run(...texts);
}

/** The newest row of the ledger for a table. */
export async function ledgerRowOf(
  session: Session,
  table: { readonly schema: string; readonly table: string },
): Promise<RowDataPacket | undefined> {
  return (await ledgerRows(session, table)).at(-1);
}

export interface BinlogPlace {
  readonly file: string;
  readonly position: number;
}

/** Where the binary log ends. */
export async function binlogEnd(session: Session): Promise<BinlogPlace> {
  // MySQL 9.7 knows no other words for it, and no other server knows these.
  const [row] = await session
    .rows('SHOW BINARY LOG STATUS')
    .catch(() => session.rows('SHOW MASTER STATUS'));
  return { file: String(row?.['File']), position: Number(row?.['Position']) };
}

/** Its events since then. */
export async function binlogSince(session: Session, from: BinlogPlace): Promise<RowDataPacket[]> {
  const end = await binlogEnd(session);
  expect(end.file).toBe(from.file);
  if (end.position === from.position) return [];
  return session.rows(`SHOW BINLOG EVENTS IN '${from.file}' FROM ${from.position}`);
}
