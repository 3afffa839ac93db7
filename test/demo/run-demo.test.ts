/** What is wrong with the settings of a demo is said before anything is fetched or started. */
import { expect, test } from '@jest/globals';
import { runDemo } from '../../demo/run-demo.js';
import { loadSettings } from '../../src/config/load.js';

test.each([
  [{ UNDROP_LISTEN: 'xx:yy' }, 'UNDROP_LISTEN: the demo expects one host:port, found "xx:yy".'],
  [{ UNDROP_LISTEN: '127.0.0.1:99999' }, 'UNDROP_LISTEN: expected host:port'],
  [{ UNDROP_HOLD: 'abc' }, 'UNDROP_HOLD: expected a duration'],
])('with %j', async (env, words) => {
  const demo = runDemo({
    env,
    write: () => undefined,
    checkSettings: (variables) => {
      loadSettings(['listen', 'hold'], { flags: {}, env: { ...env, ...variables }, file: null });
    },
    startProxy: () => Promise.reject(new Error('the proxy was started')),
    provide: () => Promise.reject(new Error('a server was enabled')),
  });
  await expect(demo).rejects.toThrow(words);
});
