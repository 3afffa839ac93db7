/**
 * Whether what was thrown says something of one row or table, so that the others can be gone on
 * with. Where the connection broke, also by a deadline, the next statement would meet the same.
 */
import { UndropError } from '../errors.js';
import { isUnanswered } from '../service/connect-error.js';
import { isServerError } from '../service/server-error.js';

export function isOfOneRow(error: unknown): error is Error {
  if (isServerError(error)) return true;
  return error instanceof UndropError && !isUnanswered(error);
}
