/**
 * The servers that every server-facing test runs on, and how each is laid down on a bare Debian
 * machine. Invariant: the set is fixed; a server that can't be had is a failure, never a skip.
 */
import { tmpdir } from 'node:os';
import { ensureAptServer } from '../../throwaway-servers/apt-root.js';
import type { Flavour } from '../../throwaway-servers/installation.js';
import { ensureNpm56 } from '../../throwaway-servers/npm56.js';
import { startThrowaway, type ThrowawayServer } from '../../throwaway-servers/throwaway.js';
import { laying } from './folders.js';
import { isLong } from './sample.js';
import { makeServiceAccount } from './service-account.js';

export const SERVER_NAMES = ['mysql-9.7', 'mysql-5.6', 'mariadb-10.11', 'mariadb-11.8'] as const;

export type ServerName = (typeof SERVER_NAMES)[number];
/** MariaDB 10.5 is the last one whose DROP scans the buffer pool. */
export type LaidServer = ServerName | 'mariadb-10.5';

/** The servers that are started for the tests of this run. */
export const RUN_NAMES: readonly LaidServer[] = isLong
  ? [...SERVER_NAMES, 'mariadb-10.5']
  : SERVER_NAMES;

export function flavourOf(name: LaidServer): Flavour {
  return name.startsWith('mariadb') ? 'mariadb' : 'mysql';
}

const PACKAGES = {
  mysql: ['mysql-server-core', 'mysql-client'],
  // Not the core alone: the login plugins of the server are in the other package.
  mariadb: ['mariadb-server', 'mariadb-client'],
} as const;

/** The distributions with their packages. */
const SUITES = {
  'mysql-9.7': 'sid',
  'mariadb-10.5': 'bullseye',
  'mariadb-10.11': 'bookworm',
  'mariadb-11.8': 'sid',
} as const;

/**
 * MariaDB 10.5 writes no changed page while it is idle, and an EVAC waits up to an hour for them:
 * here it writes them at once, as the others do.
 */
const OWN_OPTIONS: Partial<Record<LaidServer, readonly string[]>> = {
  'mariadb-10.5': ['--innodb-max-dirty-pages-pct=0'],
};

/** Lays the server down where that hasn't been done, and starts one with a fresh data folder. */
export async function startFromSet(
  name: LaidServer,
  extraOptions: readonly string[] = [],
  parent = tmpdir(),
): Promise<ThrowawayServer> {
  const { installation, template } = await ensureInstalled(name);
  const why = 'one of the servers that the tests run on';
  const options = [...(OWN_OPTIONS[name] ?? []), ...extraOptions];
  const laid = { name, installation, template, why, parent, extraOptions: options };
  const server = await startThrowaway(laid);
  await makeServiceAccount(server);
  return server;
}

/** The programs of a server of the set, downloaded first where the cache hasn't got them. */
export async function ensureInstalled(name: LaidServer) {
  if (name === 'mysql-5.6') return ensureNpm56(laying);
  const [flavour, suite] = [flavourOf(name), SUITES[name]];
  const key = flavour === 'mariadb' ? `${name}-full` : name;
  return ensureAptServer({ key, flavour, suite, packages: PACKAGES[flavour] }, laying);
}

/** The server whose recorded texts and packets serve for this one: MariaDB 10.5 has none. */
export function recordedAs(name: string): string {
  return name === 'mariadb-10.5' ? 'mariadb-10.11' : name;
}
