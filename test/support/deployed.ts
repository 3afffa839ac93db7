/**
 * Proxies by the files of deploy/: as they stand, but for addresses, the password's file and the
 * certificate, which belong to the machine. Invariant: every other key of the file applies.
 */
import { join } from 'node:path';
import { readConfigFile } from '../../src/config/load.js';
import { SETTINGS } from '../../src/config/schema.js';
import { projectFolder } from './folders.js';
import type { Variables } from './proxy.js';
import type { Target } from './servers.js';
import { startService } from './service.js';

/** Keys that name a machine or a file on it, and hence have other values here. */
const OF_A_MACHINE = ['listen', 'adminListen', 'upstream', 'passwordFile', 'auditFile'];

/** The values of `deploy/<path>.conf`. */
export function deployedSettings(path: string): Readonly<Record<string, unknown>> {
  return readConfigFile(join(projectFolder, 'deploy', `${path}.conf`)).values;
}

/** A service by `deploy/<path>.conf`; `own`: values of keys that name something of a machine. */
export async function startDeployed(path: string, server: Target, own: Variables = {}) {
  const values = deployedSettings(path);
  const kept = Object.entries(values).filter(([key]) => !OF_A_MACHINE.includes(key));
  // The tests have a shorter one, as a variable.
  const DRAIN_TIMEOUT = String(values['drainTimeout'] ?? SETTINGS.drainTimeout.default);
  return startService(server, Object.fromEntries(kept), { DRAIN_TIMEOUT, ...own });
}
