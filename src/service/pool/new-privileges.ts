/**
 * Privileges that the service account got after its connections were opened. A session keeps the
 * global privileges of its login, so a statement that is denied on an open connection is tried
 * again on a new one.
 */
import { ACCESS_DENIED, ER_PROCACCESS_DENIED_ERROR } from '../../wire/server-errors.js';
import { isServerError } from '../errors.js';

/**
 * Runs `work`, and again with `fresh` if the server denies a privilege. A denied statement has
 * changed nothing; those before it in the same text must be repeatable.
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
  return isServerError(error, ...ACCESS_DENIED, ER_PROCACCESS_DENIED_ERROR);
}
