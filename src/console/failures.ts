/**
 * Failures as the console answers them: a status of HTTP, and what happened with a remedy. Errors
 * of undrop keep their codes, also those that came as SQL errors.
 */
import { ERRORS, type ErrorCode, UndropError } from '../errors.js';
import * as ER from '../wire/server-errors.js';
import { errnoOf } from './session.js';

export interface FailureAnswer {
  readonly status: number;
  readonly body: {
    readonly error: { readonly code: string; readonly message: string; readonly remedy: string };
  };
  readonly headers?: Readonly<Record<string, string>>;
}

export const ASK = { 'www-authenticate': 'Basic realm="undrop", charset="UTF-8"' };
export const RETRY = { 'retry-after': '60' };

const STATUS_OF_CODE: Readonly<Partial<Record<string, number>>> = {
  UNDROP_API_REQUEST: 400,
  UNDROP_BAD_TARGET: 400,
  UNDROP_NO_SUCH_HELD: 404,
  UNDROP_INTERNAL: 500,
  UNDROP_SERVICE_FAILED: 503,
  UNDROP_UPSTREAM_UNREACHABLE: 503,
};
const DENIED: ReadonlySet<number> = new Set(ER.ACCESS_DENIED);

export function refusedBy(
  status: number,
  code: ErrorCode,
  headers: Readonly<Record<string, string>> = {},
  params: Record<string, string> = {},
): FailureAnswer {
  return { status, headers, body: errorBody(code, new UndropError(code, params).message) };
}

function errorBody(code: string, words: string): FailureAnswer['body'] {
  const remedy = Object.hasOwn(ERRORS, code) ? ERRORS[code as ErrorCode].remedy : '';
  const isLast = remedy !== '' && words.endsWith(` ${remedy}`);
  const message = isLast ? words.slice(0, -remedy.length - 1) : words;
  return { error: { code, message, remedy: isLast ? remedy : '' } };
}

/** Null: a defect of undrop. */
export function failureAnswer(error: unknown): FailureAnswer | null {
  if (error instanceof UndropError) {
    const status = STATUS_OF_CODE[error.code] ?? 409;
    return { status, body: errorBody(error.code, error.message) };
  }
  const { sqlMessage, code = '' } = error as { readonly sqlMessage?: string; code?: unknown };
  if (sqlMessage === undefined) {
    const isNetwork = typeof code === 'string' && /^(E[A-Z]+|PROTOCOL_[A-Z_]+)$/.test(code);
    return isNetwork ? refusedBy(503, 'UNDROP_API_AWAY', RETRY, { cause: String(code) }) : null;
  }
  const [, own, words] = /^(UNDROP_[A-Z_]+): (.*)$/s.exec(sqlMessage) ?? [];
  if (own !== undefined && words !== undefined) {
    return { status: STATUS_OF_CODE[own] ?? 409, body: errorBody(own, words) };
  }
  const cause = sqlMessage.slice(0, CAUSE_CHARACTERS_MAX);
  if (DENIED.has(errnoOf(error))) return refusedBy(403, 'UNDROP_API_DENIED', {}, { cause });
  return refusedBy(409, 'UNDROP_API_SERVER', {}, { cause });
}

const CAUSE_CHARACTERS_MAX = 1_000;
