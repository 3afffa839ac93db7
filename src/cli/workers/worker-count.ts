/** How many processes serve clients, and how many service connections each of them has. Pure. */

const AUTO_MAX = 4;
/** Of each process, at least: a DROP DATABASE has three for itself, and moves tables by others. */
export const SERVICE_CONNECTIONS_MIN = 4;
const SERVICE_CONNECTIONS_MAX = 8;
/** Of the server's max_connections, for all processes together. */
const SHARE = 1 / 5;

/** What `auto` is: the other half is for the server and for what else is on the machine. */
export function autoWorkers(cores: number): number {
  return Math.min(Math.max(Math.floor(cores / 2), 1), AUTO_MAX);
}

/**
 * Service connections of each worker, beside one that can't wait; the first process has the
 * smallest number. `serverMax`: max_connections of the server; null where it isn't known.
 */
export function serviceConnectionsOf(workers: number, serverMax: number | null): number {
  if (serverMax === null) return SERVICE_CONNECTIONS_MIN;
  const ofFirst = SERVICE_CONNECTIONS_MIN + 1;
  const each = Math.floor((serverMax * SHARE - ofFirst) / workers) - 1;
  return Math.min(Math.max(each, SERVICE_CONNECTIONS_MIN), SERVICE_CONNECTIONS_MAX);
}
