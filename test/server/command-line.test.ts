/** The commands as processes in a shell: pipes that close, signals that come early. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { projectFolder } from '../support/folders.js';
import { until } from '../support/poll.js';
import { environment, MAIN, proxyInFront, spawnUndrop } from '../support/proxy.js';
import { testServers } from '../support/servers.js';

const { SIGHUP, SIGTERM } = constants.signals;

/** Whether the process has a handler of its own for it. */
function handles(pid: number, signal: number): boolean {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const mask = BigInt(`0x${/^SigCgt:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? '0'}`);
  return ((mask >> BigInt(signal - 1)) & 1n) === 1n;
}

let temporary = '';

beforeAll(() => {
  temporary = mkdtempSync(join(tmpdir(), 'undrop-start-'));
});
afterAll(() => rmSync(temporary, { recursive: true, force: true }));

/** It builds itself, which others that run from the same build would notice. */
function copyOfProject(): string {
  if (existsSync(join(temporary, 'scripts'))) return temporary;
  const parts = ['src', 'throwaway-servers', 'scripts', 'package.json', 'package-lock.json'];
  for (const part of [...parts, 'tsconfig.json', 'tsconfig.src.json']) {
    cpSync(join(projectFolder, part), join(temporary, part), { recursive: true });
  }
  symlinkSync(join(projectFolder, 'node_modules'), join(temporary, 'node_modules'));
  return temporary;
}

describe.each(testServers().slice(0, 1))('beside $name', (server) => {
  const env = { ...process.env, ...environment(server, {}) };

  test('a command whose reader has gone ends quietly, with its own exit code', async () => {
    const text = '"$0" "$@" | true; exit $PIPESTATUS';
    const child = spawn('bash', ['-c', text, process.execPath, MAIN, 'list'], { env });
    let said = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        said += chunk.toString();
      });
    }
    const [code] = (await once(child, 'close')) as [number | null];
    expect([said, code]).toEqual(['', 0]);
  });

  test('a flag that is given twice is refused, whatever it would mean', async () => {
    const twice = ['--upstream', 'a:1', '--user', 'a', '--upstream', 'b:1', '--user', 'b'];
    const { code, stdout, stderr } = await spawnUndrop(server, ['list', ...twice]);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(
      /UNDROP_CONFIG: --upstream: expected once, found 2 times\.\n--user: expected once, found 2/,
    );
  });

  test('npm start ends where npm is gone before it could hear of it', async () => {
    const script = join(copyOfProject(), 'scripts/start.mjs');
    const orphan = { ...env, npm_lifecycle_event: 'start' };
    const shell = spawn('sh', ['-c', '"$0" "$1" &', process.execPath, script], {
      env: orphan,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    // Its standard output is open as long as it lives.
    let said = '';
    shell.stdout.on('data', (chunk: Buffer) => {
      said += chunk.toString();
    });
    await once(shell, 'close');
    expect(said).not.toContain('"event":"ready"');
  });

  test('npm start ends by a signal that comes before it serves', async () => {
    const script = join(copyOfProject(), 'scripts/start.mjs');
    const child = spawn(process.execPath, [script], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    const ended = once(child, 'exit');
    const { pid = 0 } = child;
    // Of these Node itself handles the others.
    await until(async () => handles(pid, SIGHUP), 'it listens for signals');
    child.kill('SIGTERM');
    const [code] = (await ended) as [number | null];
    // Before the proxy's own way of ending, or by that.
    expect([128 + SIGTERM, 0]).toContain(code);
  });
});

describe.each(testServers())('before $name', (server) => {
  test.each([
    ['list', ['list']],
    ['restore', ['restore', 'nothing']],
    ['doctor', ['doctor']],
  ])('%s tells a proxy from a server', async (_command, args) => {
    await using proxy = await proxyInFront(server);
    const { code, stdout, stderr } = await spawnUndrop({ ...proxy, user: 'root' }, args);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(/UNDROP_UPSTREAM 127\.0\.0\.1:\d+ is a proxy of undrop/);
  });
});
