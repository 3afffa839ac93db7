/** A file that holds a password, as UNDROP_PASSWORD_FILE names one. */
import { readFileSync } from 'node:fs';

/** A newline at the end is cut; throws where it can't be read. */
export function readPasswordFile(path: string): string {
  return readFileSync(path, 'utf8').replace(/\r?\n$/, '');
}
