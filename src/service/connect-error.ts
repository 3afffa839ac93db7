/**
 * What kept a service connection from being opened, by the driver's error: the way to the server,
 * TLS, or the login. Each is mended elsewhere. Pure.
 */
import { type ErrorCode, UndropError } from '../errors.js';
import { causeWords } from './cause-words.js';
import { serverErrorOf } from './server-error.js';

/** Of the system (`ECONNREFUSED`, `ENOENT` …), or the server has hung up; no `ER_…` of a server. */
const NO_WAY = /^(?:E(?!R_|PROTO$)[A-Z_]+|PROTOCOL_CONNECTION_LOST)$/;
/** Of the driver, OpenSSL or Node. */
const TLS = /^(?:HANDSHAKE_(?:NO_)?SSL_|EPROTO$|ERR_(?:SSL|TLS)_|CERT_|UNABLE_TO_|.*SELF_SIGNED)/;

/** `server`: its address, as it is printed. */
export function connectError(error: unknown, server: string): UndropError {
  const answer = serverErrorOf(error);
  const cause = causeWords(error);
  if (answer !== null) {
    return new UndropError('UNDROP_SERVICE_FAILED', { step: 'connect', server, cause }, answer);
  }
  const code = codeOf(error);
  return new UndropError(code, { step: 'connect', server, upstream: server, cause }, error);
}

/** Whether there was no connection, or it broke. */
export function isConnectionLost(error: unknown): boolean {
  return error instanceof UndropError && LOST.includes(error.code);
}

/** Whether there is no answer of the server to what was to be run: it may be run all the same. */
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
