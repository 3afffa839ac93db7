/**
 * The ledger's history: a row for each audit event that changed something, and one for each held
 * table that is still used. It is written after the client has its response, and never needed.
 *
 * Invariants: a row is in the binary log if the ledger's row of its table is, and is deleted
 * likewise. Keys aren't counters, because two servers would use the same numbers, and a replica
 * would stop at the second row of a key: each is a time-ordered id, drawn by the writer.
 */
import { randomBytes } from 'node:crypto';
import type { HistoryEvent, Who } from '../audit.js';
import { isServiceError } from '../connections/errors.js';
import type { Row, ServiceConnection, SQLQuery } from '../connections/sql.js';
import { col, note, sql, valueList } from '../connections/sql.js';
import { type Log, report } from '../log.js';
import { inBatches, newHoldId } from '../names/names.js';
import { readIfAny } from './read.js';
import { HISTORY, HISTORY_CREATION, LEDGER, writeOrCreate } from './tables.js';

const WHO_CHARACTERS_MAX = 512;
/** The number of rows in one text. */
const ROWS_OF_PART = 100;

/** Where an event is reported to. */
interface Reported {
  readonly log: Log;
  /** On the server with the ledger. */
  readonly connection: ServiceConnection;
}

/**
 * Reports events to the log, the audit file and the counters, and records them in the history.
 * `rowLogged`: whether the ledger's rows of these tables are in the binary log; default: it is
 * looked up.
 */
export async function reportAndKeep(
  to: Reported,
  events: readonly HistoryEvent[],
  how: { readonly rowLogged?: boolean | Promise<boolean> } = {},
): Promise<void> {
  report(to.log, events);
  await recordHistory(to, entriesOf(events), how);
}

/** Records events that were reported before. An error of the server is in `log` alone. */
export async function recordHistory(
  { connection, log }: Reported,
  entries: readonly HistoryEntry[],
  how: { readonly rowLogged?: boolean | Promise<boolean> } = {},
): Promise<void> {
  const events = entries.map(({ event }) => event);
  try {
    const rowLogged = await how.rowLogged;
    const unlogged = rowLogged === undefined ? await findUnlogged(connection, events) : new Set();
    const isLogged = ({ event }: HistoryEntry) => rowLogged ?? !unlogged.has(idOf(event) ?? '');
    for (const logged of [true, false]) {
      const rows = entries.filter((entry) => isLogged(entry) === logged);
      for (const part of inBatches(rows, ROWS_OF_PART)) {
        const write = insertion(part, logged);
        await writeOrCreate(connection.logging(logged), write, HISTORY_CREATION);
      }
    }
  } catch (error) {
    if (!isServiceError(error)) throw error;
    const fields = { event: 'history', ids: events.map(idOf), err: error };
    log.warn(fields, 'cannot write the history of the ledger; its events are in the log only');
  }
}

/** An event and its key: written twice, it is one row. */
interface HistoryEntry {
  readonly seq: string;
  readonly event: HistoryEvent;
}

/** All uses of one held table are one row with a counter, whose key is the table's id. */
export function entriesOf(events: readonly HistoryEvent[]): readonly HistoryEntry[] {
  return events.map((event) => {
    const isUse = event.event === 'used-while-held';
    return { seq: isUse ? event.id : newHoldId(Date.now(), randomBytes), event };
  });
}

export function insertion(entries: readonly HistoryEntry[], logged: boolean): SQLQuery {
  const rows = entries.map(({ seq, event }) => {
    const { event: name, ...fields } = event;
    const dropId = 'dropId' in event ? event.dropId : null;
    const who = describeWho(event).slice(0, WHO_CHARACTERS_MAX);
    return sql`(${seq}, UTC_TIMESTAMP(6), ${name}, ${idOf(event)}, ${dropId}, ${who},
      ${JSON.stringify(fields)}, ${event.event === 'used-while-held' ? event.count : 0}, ${logged})`;
  });
  return sql`INSERT ${note('history')} INTO ${HISTORY}
      (seq, at, event, id, drop_id, who, details, uses, row_logged)
    VALUES ${sql.join(rows, ', ')}
    ON DUPLICATE KEY UPDATE uses = uses + VALUES(uses), at = VALUES(at), who = VALUES(who),
      details = VALUES(details)`;
}

/** The actor, in words. */
export function describeWho(who: Partial<Who>): string {
  const { user, client, program, osUser, host, account, proxyId } = who;
  if (osUser !== undefined) return `${osUser}@${host ?? '?'} as ${account ?? '?'}`;
  if (user !== undefined) return `${user} from ${client ?? '?'}${program ? ` (${program})` : ''}`;
  return proxyId === undefined ? 'undrop' : `undrop ${proxyId}`;
}

function idOf(event: HistoryEvent): string | null {
  return 'id' in event ? event.id : null;
}

async function findUnlogged(
  connection: ServiceConnection,
  events: readonly HistoryEvent[],
): Promise<ReadonlySet<unknown>> {
  const ids = events.flatMap((event) => idOf(event) ?? []);
  if (ids.length === 0) return new Set();
  const query = sql`SELECT ${note('history')} id FROM ${LEDGER}
    WHERE row_logged = 0 AND id IN (${valueList(ids)})`;
  const rows = await readIfAny(connection, query);
  return new Set(rows.map((row) => col.text(row, 'id')));
}

/** The actor that restored or removed a table, in words; null: unknown. */
export async function readWhoEnded(
  connection: ServiceConnection,
  { id, state }: { readonly id: string; readonly state: 'restored' | 'removed' },
): Promise<string | null> {
  // The request comes before the removal itself.
  const events = state === 'restored' ? ['restored'] : ['remove-asked', 'removal'];
  const query = sql`SELECT ${note('history')} who FROM ${HISTORY}
    WHERE id = ${id} AND event IN (${valueList(events)}) ORDER BY event DESC, seq DESC LIMIT 1`;
  const [row] = await readIfAny(connection, query);
  return row === undefined ? null : col.text(row, 'who');
}

export type Uses = Readonly<ReturnType<typeof usesOf>>;

/** The tables, by id, that were used while they were held, including those that no longer are. */
export async function readUses(connection: ServiceConnection): Promise<ReadonlyMap<string, Uses>> {
  const query = sql`SELECT ${note('history')} id, uses, at, who FROM ${HISTORY}
    WHERE event = 'used-while-held'`;
  const rows = await readIfAny(connection, query);
  return new Map(rows.map((row) => [col.text(row, 'id'), usesOf(row)]));
}

function usesOf(row: Row) {
  return {
    /** Statements that have failed because the table is held. */
    count: col.number(row, 'uses'),
    /** UTC by the server's clock, to the minute. */
    lastAt: col.date(row, 'at'),
    /** The actor of the last of them, in words. */
    who: col.text(row, 'who'),
  };
}
