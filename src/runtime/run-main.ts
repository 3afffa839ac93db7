/** The process of a command: its signals, its streams and its exit code. */
import { once } from 'node:events';
import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import { hideBin } from 'yargs/helpers';
import { runCommandLine } from './command-line.js';
import { reportFailure } from './report-failure.js';
import { leaveSignals } from './signals.js';

const { env, stdout, stderr } = process;

// The reader of the output may close it, as `head` does; the command still runs to its end.
stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});

async function ask(question: string, { isSecret = false } = {}): Promise<string> {
  // The terminal shows nothing by itself; what is typed is written to `output`.
  const output = isSecret ? new Writable({ write: (_chunk, _encoding, done) => done() }) : stderr;
  if (isSecret) stderr.write(question);
  const lines = createInterface({ input: process.stdin, output, terminal: true });
  try {
    // Ctrl-D closes it without input.
    return await Promise.race([lines.question(question), once(lines, 'close').then(() => '')]);
  } finally {
    lines.close();
    if (isSecret) stderr.write('\n');
  }
}

const asks = process.stdin.isTTY && stderr.isTTY ? { ask } : {};

runCommandLine({ args: hideBin(process.argv), env, stdout, stderr, leaveSignals, ...asks })
  .then((code) => {
    process.exitCode = code;
  })
  .catch((error: unknown) => {
    process.exit(reportFailure(error, stderr));
  });
