/**
 * A throwaway server, for the demo and tests.
 *
 * Invariant: after `stop`, or after the death of the process that started it, neither the server
 * nor its folder is left.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { copyDataFolder, makeDataFolder } from './data-folder.js';
import type { Flavour, Installation } from './installation.js';
import { launch } from './launch.js';

export interface ThrowawayServer {
  /** `mysql-9.7`, `mariadb-10.11` …; for people and for test names. */
  readonly name: string;
  readonly flavour: Flavour;
  /** By the server's own report: `9.7.4`, `10.11.11-MariaDB`. */
  readonly version: string;
  readonly host: string;
  readonly port: number;
  /** Null if no socket is reachable from here. */
  readonly socketPath: string | null;
  readonly user: string;
  readonly password: string;
  /** The server's data folder; null if it isn't on this machine. */
  readonly dataDir: string | null;
  /** A folder of this server alone that is removed with it; null for a server that was given. */
  readonly folder: string | null;
  /** Resolves when the server has ended, for whatever reason. */
  readonly ended: Promise<void>;
  /** A sentence with the reason of the choice. */
  readonly why: string;
  /** May be called twice. */
  stop(): Promise<void>;
}

interface StartOptions {
  readonly name: string;
  readonly installation: Installation;
  /** Folder with an initialised `data`, which is copied; null: it is initialised now. */
  readonly template: string | null;
  readonly why: string;
  /** The parent of its folder; default: the system's folder for temporary files. */
  readonly parent?: string;
  /** Server options after undrop's, so that they win. */
  readonly extraOptions?: readonly string[];
  readonly signal?: AbortSignal | undefined;
}

/** Starts a server of `installation` on a copy of a data folder; it answers when this resolves. */
export async function startThrowaway(options: StartOptions): Promise<ThrowawayServer> {
  const { name, installation, why, parent = tmpdir() } = options;
  const folder = await mkdtemp(join(parent, 'undrop-server-'));
  try {
    if (options.template === null) await makeDataFolder(installation, folder, options.signal);
    else await copyDataFolder(options.template, folder);
    const server = await launch(installation, {
      folder,
      keepFolder: false,
      ...(options.extraOptions ? { extraOptions: options.extraOptions } : {}),
      signal: options.signal,
    });
    return {
      name,
      flavour: installation.flavour,
      version: installation.version,
      host: '127.0.0.1',
      port: server.port,
      socketPath: server.socketPath,
      user: 'root',
      password: '',
      dataDir: join(folder, 'data'),
      folder,
      ended: server.ended,
      why,
      stop: () => server.stop(),
    };
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}
