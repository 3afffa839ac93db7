/** The folders of the project, seen from build/test/support, and temporary ones. */
import { mkdtempSync, rmSync } from 'node:fs';
import { cp, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cacheFolder } from '../../throwaway-servers/cache.js';

export const projectFolder = join(fileURLToPath(import.meta.url), '../../../..');

/** For what lays programs down: where they are kept, and who hears of it. */
export const laying = {
  cache: cacheFolder(process.env, projectFolder),
  say: (line: string) => process.stderr.write(`${line}\n`),
};

/** Of the compiled tests. */
export const testFolder = join(projectFolder, 'build/test');

/** A new one, which is removed when it is disposed of. */
export async function temporaryFolder(name: string) {
  const path = await mkdtemp(join(tmpdir(), `undrop-${name}-`));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

/** One for each test of a file or a describe, and the paths of what is in it. */
export function folderOfEachTest(name: string): (...parts: readonly string[]) => string {
  let path = '';
  beforeEach(() => {
    path = mkdtempSync(join(tmpdir(), `undrop-${name}-`));
  });
  afterEach(() => rmSync(path, { recursive: true, force: true }));
  return (...parts) => join(path, ...parts);
}

/** What a clone has, as far as a package is made of it. */
const PARTS = [
  ...['src', 'demo', 'throwaway-servers', 'scripts', 'docs', 'deploy', 'packaging', 'package.json'],
  ...['package-lock.json', 'tsconfig.json', 'tsconfig.src.json', 'undrop.example.conf', 'LICENSE'],
  ...['CHANGELOG.md', 'README.md'],
];

/** A clone in which nothing is built, with the packages of this one. */
export async function cloneProject(to: string): Promise<void> {
  for (const part of PARTS) {
    await cp(join(projectFolder, part), join(to, part), { recursive: true });
  }
  await symlink(join(projectFolder, 'node_modules'), join(to, 'node_modules'));
}
