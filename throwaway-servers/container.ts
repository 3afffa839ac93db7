/**
 * A throwaway server in a container of docker or podman, if such an engine responds.
 *
 * Invariant: the supervisor removes the container by its name, because the death of `docker run`
 * alone would not end it.
 */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Connection } from 'mysql2/promise';
import { UndropError } from '../src/errors.js';
import type { Flavour } from './installation.js';
import { runCommand, tryCommand } from './run-command.js';
import { connectAsRoot, Supervised } from './supervised.js';
import type { ThrowawayServer } from './throwaway.js';

const PROBE_MS = 5_000;
const PULL_MS = 900_000;
const READY_WITHIN_MS = 180_000;
const POLL_MS = 200;

type Engine = 'docker' | 'podman';

/** An engine that responds, or the reasons why none does. */
type EngineProbe =
  | { readonly engine: Engine; readonly why: string }
  | { readonly engine: null; readonly why: string };

/** Checks docker, then podman, for the version of their servers. */
export async function findEngine(): Promise<EngineProbe> {
  const reasons: string[] = [];
  for (const engine of ['docker', 'podman'] as const) {
    const why = await whyNot(engine);
    if (why === null) return { engine, why: `${engine} responds` };
    reasons.push(why);
  }
  return { engine: null, why: reasons.join(', ') };
}

interface ContainerOptions {
  readonly engine: Engine;
  /** `mysql:9`, `mariadb:11.8` … */
  readonly image: string;
  readonly name: string;
  readonly flavour: Flavour;
  readonly why: string;
  readonly step: (line: string) => void;
  readonly extraOptions?: readonly string[];
  readonly signal?: AbortSignal | undefined;
}

/**
 * Pulls the image if it is missing, and starts a server; resolves when the server accepts
 * connections.
 */
export async function startContainer(options: ContainerOptions): Promise<ThrowawayServer> {
  const { engine, image, signal } = options;
  const present = await tryCommand([engine, 'image', 'inspect', image], { deadlineMs: PROBE_MS });
  if (present.code !== 0) {
    options.step(`pulling the image ${image}`);
    await runCommand([engine, 'pull', '--quiet', image], { deadlineMs: PULL_MS, signal });
  }
  options.step(`starting ${image} by ${engine}`);
  const folder = await mkdtemp(join(tmpdir(), 'undrop-server-'));
  const container = `undrop-${randomBytes(6).toString('hex')}`;
  const supervised = new Supervised({
    command: [engine, ...runArguments(container, options)],
    env: {},
    folder,
    keepFolder: false,
    cleanUp: [engine, 'rm', '--force', '--volumes', container],
    graceMs: 0,
  });
  try {
    return await whenReady({ container, folder, supervised }, options);
  } catch (error) {
    await supervised.stop();
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

interface Running {
  readonly container: string;
  readonly folder: string;
  readonly supervised: Supervised;
}

async function whenReady(running: Running, options: ContainerOptions): Promise<ThrowawayServer> {
  const { container, folder, supervised } = running;
  const port = await publishedPort(running, options);
  const connect = (): Promise<Connection> => connectAsRoot({ host: '127.0.0.1', port });
  await supervised.ready(connect, { withinMs: READY_WITHIN_MS, signal: options.signal });
  const connection = await connect();
  const [rows] = await connection.query('SELECT version() AS version LIMIT 1');
  await connection.end();
  const [{ version }] = rows as [{ readonly version: string }];
  return {
    name: options.name,
    flavour: options.flavour,
    version,
    host: '127.0.0.1',
    port,
    socketPath: null,
    user: 'root',
    password: '',
    dataDir: null,
    folder,
    ended: supervised.ended,
    why: `${options.why} (container ${container})`,
    stop: () => supervised.stop(),
  };
}

function runArguments(container: string, options: ContainerOptions): readonly string[] {
  const settings = ['MYSQL_ALLOW_EMPTY_PASSWORD=yes', 'MARIADB_ALLOW_EMPTY_ROOT_PASSWORD=yes'];
  return [
    ...['run', '--rm', '--name', container, '--publish', '127.0.0.1::3306'],
    ...settings.flatMap((setting) => ['--env', setting]),
    options.image,
    ...['--skip-name-resolve', '--local-infile=1', '--server-id=1', '--log-bin=binlog'],
    ...(options.extraOptions ?? []),
  ];
}

/** The engine chooses a free port; it is known once the container runs. */
async function publishedPort(running: Running, options: ContainerOptions): Promise<number> {
  const deadline = Date.now() + READY_WITHIN_MS;
  while (Date.now() < deadline && running.supervised.finalError === '') {
    options.signal?.throwIfAborted();
    const argv = [options.engine, 'port', running.container, '3306/tcp'];
    const { stdout } = await tryCommand(argv, { deadlineMs: PROBE_MS });
    const port = /:(\d+)\s*$/m.exec(stdout)?.[1];
    if (port !== undefined) return Number(port);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  const cause = running.supervised.finalError || 'it publishes no port';
  throw new UndropError('UNDROP_DEMO_STEP', { step: `run ${options.image}`, cause });
}

/** The reason why an engine can't be used; null if it responds. */
async function whyNot(engine: Engine): Promise<string | null> {
  // The docker client succeeds without its engine; only a query of the server part shows it.
  const argv =
    engine === 'docker' ? ['docker', 'version', '-f', '{{.Server.Version}}'] : ['podman', 'info'];
  try {
    const { code } = await tryCommand(argv, { deadlineMs: PROBE_MS });
    return code === 0 ? null : `${engine} does not respond`;
  } catch (error) {
    if (error instanceof UndropError) return `no ${engine}`;
    throw error;
  }
}
