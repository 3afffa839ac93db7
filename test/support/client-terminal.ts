/**
 * A command-line client at a terminal of its own (made by `script`, of every Debian): what is typed
 * goes through the terminal's line discipline, so a Ctrl-C is one.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { type CliName, connectionOptions } from './client-cli.js';
import { clientCommand, loginOptions } from './clients.js';
import { until } from './poll.js';
import type { Target } from './servers.js';

const PROMPT = 'ready> ';

export type Terminal = Awaited<ReturnType<typeof openTerminal>>;

/** Starts a client; resolves at its first prompt. */
export async function openTerminal(name: CliName, target: Target) {
  const command = [
    ...(await clientCommand(name)),
    ...loginOptions(target),
    ...connectionOptions(name),
    ...['--no-auto-rehash', `--prompt=${PROMPT}`],
  ];
  // Without a shell that would be interrupted as well.
  const line = `exec ${command.map(quoteForShell).join(' ')}`;
  const child = spawn('script', ['-qec', line, '/dev/null'], {
    env: { ...process.env, TERM: 'dumb', SHELL: '/bin/sh' },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const ended = once(child, 'close') as Promise<[number | null]>;
  let raw = '';
  let typed = 0;
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      raw += text;
    });
  }
  const screen = () => asSeen(raw);
  /** Resolves when the prompt is there that belongs to the last line. */
  const prompt = () => {
    const isThere = () => screen().split(PROMPT).length - 1 > typed;
    return until(isThere, `prompt ${typed + 1} of ${name}`, 60_000);
  };
  /** Types a line that is going to take its time. */
  const start = (text: string): void => {
    typed++;
    child.stdin.write(`${text}\n`);
  };
  const terminal = {
    /** Everything on the screen so far, without what moves the cursor. */
    get screen() {
      return screen();
    },
    ...{ start, prompt },
    /** Types a line; resolves when the client asks for the next one. */
    line: (text: string) => {
      start(text);
      return prompt();
    },
    /** Presses Ctrl-C. */
    interrupt: () => child.stdin.write('\x03'),
    /** Leaves the client; resolves with its exit code. */
    quit: async () => {
      child.stdin.write('exit\n');
      const [code] = await ended;
      return code;
    },
    /** Ends it, whatever it does. */
    kill: () => child.kill('SIGKILL'),
  };
  try {
    await prompt();
  } catch (error) {
    terminal.kill();
    throw new Error(`${name} never came to its prompt: ${raw}`, { cause: error });
  }
  return terminal;
}

/**
 * Without escape sequences and the bell, and with one way of ending a line. What is typed before
 * the client has the terminal to itself is echoed by both, and once more where it draws its line
 * anew.
 */
function asSeen(raw: string): string {
  // The characters themselves would be refused in a literal.
  const [bell, esc] = [7, 27].map((code) => String.fromCharCode(code));
  const sequences = new RegExp(`${esc}(\\[[0-9;?]*[a-zA-Z]|[=>])|[${bell}\r]`, 'g');
  return raw.replaceAll(sequences, '').replaceAll(/^(ready> (.+))(?:\n\2 *)+$/gm, '$1');
}

function quoteForShell(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}
