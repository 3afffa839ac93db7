/**
 * Tools from npm, above all those that migrate schemas, installed into the cache by a lock file of
 * their own, and the run of one's script. Invariant: exactly the versions of the lock file, none of
 * which is a dependency of the project; a tool that can't be had is a failure.
 */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { copyFile, readFile, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { ensureCached } from '../../throwaway-servers/cache.js';
import { type CommandResult, runCommand, tryCommand } from '../../throwaway-servers/run-command.js';
import type { Transcript } from './client-script.js';
import { laying, projectFolder } from './folders.js';
import type { Target, TestServer } from './servers.js';
import { withoutUndoTexts } from './undo-info.js';

export const NPM_TOOLS = ['knex', 'sequelize', 'typeorm', 'drizzle'] as const;

export type NpmTool = (typeof NPM_TOOLS)[number];

export interface ToolJob {
  readonly target: Target;
  readonly flavour: TestServer['flavour'];
  /** Empty; the account may do everything in it, and in those whose names it begins. */
  readonly schema: string;
}

const SCRIPTS = join(projectFolder, 'test/support/npm-tools');
const LISTS = ['package.json', 'package-lock.json', '.npmrc'];

/** Installs the tools where that hasn't been done, and hands back their folder. */
export function ensureNpmTools(): Promise<string> {
  return ensureNpmList('npm-tools');
}

/**
 * Installs what the lists in `test/support/<name>/` have, where that hasn't been done, and hands
 * back the folder. `finish` may add to it.
 */
export async function ensureNpmList(
  name: string,
  finish: (folder: string) => Promise<void> = async () => undefined,
): Promise<string> {
  const source = join(projectFolder, 'test/support', name);
  const lists = LISTS.filter((list) => existsSync(join(source, list)));
  const hash = createHash('sha256').update(await readFile(join(source, 'package-lock.json')));
  return ensureCached(
    laying.cache,
    `${name}-${hash.digest('hex').slice(0, 12)}`,
    async (folder) => {
      process.stderr.write(`${name}: fetching packages …\n`);
      for (const list of lists) await copyFile(join(source, list), join(folder, list));
      // npm calls a folder that is reached by a symbolic link another project than the lock file's.
      const prefix = ['--prefix', await realpath(folder)];
      const options = ['--ignore-scripts', '--no-audit', '--no-fund', ...prefix];
      await runCommand(['npm', 'ci', ...options], { cwd: folder });
      await finish(folder);
    },
  );
}

/** The whole script; what differs between any two runs is masked. */
export async function runNpmTool(tool: NpmTool, job: ToolJob): Promise<Transcript> {
  const { host, port, user, password } = job.target;
  const login = [host, String(port), user, password];
  const { code, stdout, stderr } = await tryCommand(
    [process.execPath, join(SCRIPTS, `${tool}.cjs`), ...login, job.schema, job.flavour],
    {
      env: { NPM_TOOLS: await ensureNpmTools(), NO_COLOR: '1' },
      deadlineMs: 120_000,
      outputCharsMax: 20_000_000,
    },
  );
  return { code, text: masked(withoutUndoTexts(`${stdout}\n${stderr}`), job) };
}

/** Makes the tables of a small shop as the tool does, or resets them. */
export async function runNpmReset(
  tool: string,
  { target: { host, port, user, password }, flavour, schema }: ToolJob,
  phase: 'make' | 'reset',
): Promise<CommandResult> {
  const login = [host, String(port), user, password, schema];
  const argv = [process.execPath, join(SCRIPTS, 'reset.cjs'), ...login, flavour, tool, phase];
  const env = { NPM_TOOLS: await ensureNpmTools(), NO_COLOR: '1' };
  return tryCommand(argv, { env, deadlineMs: 120_000 });
}

function masked(text: string, { schema, target }: ToolJob): string {
  return text
    .replaceAll(schema, '<schema>')
    .replaceAll(new RegExp(`\\b${target.port}\\b`, 'g'), '<port>')
    .replaceAll(/\(conn=\d+/g, '(conn=<id>')
    .replaceAll(/\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?Z?/g, '<time>');
}
