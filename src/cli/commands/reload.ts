/** `undrop reload`: has a running service of this machine reload its program and settings. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Settings } from '../../config/schema.js';
import { UndropError } from '../../errors.js';
import type { RELOAD_KEYS } from '../settings.js';
import type { Flags, Shell } from '../shell.js';
import { commandSocketOf, sendCommand } from '../supervisor/command-socket.js';

/** Resolves to 0 if the service did it. */
export async function runReload(
  settings: Pick<Settings, (typeof RELOAD_KEYS)[number]>,
  flags: Flags,
  shell: Shell,
): Promise<number> {
  const path = await socketOf(settings);
  if (path === null) {
    const cause = 'UNDROP_CONTROL_SOCKET is none, or UNDROP_LISTEN has no port';
    throw new UndropError('UNDROP_NOT_RUNNING', { path: 'none', cause });
  }
  const onWait = (what: string) => shell.stderr.write(`undrop: ${what}\n`);
  const { isDone, text } = await sendCommand(path, { force: flags['force'] === true }, onWait);
  (isDone ? shell.stdout : shell.stderr).write(`undrop: ${text}\n`);
  return isDone ? 0 : 1;
}

/** By default that of a service of systemd, or of a running demo, if no other is at the port. */
async function socketOf(settings: Parameters<typeof commandSocketOf>[0]): Promise<string | null> {
  const path = commandSocketOf(settings);
  if (settings.controlSocket !== 'auto' || (path !== null && existsSync(path))) return path;
  for (const folder of systemdFolders()) {
    const other = commandSocketOf(settings, folder);
    if (other !== null && existsSync(other)) return other;
  }
  const { findDemo } = await import('../../../demo/demo.js');
  return (await findDemo())?.variables['UNDROP_CONTROL_SOCKET'] ?? path;
}

/** The RuntimeDirectory of `undrop.service`, and of each `undrop@….service`. */
function systemdFolders(): readonly string[] {
  const run = '/run';
  if (!existsSync(run)) return [];
  return readdirSync(run)
    .filter((name) => /^undrop(-|$)/.test(name))
    .map((name) => join(run, name));
}
