/** `undrop reload`: has a running service of this machine reload its program and settings. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { ServerAddress } from '../connections/server-address.js';
import { UndropError } from '../errors.js';
import { type Flags, type Shell, settingsOf } from '../faces/cli/settings.js';
import { commandSocketOf, sendCommand } from './supervisor/command-socket.js';

/** Resolves to 0 if the service did it. */
export async function runReload(flags: Flags, shell: Shell): Promise<number> {
  const { listen } = settingsOf(shell, ['listen'], flags);
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
  const others = systemdFolders().map((folder) => commandSocketOf(listen, folder));
  const other = others.find((one) => one !== null && existsSync(one));
  if (other) return other;
  const { findDemo } = await import('../../demo/demo.js');
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
