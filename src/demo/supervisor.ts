/**
 * A small process of its own between a throwaway server and whoever started it: it runs the server,
 * waits for its standard input to end, then stops the server and removes the folder. The parent holds
 * the other end of that pipe, so this happens however the parent dies, by SIGKILL too. Invariant: when
 * this process is gone, so are its server and, unless it is to be kept, the folder.
 */
import { spawn } from 'node:child_process';
import { openSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/** Passed as JSON in the first argument. */
export interface SupervisorOrder {
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly folder: string;
  /** The folder stays, and the server is asked to end in order. */
  readonly keepFolder: boolean;
  /** How long a server that was asked to end may take. */
  readonly graceMs: number;
}

const LOG_CHARS_MAX = 3_000;

// A closed terminal or a Ctrl-C is the parent's business: its end of the pipe says what to do.
for (const signal of ['SIGINT', 'SIGHUP', 'SIGTERM', 'SIGPIPE'] as const) {
  process.on(signal, () => undefined);
}
supervise(JSON.parse(process.argv[2] ?? '') as SupervisorOrder);

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
    if (!asked) process.stdout.write(cause ?? readFileSync(logFile, 'utf8').slice(-LOG_CHARS_MAX));
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
