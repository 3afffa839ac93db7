/**
 * Privileges that the service account has been granted since its connections were opened. A server
 * gives a session the global privileges at its login, and those stay as they were; so what is
 * denied on an open connection is tried again on a new one, before it is refused.
 */
import { ACCESS_DENIED, ER_PROCACCESS_DENIED_ERROR } from '../../wire/server-errors.js';
import { isServerError } from '../errors.js';

/**
 * Runs `work`, and again with `fresh` if the server denies a privilege. A denied statement has
 * changed nothing; those before it in the same text have to bear being run twice.
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
