/**
 * Computes what each process of a proxy may use: open files, service connections, clients, and
 * memory for new objects. Node raises its soft limit of open files to the hard one at its start,
 * so what is read here is what `ulimit -Hn`, systemd or the container gave.
 */
import { readFileSync } from 'node:fs';

/** Open files that are no session's: service connections, listeners, the log. */
const OTHER_FILES = 64;

/** Sessions that fit, each with a socket on either side; no limit if none is known. */
export function sessionsByOpenFiles(filesMax: number = openFilesMax()): number {
  return Math.max(1, Math.floor((filesMax - OTHER_FILES) / 2));
}

/** Sessions that each of the `processes` accepts: its share of UNDROP_MAX_CONNECTIONS. */
export function sessionsOfEach(connectionsMax: number, processes: number): number {
  return Math.min(Math.ceil(connectionsMax / processes), sessionsByOpenFiles());
}

/** Open files that `sessions` need. */
export function openFilesFor(sessions: number): number {
  return 2 * sessions + OTHER_FILES;
}

/** Infinity if the system doesn't say (other systems than Linux). */
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

const AUTO_MAX = 4;
/** For each process, at least: a DROP DATABASE needs three, and others to relocate tables. */
export const SERVICE_CONNECTIONS_MIN = 4;
export const SERVICE_CONNECTIONS_MAX = 8;
/** The part of the server's max_connections that all processes together may take. */
const SHARE = 1 / 5;

/** The value of `auto`: the other half of the cores is for the server and other programs. */
export function autoWorkers(cores: number): number {
  return Math.min(Math.max(Math.floor(cores / 2), 1), AUTO_MAX);
}

/**
 * Service connections of each worker, beside one that can't wait; the first process has the
 * smallest number. `serverMax`: max_connections of the server; null if it isn't known.
 */
export function serviceConnectionsOf(workers: number, serverMax: number | null): number {
  if (serverMax === null) return SERVICE_CONNECTIONS_MIN;
  const ofFirst = SERVICE_CONNECTIONS_MIN + 1;
  const each = Math.floor((serverMax * SHARE - ofFirst) / workers) - 1;
  return Math.min(Math.max(each, SERVICE_CONNECTIONS_MIN), SERVICE_CONNECTIONS_MAX);
}
