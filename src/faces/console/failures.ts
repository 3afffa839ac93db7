/**
 * Failures as the console answers them: a status of HTTP, and what happened with a remedy. Errors
 * of undrop keep their codes, also those that came as SQL errors.
 */
import { ERRORS, type ErrorCode, UndropError } from '../../errors.js';
import * as ER from '../../wire/server-errors.js';
import { errnoOf } from './session.js';

export type HttpFailure = Readonly<ReturnType<typeof failureBy>>;

const RETRY = { 'retry-after': '60' };
const ASK = { 'www-authenticate': 'Basic realm="undrop", charset="UTF-8"' };

type HttpFields = Readonly<Record<string, string>>;

const ANSWERS: Readonly<Partial<Record<string, readonly [number, HttpFields?]>>> = {
  UNDROP_API_REQUEST: [400],
  UNDROP_BAD_TARGET: [400],
  UNDROP_API_SIGN_IN: [401, ASK],
  UNDROP_API_DENIED: [403],
  UNDROP_API_ROUTE: [404],
  UNDROP_NO_SUCH_HELD: [404],
  UNDROP_INTERNAL: [500],
  UNDROP_API_AWAY: [503, RETRY],
  UNDROP_API_BUSY: [503, RETRY],
  UNDROP_SERVICE_FAILED: [503],
  UNDROP_UPSTREAM_UNREACHABLE: [503],
};
const CAUSE_CHARACTERS_MAX = 1_000;

/** Null: a defect of undrop. */
export function failureOf(error: unknown): HttpFailure | null {
  if (error instanceof UndropError) return failureBy(error);
  const { sqlMessage, code = '' } = error as { readonly sqlMessage?: string; code?: unknown };
  if (sqlMessage === undefined) {
    const isNetwork = typeof code === 'string' && /^(E[A-Z]+|PROTOCOL_[A-Z_]+)$/.test(code);
    return isNetwork ? failureBy(new UndropError('UNDROP_API_AWAY', { cause: code })) : null;
  }
  const [, own, message] = /^(UNDROP_[A-Z_]+): (.*)$/s.exec(sqlMessage) ?? [];
  if (own !== undefined && message !== undefined) return failureBy({ code: own, message });
  const denied = ER.ACCESS_DENIED.includes(errnoOf(error))
    ? 'UNDROP_API_DENIED'
    : 'UNDROP_API_SERVER';
  return failureBy(new UndropError(denied, { cause: sqlMessage.slice(0, CAUSE_CHARACTERS_MAX) }));
}

/** By the code and the text of an error of undrop, which ends with its remedy. */
export function failureBy({ code, message: text }: Record<'code' | 'message', string>) {
  const [status, headers = {}] = ANSWERS[code] ?? [409];
  const remedy = Object.hasOwn(ERRORS, code) ? ERRORS[code as ErrorCode].remedy : '';
  const isLast = remedy !== '' && text.endsWith(` ${remedy}`);
  const message = isLast ? text.slice(0, -remedy.length - 1) : text;
  return { status, headers, code, message, remedy: isLast ? remedy : '' };
}
