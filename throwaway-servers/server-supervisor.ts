/**
 * A small process between a throwaway server and the process that started it: it runs the server,
 * waits for its standard input to end, then stops the server and removes the folder. The parent
 * holds the other end of that pipe, so this happens however the parent dies, by SIGKILL too.
 *
 * Invariant: when this process is gone, so are its server and, unless it is to be kept, the folder.
 */
import { spawn, spawnSync } from 'node:child_process';
import { openSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/** Passed as JSON by the environment, so that no list of processes shows it. */
export interface SupervisorOrder {
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly folder: string;
  /** True: the folder is kept, and the server is shut down in order. */
  readonly keepFolder: boolean;
  /** Runs at the end, where the command's own death does not end the server (a container). */
  readonly cleanUp: readonly string[] | null;
  /** The maximum time of a server's shutdown. */
  readonly graceMs: number;
}

const LOG_LINES_MAX = 5;

// The parent handles a closed terminal or a Ctrl-C, and ends the pipe if it stops.
for (const signal of ['SIGINT', 'SIGHUP', 'SIGTERM', 'SIGPIPE'] as const) {
  process.on(signal, () => undefined);
}
const text = process.env['UNDROP_SUPERVISOR_ORDER'] ?? '';
delete process.env['UNDROP_SUPERVISOR_ORDER'];
supervise(JSON.parse(text) as SupervisorOrder);

function supervise(order: SupervisorOrder): void {
  const [program = '', ...args] = order.command;
  const logFile = join(order.folder, 'server.log');
  const log = openSync(logFile, 'a');
  const server = spawn(program, args, {
    env: { ...process.env, ...order.env },
    stdio: ['ignore', log, log],
  });
  let asked = false;
  const end = (cause?: string): never => {
    if (!asked) process.stdout.write(cause ?? finalError(logFile));
    const [cleaner, ...cleanerArgs] = order.cleanUp ?? [];
    if (cleaner !== undefined) spawnSync(cleaner, cleanerArgs, { stdio: 'ignore' });
    if (!order.keepFolder) rmSync(order.folder, { recursive: true, force: true });
    process.exit(asked ? 0 : 1);
  };
  server.on('error', (error) => end(error.message));
  server.on('exit', () => end());
  process.stdout.on('error', () => undefined);
  process.stdin.resume();
  process.stdin.on('error', () => undefined);
  process.stdin.on('close', () => {
    asked = true;
    server.kill(order.keepFolder ? 'SIGTERM' : 'SIGKILL');
    setTimeout(() => server.kill('SIGKILL'), order.graceMs);
  });
}

/** The errors in the server's log; its last lines if it calls nothing an error. */
function finalError(logFile: string): string {
  const lines = readFileSync(logFile, 'utf8').trim().split('\n');
  const errors = lines.filter((line) => /error/i.test(line));
  return (errors.length > 0 ? errors : lines).slice(-LOG_LINES_MAX).join('\n');
}
