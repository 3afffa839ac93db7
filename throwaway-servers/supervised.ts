/**
 * `Supervised` is the parent's side of server-supervisor.ts: it starts the supervisor, notices its
 * end, and stops it.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { extname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type Connection, createConnection } from 'mysql2/promise';
import { UndropError } from '../src/errors.js';
import type { SupervisorOrder } from './server-supervisor.js';

/** In the product beside `demo.mjs` (scripts/bundle.mjs). */
const NAME = `server-supervisor${extname(import.meta.url)}`;
const PROGRAM = fileURLToPath(new URL(NAME, import.meta.url));
const POLL_MS = 50;

/** A server process under supervision. */
export class Supervised {
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;
  #said = '';
  #hasEnded = false;

  constructor(order: SupervisorOrder) {
    // In a session of its own, so that a Ctrl-C in the terminal reaches only this process.
    this.#child = spawn(process.execPath, [PROGRAM], {
      env: { ...process.env, UNDROP_SUPERVISOR_ORDER: JSON.stringify(order) },
      detached: true,
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#child.stdin?.on('error', () => undefined);
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#said += text;
    });
    this.#ended = new Promise((resolve) => {
      const end = (): void => {
        this.#hasEnded = true;
        resolve();
      };
      this.#child.on('close', end);
      this.#child.on('error', end);
    });
    // A caller that forgets to stop the server must still be able to exit.
    this.#child.unref();
    for (const stream of [this.#child.stdin, this.#child.stdout]) unref(stream);
  }

  /** Resolves when the server and its supervisor have ended, for whatever reason. */
  get ended(): Promise<void> {
    return this.#ended;
  }

  /** The server's last output; empty while it runs. */
  get finalError(): string {
    return this.#said.trim();
  }

  /** Waits until `connect` succeeds; rejects with UNDROP_DEMO_STEP if it never will. */
  async ready(connect: () => Promise<Connection>, options: ReadyOptions): Promise<void> {
    const deadline = Date.now() + options.withinMs;
    for (;;) {
      options.signal?.throwIfAborted();
      if (this.#hasEnded) throw startError(this.finalError || 'it ended at once');
      try {
        const connection = await connect();
        await connection.end();
        return;
      } catch (error) {
        if (Date.now() > deadline) {
          throw startError(`no answer within ${options.withinMs / 1000} s`, error);
        }
      }
      await sleep(POLL_MS);
    }
  }

  /** May be called twice. */
  async stop(): Promise<void> {
    this.#child.ref();
    this.#child.stdin?.destroy();
    await this.#ended;
  }
}

interface ReadyOptions {
  readonly withinMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** A connection as root without a password, as every throwaway server has it. */
export function connectAsRoot(
  target: { readonly socketPath: string } | { readonly host: string; readonly port: number },
): Promise<Connection> {
  return createConnection({ ...target, user: 'root', connectTimeout: 5_000 });
}

function startError(cause: string, error?: unknown): UndropError {
  return new UndropError('UNDROP_DEMO_STEP', { step: 'start the server', cause }, error);
}

function unref(stream: unknown): void {
  (stream as { unref?: () => void } | null)?.unref?.();
}
