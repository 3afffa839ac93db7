/** `undrop reload`: has a running service of this machine reload its program and settings. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { UndropError } from '../../errors.js';
import type { ServerAddress } from '../../service/server-address.js';
import type { Flags, Shell } from '../shell.js';
import { commandSocketOf, sendCommand } from '../supervisor/command-socket.js';

/** Resolves to 0 if the service did it. */
export async function runReload(
  { listen }: { readonly listen: readonly ServerAddress[] },
  flags: Flags,
  shell: Shell,
): Promise<number> {
  const path = await socketOf(listen);
  if (path === null) {
    const cause = 'UNDROP_LISTEN has no fixed port';
    throw new UndropError('UNDROP_NOT_RUNNING', { path: 'none', cause });
  }
  const onWait = (what: string) => shell.stderr.write(`undrop: ${what}\n`);
  const { isDone, text } = await sendCommand(path, { force: flags['force'] === true }, onWait);
  (isDone ? shell.stdout : shell.stderr).write(`undrop: ${text}\n`);
  return isDone ? 0 : 1;
}

/** By default that of a service of systemd, or of a running demo, if no other is at the port. */
async function socketOf(listen: readonly ServerAddress[]): Promise<string | null> {
  const path = commandSocketOf(listen);
  if (path !== null && existsSync(path)) return path;
  for (const folder of systemdFolders()) {
    const other = commandSocketOf(listen, folder);
    if (other !== null && existsSync(other)) return other;
  }
  const { findDemo } = await import('../../../demo/demo.js');
  const demo = await findDemo();
  return demo === null ? path : commandSocketOf([demo.proxy], demo.variables['RUNTIME_DIRECTORY']);
}

/** The RuntimeDirectory of `undrop.service`, and of each `undrop@….service`. */
function systemdFolders(): readonly string[] {
  const run = '/run';
  if (!existsSync(run)) return [];
  return readdirSync(run)
    .filter((name) => /^undrop(-|$)/.test(name))
    .map((name) => join(run, name));
}
