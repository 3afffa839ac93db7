/**
 * What the command line says without a command, or with one that it doesn't know; and that what
 * lies in the folder where somebody calls it is never read, and never run.
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { runInProcess } from '../support/command-line.js';

const MAIN = fileURLToPath(new URL('../../src/runtime/main.js', import.meta.url));
/** scripts/bundle.mjs takes out of a library what would read files of that folder. */
const PACKED = fileURLToPath(new URL('../../undrop.mjs', import.meta.url));
const run = promisify(execFile);

test('a bare undrop prints its commands', async () => {
  const { code, stdout, stderr } = await runInProcess([]);
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
  [['serve', '--login-timeout', '5s'], '--login-timeout was removed: clients have 9 seconds'],
  [['toString'], 'Unknown command or argument: toString\n'],
  [['show'], 'Expected a table or an id, found none.'],
  [
    ['list', '--upstream', 'a:1', '--user', 'a', '--upstream', 'b:1', '--user', 'b'],
    'UNDROP_CONFIG: --upstream: expected once, found 2 times.\n--user: expected once, found 2',
  ],
])('%j is wrong usage', async (args, said) => {
  const { code, stdout, stderr } = await runInProcess(args);
  expect([code, stdout, stderr]).toEqual([2, '', expect.stringContaining(said)]);
});

test.each([
  ['/bin/bash', 'complete -o bashdefault'],
  ['/usr/bin/zsh', 'compdef _undrop_yargs_completions undrop'],
])('completion prints a script for %s, and what it asks for', async (SHELL, script) => {
  const env = { SHELL };
  const { stdout } = await run(process.execPath, [MAIN, 'completion'], { env });
  expect(stdout).toContain(script);
  const asked = ['--get-yargs-completions', 'undrop', 'hold', '--'];
  const { stdout: flags } = await run(process.execPath, [MAIN, ...asked], { env });
  expect(flags).toContain('--for');
});

test('nothing in the folder where it is called is read', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'undrop-folder-'));
  const runs = "require('node:fs').writeFileSync('was-run', '');";
  const files = { 'mysql.config.js': runs, 'mysql.config.cjs': runs, '.mysqlrc.cjs': runs };
  const all = { ...files, '.mysqlrc': '}{', 'package.json': '{"mysql": {"test": 1}}' };
  try {
    for (const [file, content] of Object.entries(all)) writeFileSync(join(folder, file), content);
    const UNDROP_UPSTREAM = join(folder, 'no.sock');
    const env = { UNDROP_UPSTREAM, UNDROP_USER: 'u', UNDROP_PASSWORD: 'p' };
    const list = run(process.execPath, [PACKED, 'list'], { cwd: folder, env });
    await expect(list).rejects.toThrow('UNDROP_UPSTREAM_UNREACHABLE');
    expect(readdirSync(folder).sort()).toEqual(Object.keys(all).sort());
  } finally {
    rmSync(folder, { recursive: true });
  }
});
