/**
 * Starts one server on a data folder: a free port, its own socket and temporary folder, a supervisor
 * that outlives us just long enough to clean up. Invariant: a launch that fails leaves no process.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Connection, createConnection } from 'mysql2/promise';
import { UndropError } from '../errors.js';
import { type Installation, serverCommand } from './installation.js';
import type { SupervisorOrder } from './supervisor.js';

const READY_WITHIN_MS = 90_000;
const POLL_MS = 50;
const GRACE_MS = 60_000;
const SUPERVISOR = fileURLToPath(new URL('supervisor.js', import.meta.url));

export interface LaunchOptions {
  /** Holds `data`; the socket, the log and temporary files go beside it. */
  readonly folder: string;
  /** The folder outlives the server, which is shut down in order; else both vanish at once. */
  readonly keepFolder: boolean;
  readonly extraOptions?: readonly string[];
  readonly connectOver?: 'tcp' | 'socket';
  readonly signal?: AbortSignal;
}

export interface Launched {
  readonly port: number;
  readonly socketPath: string;
  /** As root. */
  connect(): Promise<Connection>;
  /** Ends the server; may be called twice. Resolves when the process and its folder are gone. */
  stop(): Promise<void>;
}

/** Resolves when the server answers; rejects with UNDROP_DEMO_STEP and the end of its log. */
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
    ...serverOptions({ folder, port, socketPath }),
    ...(options.extraOptions ?? []),
  ];
  const supervisor = new Supervisor({
    command,
    env: installation.env,
    folder,
    keepFolder: options.keepFolder,
    graceMs: GRACE_MS,
  });
  const target = options.connectOver === 'socket' ? { socketPath } : { host: '127.0.0.1', port };
  const connect = (): Promise<Connection> =>
    createConnection({ ...target, user: 'root', connectTimeout: 5_000 });
  try {
    await ready(connect, supervisor, options.signal);
  } catch (error) {
    await supervisor.stop();
    throw error;
  }
  return { port, socketPath, connect, stop: () => supervisor.stop() };
}

/** A port of 127.0.0.1 that nobody listens on now. */
export function freePort(wanted = 0): Promise<number> {
  return new Promise((resolve, reject) => {
    const listener = createServer();
    listener.on('error', reject);
    listener.listen({ port: wanted, host: '127.0.0.1', exclusive: true }, () => {
      const address = listener.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      listener.close(() => resolve(port));
    });
  });
}

/**
 * A kill of the server process loses nothing with these; only a crash of the machine would, and then
 * the folder is worthless anyway.
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
    // Distinct for servers of one machine, so that they could replicate from each other.
    `--server-id=${port}`,
    `--log-bin=${join(folder, 'data', 'binlog')}`,
    '--binlog-format=ROW',
    '--sync-binlog=0',
    '--innodb-flush-log-at-trx-commit=2',
    '--general-log=0',
    `--general-log-file=${join(folder, 'general.log')}`,
  ];
}

async function ready(
  connect: () => Promise<Connection>,
  supervisor: Supervisor,
  signal: AbortSignal | undefined,
): Promise<void> {
  const deadline = Date.now() + READY_WITHIN_MS;
  for (;;) {
    signal?.throwIfAborted();
    supervisor.throwIfEnded();
    try {
      const connection = await connect();
      await connection.end();
      return;
    } catch (error) {
      if (Date.now() > deadline) {
        const cause = `no answer within ${READY_WITHIN_MS / 1000} s`;
        throw new UndropError('UNDROP_DEMO_STEP', { step: 'start the server', cause }, error);
      }
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** The parent's side of supervisor.ts. */
class Supervisor {
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;
  #said = '';

  constructor(order: SupervisorOrder) {
    // A session of its own: a Ctrl-C in the terminal reaches us, and we decide.
    this.#child = spawn(process.execPath, [SUPERVISOR, JSON.stringify(order)], {
      detached: true,
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#child.stdin?.on('error', () => undefined);
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#said += text;
    });
    this.#ended = new Promise((resolve) => {
      this.#child.on('close', () => resolve());
      this.#child.on('error', () => resolve());
    });
    // Who forgets to stop a server must still be able to end.
    this.#child.unref();
    for (const stream of [this.#child.stdin, this.#child.stdout]) unref(stream);
  }

  throwIfEnded(): void {
    if (this.#child.exitCode === null && this.#child.signalCode === null) return;
    throw new UndropError('UNDROP_DEMO_STEP', {
      step: 'start the server',
      cause: this.#said.trim() || 'it ended at once',
    });
  }

  async stop(): Promise<void> {
    this.#child.ref();
    this.#child.stdin?.destroy();
    await this.#ended;
  }
}

function unref(stream: unknown): void {
  (stream as { unref?: () => void } | null)?.unref?.();
}
