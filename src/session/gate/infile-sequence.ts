/**
 * Says which data of LOCAL INFILE, whose sequence id has come to 0 again, would be ours if it were
 * a command: the gate (command-gate.ts) ends such a session after a silence.
 */
import { mayBeOurs, type Sought } from '../../sql/trigger-scan.js';
import {
  COM_DROP_DB,
  COM_INIT_DB,
  COM_QUERY,
  COM_STMT_BULK_EXECUTE,
  COM_STMT_CLOSE,
  COM_STMT_EXECUTE,
  COM_STMT_PREPARE,
  COM_STMT_RESET,
  COM_STMT_SEND_LONG_DATA,
} from '../../wire/commands.js';
import { HEADER_BYTES } from '../../wire/framing.js';

/** A session of which more is shown. */
export interface WatchedSession {
  /** Every text is. */
  readonly mayBeInRecycle: boolean;
}

/** Handles of prepared statements that are shown whole. */
export interface WatchedHandles {
  /** False: no command has to be looked at. */
  readonly isWatching: boolean;
  /** Every COM_QUERY is shown. */
  readonly watchesNames: boolean;
  /** May be asked again for the same command. */
  takes(command: number, id: number): boolean;
}

/** What of a session is shown to it. */
export interface Shown {
  readonly handles: WatchedHandles;
  readonly session: WatchedSession;
  readonly enabled: Sought;
}

/** The command and the id after it. */
export const HANDLE_BYTES = 5;

/** A name of 64 characters of 4 bytes, and its NUL, after the command. */
const SCHEMA_BYTES_MAX = 258;

/** Whether such a command of `length` bytes may be ours, or lead to a schema of ours. */
export function mayDestroy(command: number, length: number): boolean {
  if (command === COM_INIT_DB || command === COM_DROP_DB) return length <= SCHEMA_BYTES_MAX;
  if (isText(command)) return true;
  return command === COM_STMT_EXECUTE || command === COM_STMT_BULK_EXECUTE;
}

/** `framed`: a packet that `mayDestroy`, whole, or as far as its handle. */
export function wouldBeOurs(framed: Buffer, { handles, session, enabled }: Shown): boolean {
  const { length } = framed;
  const command = framed[HEADER_BYTES] ?? 0;
  if (namesHandle(command)) {
    if (!handles.isWatching || length < HEADER_BYTES + HANDLE_BYTES) return false;
    return handles.takes(command, framed.readUInt32LE(HEADER_BYTES + 1));
  }
  if (!isText(command)) return true;
  if (handles.watchesNames || session.mayBeInRecycle) return true;
  return mayBeOurs(framed, HEADER_BYTES + 1, length, enabled);
}

export function namesHandle(command: number): boolean {
  return (
    command === COM_STMT_EXECUTE ||
    command === COM_STMT_BULK_EXECUTE ||
    command === COM_STMT_RESET ||
    command === COM_STMT_CLOSE ||
    command === COM_STMT_SEND_LONG_DATA
  );
}

export function isText(command: number): boolean {
  return command === COM_QUERY || command === COM_STMT_PREPARE;
}
