/** What lies in the folder where somebody calls undrop is never read, and never run. */
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, test } from '@jest/globals';

/** As it is packed: scripts/bundle.mjs takes out of a library what would read them. */
const MAIN = fileURLToPath(new URL('../../undrop.mjs', import.meta.url));
const RUNS = "require('node:fs').writeFileSync('was-run', '');";

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'undrop-folder-'));
});

afterEach(() => {
  rmSync(folder, { recursive: true });
});

test.each([
  ['mysql.config.js', RUNS],
  ['mysql.config.cjs', RUNS],
  ['.mysqlrc.cjs', RUNS],
  ['.mysqlrc', '}{'],
  ['package.json', '{"mysql": {"test": 1}}'],
])('a %s is not read', async (file, content) => {
  writeFileSync(join(folder, file), content);
  const list = promisify(execFile)(process.execPath, [MAIN, 'list'], {
    cwd: folder,
    env: { UNDROP_UPSTREAM: join(folder, 'no.sock'), UNDROP_USER: 'u', UNDROP_PASSWORD: 'p' },
  });
  await expect(list).rejects.toThrow('UNDROP_UPSTREAM_UNREACHABLE');
  expect(readdirSync(folder)).toEqual([file]);
});
