/**
 * One try of the DROP DATABASE in the user's session: it waits for the guard with its schema
 * locked and its list of tables made; the service looks, and lets it go only where there is none
 * but the guard.
 *
 * Invariant: the look is made by the connection that owns the group, behind having seen the DROP
 * wait for a table; so a process that was taken for dead lets nothing go.
 */
import { systemClock } from '../../clock.js';
import type { Log } from '../../log.js';
import {
  isServerError,
  type ServiceConnection,
  type ServicePool,
} from '../../service/pool/pools.js';
import { textOf, textOrNullOf } from '../../service/row.js';
import { note, sql } from '../../service/sql.js';
import type { UserCommand } from '../../steps/session/user-session.js';
import type { ErrPacket } from '../../wire/response/err.js';
import type { Result } from '../../wire/result-reader.js';
import {
  ER_KILL_DENIED_ERROR,
  ER_LOCK_WAIT_TIMEOUT,
  ER_NO_SUCH_THREAD,
  ER_QUERY_INTERRUPTED,
} from '../../wire/server-errors.js';
import type { Gate } from './barrier.js';
import { isEmptied, type Look, pauseMs, readLook, type TryEnd } from './decide.js';
import { dropSchemaSql, nothingSql, type SchemaName, schemaComment } from './sql.js';

export interface TryOptions {
  readonly name: SchemaName;
  /** As stored. */
  readonly schema: string;
  readonly threadId: number;
  readonly pool: ServicePool;
  readonly log: Log;
  /** The connection that owns the group. */
  readonly owner: ServiceConnection;
  readonly round: number;
  /** Closed. It is open behind the try, whatever becomes of it but an error. */
  readonly gate: Gate;
  run(commands: readonly UserCommand[]): Promise<readonly Result[]>;
}

/** How soon it is looked whether the DROP waits, and where it waits for others, how often. */
const LOOK_EVERY_MS = 3;
const LOOK_SELDOM_MS = 50;
const SOON_MS = 500;
/** Of the some 40 s for which it is held. */
const GATE_AGE_MS_MAX = 10_000;

/** Rejects where the user session broke, or the service; then the DROP ends by its own timeout. */
export async function dropBehindGate(options: TryOptions): Promise<TryEnd> {
  try {
    return await tryToDrop(options);
  } finally {
    // A DROP whose session broke may be waiting still: it is not for us to let it go.
    options.gate.leave();
  }
}

async function tryToDrop(options: TryOptions): Promise<TryEnd> {
  const { name, pool, run, threadId, gate } = options;
  if (performance.now() - gate.seenAtMs > GATE_AGE_MS_MAX || !gate.isWhole) {
    // This process was held up, or what had come before took long; or somebody has killed a part.
    await gate.open();
    return { kind: 'late' };
  }
  let said: Result | null = null;
  let hasEnded = false;
  const dropping = run([{ kind: 'query', text: dropSchemaSql(name) }])
    .then(([result]) => {
      said = result ?? null;
    })
    .finally(() => {
      hasEnded = true;
    });
  dropping.catch(() => undefined);
  let mayGo: boolean | null = null;
  let failure: unknown = null;
  try {
    mayGo = await decide(options, () => hasEnded, dropping);
    if (mayGo === false && !hasEnded) await stop(pool, threadId);
    if (mayGo === true) await gate.open();
  } catch (error) {
    failure = error;
  }
  // Whatever failed: the session is ours again only when its DROP has ended.
  await dropping;
  const end = await endOf(said, { ...options, wasStopped: mayGo === false });
  if (end.kind === 'dropped') {
    if (mayGo !== true) sayUnlooked(options);
    return end;
  }
  if (failure !== null) throw failure;
  // It is in the way of whoever takes the guard away.
  await gate.open();
  return end;
}

/** Somebody has killed both connections that held it up: nobody can tell what it has dropped. */
function sayUnlooked({ log, schema, name: { groupId } }: TryOptions): void {
  const what =
    'a DROP DATABASE went on before undrop had looked, as both its connections were killed: ' +
    'a table that was made in the last moment may be lost';
  log.error({ event: 'unlooked', schema, groupId }, what);
}

/** Whether it may go on; null: it ended before that was seen. */
async function decide(
  options: TryOptions,
  hasEnded: () => boolean,
  dropping: Promise<unknown>,
): Promise<boolean | null> {
  const ending = dropping.catch(() => undefined);
  const startMs = performance.now();
  while (!hasEnded()) {
    const everyMs = performance.now() - startMs < SOON_MS ? LOOK_EVERY_MS : LOOK_SELDOM_MS;
    await Promise.race([ending, systemClock.sleep(everyMs)]);
    if (hasEnded()) break;
    // One connection holds it still, and might be killed as well.
    if (!options.gate.isWhole) return false;
    if (!(await isWaitingForTable(options))) continue;
    await Promise.race([ending, systemClock.sleep(pauseMs(options.round, Math.random()))]);
    if (hasEnded()) break;
    const look = await lookIntoSchema(options.owner, options.schema, options.name.groupId);
    return isEmptied(look);
  }
  return null;
}

/** Then its schema is locked, and its list is made. */
async function isWaitingForTable({ owner, threadId, name }: TryOptions): Promise<boolean> {
  const says = `%${schemaComment(name.groupId)}%`;
  const [rows = []] = await owner.run(
    sql`SELECT ${note('waits')} 1 AS one FROM information_schema.PROCESSLIST
        WHERE ID = ${threadId} AND STATE = 'Waiting for table metadata lock'
          AND INFO LIKE ${says}`,
  );
  return rows.length > 0;
}

/** Every table and view in it; answers at once, also while a DROP has the schema locked. */
export async function lookIntoSchema(
  connection: ServiceConnection,
  schema: string,
  groupId: string,
): Promise<Look> {
  const [rows = []] = await connection.run(
    sql`SELECT ${note('schema-look', groupId)} TABLE_NAME AS name, TABLE_TYPE AS type
        FROM information_schema.TABLES WHERE TABLE_SCHEMA = ${schema}`,
  );
  const found = rows.map((row) => ({
    name: textOf(row, 'name'),
    type: textOrNullOf(row, 'type') ?? '',
  }));
  return readLook(found, groupId);
}

/** Without the right to it the DROP ends by its own timeout. */
async function stop(pool: ServicePool, threadId: number): Promise<void> {
  try {
    await pool.killQuery(threadId);
  } catch (error) {
    if (!isServerError(error, ER_KILL_DENIED_ERROR, ER_NO_SUCH_THREAD)) throw error;
  }
}

async function endOf(
  said: Result | null,
  { wasStopped, name, run }: TryOptions & { readonly wasStopped: boolean },
): Promise<TryEnd> {
  if (wasStopped) {
    // What came late hits one of these.
    const text = nothingSql(name);
    await run([
      { kind: 'query', text },
      { kind: 'query', text },
    ]);
  }
  if (said?.kind === 'ok') return { kind: 'dropped', ok: said };
  if (said?.kind !== 'err') throw new Error('DROP DATABASE answers OK or ERR');
  if (wasStopped && isStopped(said)) return { kind: 'came' };
  return { kind: 'failed', error: said };
}

function isStopped({ errno }: ErrPacket): boolean {
  return errno === ER_QUERY_INTERRUPTED || errno === ER_LOCK_WAIT_TIMEOUT;
}
