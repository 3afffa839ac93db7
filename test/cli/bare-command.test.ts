/** What the command line says without a command, or with one that it doesn't know. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from '@jest/globals';
import { runCommandLine } from '../../src/cli/command-line.js';
import { reportFailure } from '../../src/cli/report-failure.js';

const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));

async function undrop(...args: readonly string[]) {
  let [stdout, stderr] = ['', ''];
  const shell = {
    args,
    env: {},
    stdout: { write: (text: string) => (stdout += text) },
    stderr: { write: (text: string) => (stderr += text) },
    leaveSignals: () => undefined,
  };
  const code = await runCommandLine(shell).catch((error) => reportFailure(error, shell.stderr));
  return { code, stdout, stderr };
}

test('a bare undrop prints its commands', async () => {
  const { code, stdout, stderr } = await undrop();
  expect([code, stderr]).toEqual([0, '']);
  for (const command of ['serve', 'list', 'show', 'restore', 'hold', 'remove', 'completion']) {
    expect(stdout).toContain(`\n  undrop ${command}`);
  }
});

test.each([
  [['nothing'], 'Unknown command or argument: nothing'],
  [['list', '--nothing'], 'Unknown command or argument: nothing'],
  [['remve', 'orders'], 'Did you mean remove?'],
  [['list', '--dropped-bye', 'deploy'], 'Did you mean --dropped-by?'],
  [['serve', '--holt=1d'], 'Did you mean --hold?'],
  [['--upstream', 'db'], 'Expected a command; `undrop serve` runs the proxy.'],
  [['drain'], 'undrop drain was removed: set UNDROP_DRAIN_WAIT'],
  [['show'], 'Expected a table or an id, found none.'],
])('%j is wrong usage', async (args, said) => {
  const { code, stdout, stderr } = await undrop(...args);
  expect([code, stdout, stderr]).toEqual([2, '', expect.stringContaining(said)]);
});

test.each([
  ['/bin/bash', 'complete -o bashdefault'],
  ['/usr/bin/zsh', 'compdef _undrop_yargs_completions undrop'],
])('completion prints a script for %s, and what it asks for', async (SHELL, script) => {
  const run = promisify(execFile);
  const env = { SHELL };
  const { stdout } = await run(process.execPath, [MAIN, 'completion'], { env });
  expect(stdout).toContain(script);
  const asked = ['--get-yargs-completions', 'undrop', 'hold', '--'];
  const { stdout: flags } = await run(process.execPath, [MAIN, ...asked], { env });
  expect(flags).toContain('--for');
});
