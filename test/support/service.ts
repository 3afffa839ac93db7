/**
 * `undrop serve` as its operator has it: with a file of settings, a program that is replaced while
 * it runs, and its socket. What an update does to clients is tested with it.
 */
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { commandSocketOf } from '../../src/cli/supervisor/command-socket.js';
import type { CommandResult } from '../../throwaway-servers/run-command.js';
import { temporaryFolder } from './folders.js';
import { until } from './poll.js';
import {
  adminOf,
  MAIN,
  type ProxyProcess,
  runUndrop,
  spawnProxy,
  type Variables,
} from './proxy.js';
import type { Target } from './servers.js';

type Fields = Readonly<Record<string, unknown>>;

export interface Service extends AsyncDisposable {
  readonly proxy: ProxyProcess;
  /** Replaces the file of settings. */
  set(settings: object): Promise<void>;
  /** Replaces the program by one of that version, or by one that is broken. */
  install(version: string, change?: (text: string) => string): Promise<void>;
  /** `undrop reload`, say. */
  command(...args: readonly string[]): Promise<CommandResult>;
  /** Lines of its log with these fields. */
  logged(fields: Fields): readonly Fields[];
  /** Resolves when there are that many of them. */
  says(fields: Fields, count?: number): Promise<void>;
  /** The status of a path of the admin listener. */
  status(path: string): Promise<number>;
}

/** `under`: as for spawnProxy. */
export async function startService(
  server: Target,
  settings: object = {},
  variables: Variables = {},
  under: readonly string[] = [],
): Promise<Service> {
  const folder = await temporaryFolder('service');
  const [main, config] = [join(folder.path, 'undrop.mjs'), join(folder.path, 'undrop.json')];
  const text = await readFile(MAIN, 'utf8');
  const replace = async (path: string, content: string) => {
    await writeFile(`${path}.new`, content);
    await rename(`${path}.new`, path);
  };
  const set = (values: object) => replace(config, JSON.stringify(values));
  const install: Service['install'] = (version, change = (same) => same) =>
    replace(main, change(text.replace(/UNDROP_VERSION="[^"]*"/, `UNDROP_VERSION="${version}"`)));
  // Its socket for commands is named after the address that has a name beforehand.
  const socketPath = join(folder.path, 'undrop.sock');
  const own = { LISTEN: `${variables['LISTEN'] ?? '127.0.0.1:0'},${socketPath}` };
  await Promise.all([set(settings), install('0.0.0')]);
  const all = { ADMIN_LISTEN: '127.0.0.1:0', CONFIG: config, ...variables, ...own };
  const proxy = await spawnProxy(server, all, under, main);
  const logged = (fields: Fields) =>
    proxy.lines.filter((line) =>
      Object.entries(fields).every(([key, value]) => line[key] === value),
    );
  return {
    ...{ proxy, set, install, logged },
    command: (...args) => runUndrop(server, args, own),
    says: (fields, count = 1) =>
      until(() => logged(fields).length >= count, `${count} of ${JSON.stringify(fields)}`),
    status: async (path) => (await fetch(`http://${adminOf(proxy)}${path}`)).status,
    [Symbol.asyncDispose]: async () => {
      proxy.kill('SIGKILL');
      await proxy.ended;
      await folder[Symbol.asyncDispose]();
      await rm(commandSocketOf([{ socketPath }]) ?? '', { force: true });
    },
  };
}
