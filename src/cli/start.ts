/**
 * `undrop start` (behind `npm start`) and `undrop demo`: with UNDROP_UPSTREAM set, `start` is
 * `serve`; with nothing set it is the demo on a throwaway server. `demo --tour` shows a running one
 * off.
 */
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { createConnection } from 'mysql2/promise';
import { cacheFolder } from '../demo/cache.js';
import { tryCommand } from '../demo/run-command.js';
import { type DemoProxy, runDemo } from '../demo/run-demo.js';
import { SHOP_SCHEMA } from '../demo/shop.js';
import { type DemoState, findDemo } from '../demo/state.js';
import { runTour } from '../demo/tour.js';

const PROJECT = join(fileURLToPath(import.meta.url), '../../../..');
const MAIN = join(PROJECT, 'build/src/cli/main.js');

/** What the other commands lend to these two. */
export interface StartDoors {
  /** `undrop serve` with that environment and arguments; resolves to the exit code. */
  readonly serve: (env: NodeJS.ProcessEnv, argv: readonly string[]) => Promise<number>;
  /** Starts the proxy by UNDROP_* variables alone; it listens when this resolves. */
  readonly startProxy: (variables: Readonly<Record<string, string>>) => Promise<DemoProxy>;
}

export type Out = { write(text: string): unknown };

/** `undrop start`: resolves to the exit code when it was told to end. */
export function runStart(
  env: NodeJS.ProcessEnv,
  argv: readonly string[],
  out: Out,
  doors: StartDoors,
): Promise<number> {
  const hasUpstream = argv.some((word) => /^--upstream(=|$)/.test(word));
  if (!env['UNDROP_UPSTREAM'] && !hasUpstream) return runDemoCommand(env, [], out, doors);
  out.write(`undrop: in front of ${env['UNDROP_UPSTREAM'] ?? 'the upstream given'}\n`);
  return doors.serve(env, argv);
}

/** `undrop demo [--tour [--host h] [--port n] [--user u] [--password p]]`. */
export function runDemoCommand(
  env: NodeJS.ProcessEnv,
  argv: readonly string[],
  out: Out,
  doors: StartDoors,
): Promise<number> {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({
    args: [...argv],
    options: { tour: { type: 'boolean' }, host: text, port: text, user: text, password: text },
  });
  if (values.tour) return tour(env, values, out);
  return demo(env, out, doors);
}

async function demo(env: NodeJS.ProcessEnv, out: Out, doors: StartDoors): Promise<number> {
  const code = await runDemo({
    env,
    cache: cacheFolder(env, PROJECT),
    command: commandName(),
    write: (line) => out.write(line),
    startProxy: doors.startProxy,
  });
  // Everything has been ended; what still hangs must not keep a terminal that was told to end.
  setTimeout(() => process.exit(code), 1_000).unref();
  return code;
}

/**
 * The UNDROP_* variables of the demo that runs on this machine, for commands typed beside it with
 * nothing configured; none where no demo runs.
 */
export async function demoVariables(): Promise<Readonly<Record<string, string>>> {
  const demo = await findDemo();
  return demo?.variables ?? {};
}

interface TourTarget {
  readonly host?: string | undefined;
  readonly port?: string | undefined;
  readonly user?: string | undefined;
  readonly password?: string | undefined;
}

async function tour(env: NodeJS.ProcessEnv, given: TourTarget, out: Out): Promise<number> {
  const demo = given.port === undefined ? await findDemo() : null;
  if (demo === null && given.port === undefined) {
    out.write(
      'No demo of your account runs on this machine: type `npm start` in another terminal\n',
    );
    out.write('first, or say which proxy by --port (and --host, --user, --password).\n');
    return 1;
  }
  const target = {
    host: given.host ?? demo?.proxy.host ?? '127.0.0.1',
    port: Number(given.port ?? demo?.proxy.port),
    user: given.user ?? demo?.user ?? 'root',
    password: given.password ?? '',
  };
  const ending = new AbortController();
  process.once('SIGINT', () => ending.abort());
  const connection = await createConnection(target);
  try {
    out.write(`Connected to ${target.host}:${target.port}${behind(demo)}.\n`);
    const variables = { ...env, ...demo?.variables } as Record<string, string>;
    return await runTour({
      connection,
      schema: SHOP_SCHEMA,
      write: (line) => out.write(line),
      commandName: commandName(),
      command: (args) => tryCommand([process.execPath, MAIN, ...args], { env: variables }),
      signal: ending.signal,
    });
  } finally {
    connection.destroy();
  }
}

function behind(demo: DemoState | null): string {
  return demo === null ? '' : `, with ${demo.server} behind it`;
}

/** As it can be typed in the folder where we were started. */
function commandName(): string {
  return `node ${relative(process.cwd(), MAIN)}`;
}
