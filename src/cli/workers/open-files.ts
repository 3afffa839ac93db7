/**
 * How many sessions the open files of a process are enough for. Node raises its soft limit to the
 * hard one at its start, so what is read here is what `ulimit -Hn`, systemd or the container gave.
 */
import { readFileSync } from 'node:fs';

/** Open files that are no session's: service connections, listeners, the log. */
const OTHER_FILES = 64;

/** Sessions that fit, each with a socket on either side; no limit where none is known. */
export function sessionsByOpenFiles(filesMax: number = openFilesMax()): number {
  return Math.max(1, Math.floor((filesMax - OTHER_FILES) / 2));
}

/** Open files that `sessions` need. */
export function openFilesFor(sessions: number): number {
  return 2 * sessions + OTHER_FILES;
}

/** Infinity where the system doesn't say (other systems than Linux). */
export function openFilesMax(): number {
  try {
    const limits = readFileSync('/proc/self/limits', 'utf8');
    const digits = /^Max open files\s+(\d+)/m.exec(limits)?.[1];
    return digits === undefined ? Number.POSITIVE_INFINITY : Number(digits);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return Number.POSITIVE_INFINITY;
  }
}
