/** The settings as the supervisor needs them, and the policy in a form for other programs. */

import { randomBytes } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { loadSettings } from '../../config/load.js';
import { variableOf } from '../../config/schema.js';
import type { Log } from '../../log.js';
import { newHoldId } from '../../names/names.js';
import type { WantedSocket } from '../../session/bound-sockets.js';
import { openProxyTls, type SharedTls } from '../../session/login/tls.js';
import {
  POLICY_KEYS,
  type PolicySettings,
  type ProxySettings,
  type readProxySettings,
} from '../settings.js';
import { versionOfPackage } from '../shell.js';
import { commandSocketOf } from '../supervisor/command-socket.js';
import type { Kept, Plan } from '../supervisor/messages.js';
import { autoWorkers, openFilesFor, openFilesMax, sessionsByOpenFiles } from './limits.js';

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
  const env = Object.fromEntries(Object.entries(policy).filter(([name]) => known.includes(name)));
  if (unknown.length > 0) throw new Error(`${unknown.join(', ')}: not known to this program`);
  return loadSettings(POLICY_KEYS, { flags: {}, env, file: null }).settings;
}

export function wantedSockets({
  listen,
  adminListen,
}: Pick<ProxySettings, 'listen' | 'adminListen'>): readonly WantedSocket[] {
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
  const fields = {
    event: 'open-files',
    openFilesMax: openFilesMax(),
    openFilesNeeded: openFilesFor(Math.ceil(maxConnections / processes)),
    connectionsMax: fitting,
  };
  log.warn(
    fields,
    'open files limit clients to fewer than UNDROP_MAX_CONNECTIONS; raise the limit of open files',
  );
}
