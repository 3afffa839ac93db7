/**
 * Runs a helper program (apt-get, dpkg, npm, tar, a bootstrapping server) to its end.
 *
 * Invariant: it ends by itself, by its deadline or by the abort signal; no process is left when the
 * promise settles.
 */
import { spawn } from 'node:child_process';
import { UndropError } from '../src/errors.js';

/** The maximum of each output that is kept; a longer one loses its beginning. */
const OUTPUT_CHARS_MAX = 1_000_000;

interface CommandOptions {
  readonly cwd?: string;
  /** Added to this process's environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Standard input; none if missing. */
  readonly input?: string;
  /** Default a million for each output; the end is kept. */
  readonly outputCharsMax?: number;
  /** Default 5 minutes. */
  readonly deadlineMs?: number;
  /** Ends the program by SIGKILL. */
  readonly signal?: AbortSignal | undefined;
}

export interface CommandResult {
  /** Exit code; null if a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `argv`; rejects with UNDROP_DEMO_STEP if it can't be started or ends with a failure. */
export async function runCommand(
  argv: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  const result = await tryCommand(argv, options);
  if (result.code === 0) return result;
  const said = (result.stderr.trim() || result.stdout.trim()).split('\n').slice(-5).join(' | ');
  const how = result.code === null ? 'was stopped' : `ended with exit code ${result.code}`;
  throw stepError(argv, said === '' ? how : `${how}: ${said}`);
}

/** Runs `argv` and returns its exit; rejects only if it can't be started. */
export function tryCommand(
  argv: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  const [program = '', ...args] = argv;
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
      stdio: ['pipe', 'pipe', 'pipe'],
      timeout: options.deadlineMs ?? 300_000,
      killSignal: 'SIGKILL',
      ...(options.signal ? { signal: options.signal } : {}),
    });
    const { outputCharsMax = OUTPUT_CHARS_MAX } = options;
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout = (stdout + text).slice(-outputCharsMax);
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr = (stderr + text).slice(-outputCharsMax);
    });
    // A program that ends without reading its input breaks the pipe; its exit code suffices.
    child.stdin.on('error', () => undefined);
    child.stdin.end(options.input ?? '');
    child.on('error', (error) => reject(stepError(argv, error.message, error)));
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
}

function stepError(argv: readonly string[], cause: string, error?: unknown): UndropError {
  const step = argv.slice(0, 3).join(' ');
  return new UndropError('UNDROP_DEMO_STEP', { step, cause }, error);
}
