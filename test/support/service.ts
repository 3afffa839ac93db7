/**
 * `undrop serve` as its operator has it: with a file of settings, a program that is replaced while
 * it runs, and its socket. What an update does to clients is tested with it.
 */
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { commandSocketOf } from '../../src/runtime/supervisor/command-socket.js';
import { temporaryFolder } from './folders.js';
import { until } from './poll.js';
import type { Variables } from './proxy.js';
import { adminOf, linesWith, MAIN, runUndrop, spawnProxy } from './proxy.js';
import type { Target } from './servers.js';

type Fields = Readonly<Record<string, unknown>>;

export type Service = Awaited<ReturnType<typeof startService>>;

/** `under`: as for spawnProxy. */
export async function startService(
  server: Target,
  settings: object = {},
  variables: Variables = {},
  under: readonly string[] = [],
) {
  const folder = await temporaryFolder('service');
  const [main, config] = [join(folder.path, 'undrop.mjs'), join(folder.path, 'undrop.json')];
  const text = await readFile(MAIN, 'utf8');
  const from = join(dirname(MAIN), 'parts');
  const replace = async (path: string, content: string) => {
    await writeFile(`${path}.new`, content);
    await rename(`${path}.new`, path);
  };
  /** Replaces the file of settings. */
  const set = (values: object) => replace(config, JSON.stringify(values));
  /** Replaces the program by one of that version, or by one that is broken. */
  const install = async (version: string, change = (same: string) => same) => {
    const parts = join(folder.path, version);
    await mkdir(parts, { recursive: true });
    const copy = async (name: string) =>
      writeFile(join(parts, name), change(await readFile(join(from, name), 'utf8')));
    await Promise.all((await readdir(from)).map(copy));
    const named = text.replace(/UNDROP_VERSION="[^"]*"/, `UNDROP_VERSION="${version}"`);
    await replace(main, change(named.replaceAll('./parts/', `./${version}/`)));
  };
  // Its socket for commands is named after the address that has a name beforehand.
  const socketPath = join(folder.path, 'undrop.sock');
  const own = { LISTEN: `${variables['LISTEN'] ?? '127.0.0.1:0'},${socketPath}` };
  await Promise.all([set(settings), install('0.0.0')]);
  const all = { ADMIN_LISTEN: '127.0.0.1:0', CONFIG: config, ...variables, ...own };
  const proxy = await spawnProxy(server, all, under, main);
  const logged = (fields: Fields) => linesWith(proxy, fields);
  return {
    ...{ proxy, set, install, logged },
    /** `undrop reload`, say. */
    command: (...args: readonly string[]) => runUndrop(server, args, own),
    /** Resolves when there are that many of them. */
    says: (fields: Fields, count = 1) =>
      until(() => logged(fields).length >= count, `${count} of ${JSON.stringify(fields)}`),
    /** The status of a path of the admin listener. */
    status: async (path: string) => (await fetch(`http://${adminOf(proxy)}${path}`)).status,
    [Symbol.asyncDispose]: async () => {
      proxy.kill('SIGKILL');
      await proxy.ended;
      await folder[Symbol.asyncDispose]();
      await rm(commandSocketOf([{ socketPath }]) ?? '', { force: true });
    },
  };
}
