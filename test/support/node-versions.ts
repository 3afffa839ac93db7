/**
 * The versions of Node.js that the product runs on, each out of the npm package of its platform.
 * NODE_VERSIONS says on which the tests run it ("20,26"); otherwise on all of them in a long run,
 * and on that of the tests in any other.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ensureCached } from '../../throwaway-servers/cache.js';
import { runCommand } from '../../throwaway-servers/run-command.js';
import { laying } from './folders.js';
import { isLong } from './sample.js';

const VERSIONS: Readonly<Record<string, string>> = {
  20: '20.20.2',
  22: '22.23.3',
  24: '24.21.0',
  26: '26.10.0',
};

export function nodeVersions(): readonly string[] {
  return process.env['NODE_VERSIONS']?.split(',') ?? (isLong ? Object.keys(VERSIONS) : ['this']);
}

/** The program; installed into the cache first where it isn't there. */
export async function nodeProgram(major: string): Promise<string> {
  if (major === 'this') return process.execPath;
  const version = VERSIONS[major];
  if (version === undefined) {
    throw new Error(`NODE_VERSIONS: expected some of ${Object.keys(VERSIONS)}, found ${major}.`);
  }
  const name = `node-${process.platform}-${process.arch}`;
  const folder = await ensureCached(laying.cache, `node-${version}`, async (fresh) => {
    const options = ['--no-save', '--no-audit', '--no-fund', '--prefix', fresh];
    await runCommand(['npm', 'install', ...options, `${name}@${version}`], { cwd: fresh });
  });
  const program = join(folder, 'node_modules', name, 'bin/node');
  if (!existsSync(program)) throw new Error(`${name}@${version} has no bin/node.`);
  return program;
}
