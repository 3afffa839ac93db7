/**
 * Errors of the service: those that the server returns, those that keep a connection from being
 * opened (network, TLS or login, by the driver's error), and how they are printed. Pure.
 */
import { type ErrorCode, UndropError } from '../errors.js';
import * as ER from '../wire/server-errors.js';

/** Errors of the system (`ECONNREFUSED`, `ENOENT` …), or a server that hung up: no `ER_…`. */
const NO_WAY = /^(?:E(?!R_|PROTO$)[A-Z_]+|PROTOCOL_CONNECTION_LOST)$/;
/** Errors of the driver, OpenSSL or Node. */
const TLS = /^(?:HANDSHAKE_(?:NO_)?SSL_|EPROTO$|ERR_(?:SSL|TLS)_|CERT_|UNABLE_TO_|.*SELF_SIGNED)/;

/** `server`: its address for the text. */
export function connectError(error: unknown, server: string): UndropError {
  const answer = serverErrorOf(error);
  const cause = causeText(error);
  if (answer !== null) {
    return new UndropError('UNDROP_SERVICE_FAILED', { step: 'connect', server, cause }, answer);
  }
  const code = codeOf(error);
  return new UndropError(code, { step: 'connect', server, upstream: server, cause }, error);
}

/** There was no response, or no free connection, in that time. */
export function deadlineError(server: string, deadlineMs: number): UndropError {
  return new UndropError('UNDROP_DEADLINE', { server, deadlineMs });
}

/** Whether the connection failed or broke. */
export function isConnectionLost(error: unknown): boolean {
  return error instanceof UndropError && LOST.includes(error.code);
}

/** Whether the server's response is missing: the statement may have run nevertheless. */
export function isUnanswered(error: unknown): boolean {
  const isLate = error instanceof UndropError && error.code === 'UNDROP_DEADLINE';
  return isLate || isConnectionLost(error);
}

const LOST: readonly ErrorCode[] = [
  'UNDROP_SERVICE_FAILED',
  'UNDROP_UPSTREAM_UNREACHABLE',
  'UNDROP_UPSTREAM_TLS',
];

function codeOf(error: unknown): ErrorCode {
  const { code } = error as { readonly code?: unknown };
  if (typeof code !== 'string') return 'UNDROP_SERVICE_FAILED';
  if (TLS.test(code)) return 'UNDROP_UPSTREAM_TLS';
  return NO_WAY.test(code) ? 'UNDROP_UPSTREAM_UNREACHABLE' : 'UNDROP_SERVICE_FAILED';
}

/** An error that the server returned. The driver's own error would have statements in its text. */
export class ServerError extends Error {
  override readonly name = 'ServerError';
  readonly errno: number;
  readonly sqlState: string;
  readonly sqlMessage: string;

  constructor(answer: { errno: number; sqlState: string; sqlMessage: string }) {
    super(`${answer.sqlMessage} (${answer.errno})`);
    this.errno = answer.errno;
    this.sqlState = answer.sqlState;
    this.sqlMessage = answer.sqlMessage;
  }
}

/** Whether the server returned an error (one of `errnos`, if given). */
export function isServerError(error: unknown, ...errnos: readonly number[]): error is ServerError {
  return error instanceof ServerError && (errnos.length === 0 || errnos.includes(error.errno));
}

/** Whether the statement gave up waiting for a lock: by a KILL, or by the server's own limit. */
export function isKilled(error: unknown): boolean {
  return isServerError(error, ER.QUERY_INTERRUPTED, ER.LOCK_WAIT_TIMEOUT);
}

/** Errors of the server (null: any), with such a text; and the refusal for them, by code. */
export type Refusal = readonly [
  errnos: number | readonly number[] | null,
  code: ErrorCode,
  params: Record<string, string | number>,
  text?: RegExp,
];

/**
 * The refusal for an error of the server by the first of `rules` that fits, with the server's text
 * as its `cause`; null: none fits.
 */
export function refusalFor(error: unknown, rules: readonly Refusal[]): UndropError | null {
  if (!isServerError(error)) return null;
  const { errno, sqlMessage: cause } = error;
  for (const [errnos, code, params, text = /^/] of rules) {
    const fits = [errnos ?? errno].flat().includes(errno) && text.test(cause);
    if (fits) return new UndropError(code, { cause, ...params }, error);
  }
  return null;
}

/**
 * Whether `error` is the server's or undrop's, as service connections reject with. Anything else is
 * a defect.
 */
export function isServiceError(error: unknown): error is ServerError | UndropError {
  return isServerError(error) || error instanceof UndropError;
}

/** Whether it is an error of the operating system. */
export function isSystemError(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).syscall !== undefined;
}

/**
 * The result of `work`; `instead` if the server refuses it with one of `errnos`, or with any error
 * if none are given.
 */
export async function unlessRefused<T>(
  work: Promise<T>,
  instead: T,
  ...errnos: readonly number[]
): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (isServerError(error, ...errnos)) return instead;
    throw error;
  }
}

/** The result of `work`; if the service fails, an empty list with the reason. */
export async function tolerantly<T>(work: () => Promise<readonly T[]>): Promise<{
  readonly value: readonly T[];
  readonly problem: string | null;
  readonly error?: Error;
}> {
  try {
    return { value: await work(), problem: null };
  } catch (error) {
    if (!isServiceError(error)) throw error;
    return { value: [], problem: error.message, error };
  }
}

/**
 * Runs `work`, and again with `fresh` if the server denies a privilege: a session keeps the global
 * privileges of its login, and the account may have got more since. A denied statement has changed
 * nothing; those before it in the same text must be repeatable.
 */
export async function withNewPrivileges<T>(
  work: (how: { readonly fresh: boolean }) => Promise<T>,
): Promise<T> {
  try {
    return await work({ fresh: false });
  } catch (error) {
    if (!isPrivilegeDenied(error)) throw error;
    return work({ fresh: true });
  }
}

export function isPrivilegeDenied(error: unknown): boolean {
  return isServerError(error, ...ER.SERVICE_DENIED, ER.PROCACCESS_DENIED_ERROR);
}

/** The server's error within an error of the driver; null if the server has not answered. */
export function serverErrorOf(error: unknown): ServerError | null {
  if (!(error instanceof Error)) return null;
  const { errno, sqlState, sqlMessage } = error as Partial<ServerError>;
  if (typeof errno !== 'number' || typeof sqlState !== 'string') return null;
  return new ServerError({ errno, sqlState, sqlMessage: sqlMessage ?? error.message });
}

/**
 * Whether an error concerns one row or table alone, so that others can continue. If the connection
 * broke, also by a deadline, the next statement would fail likewise.
 */
export function isRowLevelError(error: unknown): error is Error {
  if (isServerError(error)) return true;
  return error instanceof UndropError && !isUnanswered(error);
}

/** An example: `80EC42:error:0A000102:SSL routines:ssl_choose_client_version:unsupported …`. */
const OPENSSL_REASON = /:error:[0-9A-F]+:[^:]+:[^:]*:([^:]+):/;

/**
 * The text of a foreign error within a sentence: without a final period, and for OpenSSL, whose
 * texts name source files on several lines, only the reason.
 */
export function causeText(error: unknown): string {
  const words = error instanceof Error ? error.message : String(error);
  const [, reason = words] = OPENSSL_REASON.exec(words) ?? [];
  return reason.trim().replace(/\.$/, '');
}
