/**
 * What the tests of the service folders share: a user session that drops the way a proxy does, and
 * a relay that goes silent without a FIN. Imports what writes an intent, and recovery: a drop that
 * has got no further than that can't be had from a proxy.
 */
import { randomBytes } from 'node:crypto';
import { type AddressInfo, createServer, type Server, Socket } from 'node:net';
import type { Connection, RowDataPacket } from 'mysql2/promise';
import { recordIntent } from '../../src/ledger/intents/record-intent.js';
import { type DropIntent, type IntentFacts, recordOutcome } from '../../src/ledger/write.js';
import { silentLog } from '../../src/log.js';
import { formatHoldName, newHoldId } from '../../src/names/names.js';
import { type ReconcileReport, reconcile } from '../../src/recovery/reconcile.js';
import type { ServicePool, TaskConnection } from '../../src/service/pool/pools.js';
import { quoteIdentifier } from '../../src/service/sql.js';
import { until } from '../support/poll.js';
import { sample } from '../support/sample.js';
import { connect, hasProcess, type Session, type Target } from '../support/servers.js';

export const PROXY_ID = 'proxy-of-the-test';

/** One round of recovery. */
export function recoverOnce(
  pool: ServicePool,
  activeIds: readonly string[] = [],
): Promise<ReconcileReport> {
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

export interface UserDrop {
  readonly intent: DropIntent;
  readonly facts: IntentFacts;
  /** `schema.hold name` of each table, quoted, in order. */
  readonly holdNames: readonly string[];
}

export interface DropOptions {
  readonly schema: string;
  readonly tables: readonly string[];
  readonly holdMs?: number;
  readonly sqlLogBin?: boolean;
}

/** Only records the intent of a drop by that session. */
export async function intend(
  pool: ServicePool,
  session: Session,
  options: DropOptions,
): Promise<UserDrop> {
  const { schema, tables, holdMs = 600_000, sqlLogBin = true } = options;
  const intent: DropIntent = {
    groupId: newId(),
    proxyId: PROXY_ID,
    threadId: session.threadId,
    user: 'root',
    clientAddress: '192.0.2.1:4711',
    statementText: `DROP TABLE ${tables.join(', ')}`,
    holdMs,
    sqlLogBin,
    tables: tables.map((table) => ({ id: newId(), schema, table })),
  };
  const facts = await recordIntent(pool, intent);
  const holdNames = facts.tables.map(({ id, holdUntil }) =>
    formatHoldName({ state: 'HOLD', id, due: holdUntil ?? new Date(0) }),
  );
  return { intent, facts, holdNames };
}

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
  const failure = { todo: 'relocate', text: 'locked' } as const;
  const outcome = { id, holdSchema, holdName, relocated: false, failure };
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
export async function rowCounts(
  target: Target,
  schema: string,
): Promise<Readonly<Record<string, number>>> {
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

/** A TCP relay in front of a server. */
export interface Relay extends AsyncDisposable {
  readonly target: Target;
  /** From now on every byte is swallowed, in both directions; nothing is closed. */
  silence(): void;
  /** New connections go through again; those that were silenced stay so. */
  speak(): void;
  close(): Promise<void>;
}

export async function relayTo(target: Target): Promise<Relay> {
  let isSilent = false;
  const pairs = new Set<{ isDeaf: boolean; readonly sockets: readonly Socket[] }>();
  const server: Server = createServer({ noDelay: true }, (client) => {
    const upstream = new Socket().setNoDelay();
    upstream.connect(target.port, target.host);
    const pair = { isDeaf: isSilent, sockets: [client, upstream] };
    pairs.add(pair);
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      from.on('data', (bytes) => pair.isDeaf || to.write(bytes));
      from.on('close', () => pair.isDeaf || to.destroy());
      from.on('error', () => undefined);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const close = () =>
    new Promise<void>((resolve) => {
      for (const { sockets } of pairs) for (const socket of sockets) socket.destroy();
      server.close(() => resolve());
    });
  return {
    target: { ...target, host: '127.0.0.1', port },
    silence: () => {
      isSilent = true;
      for (const pair of pairs) pair.isDeaf = true;
    },
    speak: () => {
      isSilent = false;
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** Calls to the server at which a test kills: each of them in a long run, otherwise some. */
export function callsToKill(count: number, name: string): readonly number[] {
  const calls = Array.from({ length: count }, (_none, index) => index + 1);
  return sample(calls, { name, count: 4 });
}

/**
 * A pool whose process dies at the given call to the server, counted from 1: before the text is
 * sent, or before its answer is seen. From then on nothing works.
 */
export class FaultyPool implements ServicePool {
  readonly #pool: ServicePool;
  readonly #dies: { readonly call: number; readonly moment: 'before' | 'after' };
  #calls = 0;

  constructor(
    pool: ServicePool,
    dies: { readonly call: number; readonly moment: 'before' | 'after' },
  ) {
    this.#pool = pool;
    this.#dies = dies;
  }

  /** So far. */
  get calls(): number {
    return this.#calls;
  }

  run(...args: Parameters<ServicePool['run']>): ReturnType<ServicePool['run']> {
    return this.#call(() => this.#pool.run(...args));
  }

  task<T>(fn: (connection: TaskConnection) => Promise<T>): Promise<T> {
    return this.#pool.task((connection) =>
      fn({
        threadId: connection.threadId,
        discard: () => connection.discard(),
        run: (...args) => this.#call(() => connection.run(...args)),
      }),
    );
  }

  killQuery(threadId: number): Promise<void> {
    return this.#pool.killQuery(threadId);
  }

  isWaiting(threadId: number): Promise<boolean> {
    return this.#pool.isWaiting(threadId);
  }

  dispose(): Promise<void> {
    return Promise.resolve();
  }

  async #call<T>(send: () => Promise<T>): Promise<T> {
    this.#calls += 1;
    const { call, moment } = this.#dies;
    if (this.#calls > call || (this.#calls === call && moment === 'before')) throw died();
    const answer = await send();
    if (this.#calls >= call) throw died();
    return answer;
  }
}

function died(): Error {
  return new Error('The process has died here.');
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
  connection: Connection,
  { schema, table }: { readonly schema: string; readonly table: string },
): Promise<RowDataPacket | undefined> {
  const [rows] = await connection.query<RowDataPacket[]>(
    `SELECT * FROM _undrop.ledger WHERE schema_name = ? AND table_name = ?
     ORDER BY id DESC LIMIT 1`,
    [schema, table],
  );
  return rows[0];
}
