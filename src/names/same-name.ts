/** Names that may be one. */
import { foldName } from '../fold-name.js';

/**
 * Whether two names may be one: servers that fold the case of schemas and tables do so wherever
 * they compare them.
 */
export function isSameName(one: string, other: string): boolean {
  return foldName(one) === foldName(other);
}
