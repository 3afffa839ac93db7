/** How the process's clock sleeps. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from '@jest/globals';

const run = promisify(execFile);

test('any number sleeps until one end, without a warning of a leak', async () => {
  // In a process of its own: Node says it on stderr.
  const text = `
    const { systemClock } = await import(${JSON.stringify(new URL('../src/clock.js', import.meta.url))});
    const end = new AbortController();
    const sleeps = Array.from({ length: 50 }, () => systemClock.sleep(1e6, end.signal));
    end.abort();
    await Promise.all(sleeps);
    console.log('awake');`;
  const { stdout, stderr } = await run(process.execPath, ['--input-type=module', '-e', text]);
  expect({ stdout, stderr }).toEqual({ stdout: 'awake\n', stderr: '' });
});
