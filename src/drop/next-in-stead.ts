/**
 * What to do next where the server denied the RENAME for want of other rights than DROP: the
 * service account renames in the user's stead, and everything else is still asked of the user's own
 * session. Pure: next-step.ts makes steps of it.
 *
 *   ask      user session: a RENAME of each table that can't succeed; its 1142 says who may drop it
 *   rename   service: one atomic RENAME to the hold names, given up after a moment
 *   wait     user session: for the lock of each table, one after another, as long as its own
 *            settings and KILL say; then `rename`
 *   own      user session: whether it is itself that has the tables locked
 *   clean    user session: the diagnostics and the OK as behind a drop
 */
import { assert } from '../assert.js';
import type { ErrPacket } from '../wire/response/err.js';
import type { OkPacket } from '../wire/response/ok.js';
import type { Result } from '../wire/result-reader.js';
import type { SteadOutcome } from './rename-in-stead.js';

export interface SteadAnswers {
  /** Of the RENAMEs that ask for the right to drop each table. */
  readonly mayDrop: Result | null;
  /** Of the service, one for each try. */
  readonly stead: readonly SteadOutcome[];
  /** Of waiting for the locks in the user's session, since the last try: one for each table. */
  readonly turns: readonly Result[];
  /** To the question whether the session itself has the tables locked. */
  readonly ownLock: Result | null;
  /** Of what clears the session's diagnostics. */
  readonly cleaned: Result | null;
}

export type InStead =
  | { readonly kind: 'ask' | 'own' | 'clean' | 'crowded' }
  | { readonly kind: 'gone' }
  /** `at`: the table whose turn it is. */
  | { readonly kind: 'wait'; readonly at: number }
  | { readonly kind: 'rename'; readonly killAfterMs: number }
  | { readonly kind: 'denied' | 'failed'; readonly cause: string }
  /** The user's session answers what a RENAME of its own would have. */
  | { readonly kind: 'error'; readonly error: ErrPacket }
  | { readonly kind: 'renamed'; readonly ok: OkPacket };

/** Nobody waits behind the first try for longer than behind anything else of ours. */
const FIRST_TRY_MS = 200;
/** The session had its turn, so the next is short of a chance only by those who came between. */
const NEXT_TRY_MS = 900;
const TRIES_MAX = 20;
/** The session had its turn, and the service none all the same: who is in the way may be itself. */
const TRIES_BEFORE_OWN = 2;
/** Under LOCK TABLES, of a table by an alias that isn't locked. */
const NOT_LOCKED = 1100;

/** DROP VIEW of what may be dropped: it is a table (or missing, as MariaDB has one error). */
const NO_VIEW: ReadonlySet<number> = new Set([1347, 4092]);
const MISSING: ReadonlySet<number> = new Set([1051, 1146]);

/** Its turn has come: it has no such partition, or none at all. */
const FREE: ReadonlySet<number> = new Set([1505, 1735]);

/** Whether a DROP VIEW failed only as there are no such views: the rights were there. */
export function isNoView(result: Result | null): boolean {
  return result?.kind === 'err' && (NO_VIEW.has(result.errno) || MISSING.has(result.errno));
}

/**
 * The rights were looked at first, and then it failed: for want of others, or as there is no such
 * schema to rename into, or no such table.
 */
const ALLOWED: ReadonlySet<number> = new Set([1142, 1049, 1146, 1017]);

/** Whether a RENAME that can't succeed came past the right to drop; of 1142 its list says so. */
export function isAllowed(result: Result): boolean {
  return result.kind === 'err' && ALLOWED.has(result.errno);
}

interface InSteadOptions {
  /** The server has said already that all of them may be dropped. */
  readonly isJudged: boolean;
  /** How many it takes, one after the other. */
  readonly renames: number;
  /** Those that are still to be renamed. */
  readonly tables: readonly TurnTable[];
}

export interface TurnTable {
  readonly table: Uint8Array | string;
}

export function nextInStead(
  { mayDrop, stead, turns, ownLock, cleaned }: SteadAnswers,
  { isJudged, renames, tables }: InSteadOptions,
): InStead {
  if (!isJudged && mayDrop === null) return { kind: 'ask' };
  if (mayDrop?.kind === 'err' && !isAllowed(mayDrop)) return { kind: 'error', error: mayDrop };
  const outcome = stead.at(-1);
  if (outcome === undefined) {
    const first = { kind: 'rename', killAfterMs: FIRST_TRY_MS } as const;
    if (renames === 1) return first;
    // A drop has the locks of all tables before it takes one.
    return nextTurn(turns, tables) ?? first;
  }
  switch (outcome.kind) {
    case 'renamed':
      if (stead.filter(({ kind }) => kind === 'renamed').length < renames) {
        return { kind: 'rename', killAfterMs: FIRST_TRY_MS };
      }
      if (cleaned === null) return { kind: 'clean' };
      assert(cleaned.kind === 'ok', 'DO answers OK');
      return { kind: 'renamed', ok: cleaned };
    case 'gone':
      return { kind: 'gone' };
    case 'denied':
    case 'failed':
      return outcome;
    case 'busy':
      break;
  }
  const waiting = nextTurn(turns, tables);
  if (waiting !== null) return waiting;
  const busy = stead.filter(({ kind }) => kind === 'busy').length;
  if (busy === TRIES_BEFORE_OWN && ownLock === null) return { kind: 'own' };
  if (ownLock?.kind === 'err' && ownLock.errno === NOT_LOCKED) {
    return { kind: 'error', error: ownLock };
  }
  if (stead.length >= TRIES_MAX) return { kind: 'crowded' };
  return { kind: 'rename', killAfterMs: NEXT_TRY_MS };
}

/** Waits for the lock of each table, one after another; null: nobody has one of them any more. */
export function nextTurn(
  turns: readonly Result[],
  tables: readonly TurnTable[],
): Extract<InStead, { kind: 'gone' | 'error' | 'wait' }> | null {
  for (const [index, turn] of turns.entries()) {
    assert(turn.kind === 'err', 'there is no such partition');
    if (isOfAnother(turn, tables[index])) continue;
    if (MISSING.has(turn.errno)) return { kind: 'gone' };
    if (!FREE.has(turn.errno)) return { kind: 'error', error: turn };
  }
  return turns.length < tables.length ? { kind: 'wait', at: turns.length } : null;
}

/**
 * What is missing is the sequence of a default (MariaDB), so the table was had. Where the names are
 * in two charsets it may be the table all the same, which its RENAME then says.
 */
function isOfAnother({ errno, message }: ErrPacket, table: TurnTable | undefined): boolean {
  if (errno !== 1146 || table === undefined) return false;
  const [, missing] = /'[^']*\.([^']*)'/.exec(message.toString('latin1')) ?? [];
  const name = Buffer.from(table.table).toString('latin1');
  return missing !== undefined && missing.toLowerCase() !== name.toLowerCase();
}
