/**
 * The settings as the supervisor needs them, the policy in a form for other programs, and what each
 * process may use: open files, service connections and clients.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { loadSettings } from '../../config/load.js';
import { variableOf } from '../../config/schema.js';
import type { PolicySettings, ProxySettings, readProxySettings } from '../../faces/cli/settings.js';
import { POLICY_KEYS, versionOfPackage } from '../../faces/cli/settings.js';
import type { Log } from '../../log.js';
import { newHoldId } from '../../names/names.js';
import type { WantedSocket } from '../../session/bound-sockets.js';
import { openProxyTls, type SharedTls } from '../../session/login/tls.js';
import { commandSocketOf } from '../supervisor/command-socket.js';
import type { Kept, Plan } from '../supervisor/messages.js';

const TICKET_KEYS_BYTES = 48;

/** Rejects with UNDROP_CONFIG if the files of certificates are wrong. */
export async function planOf(
  { settings, texts }: Pick<ReturnType<typeof readProxySettings>, 'settings' | 'texts'>,
  { kept, log }: { readonly kept: Kept; readonly log: Log },
): Promise<Plan> {
  const shared: SharedTls = kept;
  const { ownCertificate } = await openProxyTls(settings, shared);
  const proxies = workersOf(settings, log);
  checkOpenFiles(settings, proxies, log);
  return {
    version: versionOfPackage(),
    sockets: wantedSockets(settings),
    commandSocket: commandSocketOf(settings.listen),
    proxies,
    drain: { waitMs: settings.drainWait, timeoutMs: settings.drainTimeout },
    logLevel: settings.logLevel,
    settings,
    policy: Object.fromEntries(POLICY_KEYS.map((key) => [variableOf(key), texts[key] ?? ''])),
    kept: {
      ownCertificate: ownCertificate ?? shared.ownCertificate ?? null,
      serviceId: kept['serviceId'] ?? newHoldId(Date.now(), randomBytes),
      ticketKeys: shared.ticketKeys ?? randomBytes(TICKET_KEYS_BYTES).toString('base64'),
    },
  };
}

/** The policy of another program; throws UNDROP_CONFIG if this one can't read it. */
export function readPolicy(policy: Readonly<Record<string, string>>): PolicySettings {
  const known = POLICY_KEYS.map(variableOf);
  const unknown = Object.keys(policy).filter((name) => !known.includes(name));
  if (unknown.length > 0) throw new Error(`${unknown.join(', ')}: not known to this program`);
  return loadSettings(POLICY_KEYS, { flags: {}, env: policy, file: null }).settings;
}

export function wantedSockets({ listen, adminListen }: ProxySettings): readonly WantedSocket[] {
  return [
    ...listen.map((address) => ({ purpose: 'listen', address }) as const),
    ...adminListen.map((address) => ({ purpose: 'admin', address }) as const),
  ];
}

export function workersOf({ workers }: Pick<ProxySettings, 'workers'>, log: Log): number {
  const cores = availableParallelism();
  const auto = autoWorkers(cores);
  if (workers === 'auto') return auto;
  if (workers < auto) {
    const fields = { event: 'workers', cores, workers, auto };
    log.info(fields, 'UNDROP_WORKERS leaves cores unused; auto would use more processes');
  }
  return workers;
}

/** Warns if the system's limit of open files is too low for UNDROP_MAX_CONNECTIONS. */
export function checkOpenFiles(
  { maxConnections }: Pick<ProxySettings, 'maxConnections'>,
  processes: number,
  log: Log,
): void {
  const fitting = sessionsByOpenFiles() * processes;
  if (fitting >= maxConnections) return;
  const [max, needed] = [openFilesMax(), openFilesFor(Math.ceil(maxConnections / processes))];
  log.warn(
    { event: 'open-files', openFilesMax: max, openFilesNeeded: needed, connectionsMax: fitting },
    `open files limit clients to ${fitting}, fewer than UNDROP_MAX_CONNECTIONS; raise the limit of ${max} to ${needed} (\`ulimit -n\`, LimitNOFILE)`,
  );
}

// ── limits ───────────────────────────────────────────────────────────────────────────────────────
// Node raises its soft limit of open files to the hard one at its start, so what is read here is
// what `ulimit -Hn`, systemd or the container gave.

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
  const path = '/proc/self/limits';
  const limits = existsSync(path) ? readFileSync(path, 'utf8') : '';
  return Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1] ?? Number.POSITIVE_INFINITY);
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
