/** The cache of server programs: whatever happens to a builder, what is found there is complete. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { cacheFolder, ensureCached } from '../../throwaway-servers/cache.js';
import { folderOfEachTest } from '../support/folders.js';

const cache = folderOfEachTest('cache-test');

const build = (folder: string): Promise<void> => writeFile(join(folder, 'program'), 'whole');

test('builds once, then hands out what was built', async () => {
  const first = await ensureCached(cache(), 'server', build);
  const second = await ensureCached(cache(), 'server', () => Promise.reject(new Error('again')));
  expect(second).toBe(first);
  expect(readFileSync(join(first, 'program'), 'utf8')).toBe('whole');
});

test('a build that fails leaves nothing, and the next one succeeds', async () => {
  const broken = ensureCached(cache(), 'server', async (folder) => {
    await build(folder);
    throw new Error('disk full');
  });
  await expect(broken).rejects.toThrow('disk full');
  expect(readdirSync(cache())).toEqual(['server.lock']);
  expect(existsSync(join(await ensureCached(cache(), 'server', build), 'program'))).toBe(true);
});

test('two builders at once build once', async () => {
  let builds = 0;
  const slow = async (folder: string): Promise<void> => {
    builds += 1;
    await sleep(30);
    await build(folder);
  };
  const both = [ensureCached(cache(), 'server', slow), ensureCached(cache(), 'server', slow)];
  const [first, second] = await Promise.all(both);
  expect(first).toBe(second);
  expect(builds).toBe(1);
});

test('a builder killed in the middle is found out and its work done again', async () => {
  const module = fileURLToPath(new URL('../../throwaway-servers/cache.js', import.meta.url));
  const script = `
    import { ensureCached } from ${JSON.stringify(module)};
    import { writeFileSync } from 'node:fs';
    await ensureCached(${JSON.stringify(cache())}, 'server', async (folder) => {
      writeFileSync(folder + '/program', 'half');
      process.stdout.write('half way');
      await new Promise((resolve) => setTimeout(resolve, 60_000));
    });`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  child.kill('SIGKILL');
  const folder = await ensureCached(cache(), 'server', build);
  expect(readFileSync(join(folder, 'program'), 'utf8')).toBe('whole');
  expect(readdirSync(cache()).sort()).toEqual(['server', 'server.lock']);
});

test('a folder of that name without the mark of completeness is replaced', async () => {
  mkdirSync(cache('server'));
  await writeFile(cache('server', 'program'), 'half');
  const folder = await ensureCached(cache(), 'server', build);
  expect(readFileSync(join(folder, 'program'), 'utf8')).toBe('whole');
});

test('is where UNDROP_SERVER_CACHE says, in the clone, or in the account otherwise', () => {
  mkdirSync(cache('src'));
  expect(cacheFolder({ UNDROP_SERVER_CACHE: '/elsewhere' }, cache())).toBe('/elsewhere');
  expect(cacheFolder({}, cache())).toBe(cache('.cache'));
  expect(cacheFolder({ XDG_CACHE_HOME: '/home/me/c' }, '/no/clone')).toBe('/home/me/c/undrop');
});
