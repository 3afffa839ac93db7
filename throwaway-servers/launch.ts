/**
 * Starts a server on a data folder: a free port, its own socket and temporary folder, and a
 * supervisor that outlives this process just long enough to clean up.
 *
 * Invariant: a launch that fails leaves no process.
 */
import { randomInt } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import type { Connection } from 'mysql2/promise';
import { type Installation, serverCommand } from './installation.js';
import { connectAsRoot, Supervised } from './supervised.js';

const READY_WITHIN_MS = 90_000;
const GRACE_MS = 60_000;

interface LaunchOptions {
  /** The folder with `data`; the socket, the log and temporary files are beside it. */
  readonly folder: string;
  /** True: the folder is kept and the server is shut down in order; false: both end at once. */
  readonly keepFolder: boolean;
  readonly extraOptions?: readonly string[];
  readonly connectOver?: 'tcp' | 'socket';
  readonly signal?: AbortSignal | undefined;
}

export interface Launched {
  readonly port: number;
  readonly socketPath: string;
  /** Opens a connection as root. */
  connect(): Promise<Connection>;
  /** Resolves when the server has ended, for whatever reason. */
  readonly ended: Promise<void>;
  /** Ends the server; may be called twice. Resolves when the process and its folder are gone. */
  stop(): Promise<void>;
}

/**
 * Resolves when the server accepts connections; rejects with UNDROP_DEMO_STEP and the end of its
 * log.
 */
export async function launch(
  installation: Installation,
  options: LaunchOptions,
): Promise<Launched> {
  const { folder } = options;
  const port = await freePort();
  const socketPath = join(folder, 's.sock');
  await mkdir(join(folder, 'tmp'), { recursive: true });
  const command = [
    ...serverCommand(installation),
    ...mergeOptions(serverOptions({ folder, port, socketPath }), options.extraOptions ?? []),
  ];
  const supervised = new Supervised({
    command,
    env: installation.env,
    folder,
    keepFolder: options.keepFolder,
    cleanUp: null,
    graceMs: GRACE_MS,
  });
  const target = options.connectOver === 'socket' ? { socketPath } : { host: '127.0.0.1', port };
  const connect = (): Promise<Connection> => connectAsRoot(target);
  try {
    await supervised.ready(connect, { withinMs: READY_WITHIN_MS, signal: options.signal });
  } catch (error) {
    await supervised.stop();
    throw error;
  }
  return { port, socketPath, connect, ended: supervised.ended, stop: () => supervised.stop() };
}

/**
 * A port of 127.0.0.1 without a listener: the preferred one, or one below those that the system
 * gives to connections. Until a server listens on it, and while it is down, one could be there.
 */
export async function freePort(preferred?: number): Promise<number> {
  for (let port = preferred; ; port = randomInt(20_000, 32_000)) {
    if (port !== undefined && (await isFree(port))) return port;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const listener = createServer();
    listener.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(false);
      else reject(error);
    });
    listener.listen({ port, host: '127.0.0.1', exclusive: true }, () => {
      listener.close(() => resolve(true));
    });
  });
}

/** A later option wins, except for an option without a value: `--no-<option>` removes it. */
function mergeOptions(ours: readonly string[], extra: readonly string[]): readonly string[] {
  const kept = ours.filter((option) => !extra.includes(option.replace(/^--/, '--no-')));
  return [...kept, ...extra.filter((option) => !option.startsWith('--no-'))];
}

/**
 * With these, a kill of the server process loses nothing; only a crash of the machine would, and
 * then the folder is worthless anyway.
 */
function serverOptions(where: {
  readonly folder: string;
  readonly port: number;
  readonly socketPath: string;
}): readonly string[] {
  const { folder, port, socketPath } = where;
  return [
    `--datadir=${join(folder, 'data')}`,
    `--tmpdir=${join(folder, 'tmp')}`,
    `--pid-file=${join(folder, 'server.pid')}`,
    `--socket=${socketPath}`,
    `--port=${port}`,
    '--bind-address=127.0.0.1',
    '--skip-name-resolve',
    '--loose-mysqlx=OFF',
    '--secure-file-priv=',
    '--local-infile=1',
    '--max-connections=500',
    // Different for each server of a machine, so that they could replicate from each other.
    `--server-id=${port}`,
    `--log-bin=${join(folder, 'data', 'binlog')}`,
    '--binlog-format=ROW',
    '--sync-binlog=0',
    '--innodb-flush-log-at-trx-commit=2',
    '--general-log=0',
    `--general-log-file=${join(folder, 'general.log')}`,
  ];
}
