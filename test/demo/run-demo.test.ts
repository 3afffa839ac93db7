/** Wrong settings of a demo are reported before anything is fetched; and its last screen. */
import { runDemo, screen } from '../../demo/run-demo.js';
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

const FACTS = {
  server: 'MariaDB 11.8.6',
  ...{ host: '127.0.0.1', port: 33070, takenPort: 3307, user: 'root', command: 'npx undrop' },
  ...{ hold: '10m', mode: 'hold', admin: '127.0.0.1:33071' },
};

test.each([
  ['with clients', { ...FACTS, clients: ['mysql', 'mariadb'] }],
  ['without a client', { ...FACTS, clients: [] }],
  ['where nothing is held', { ...FACTS, clients: [], mode: 'observe' }],
])('it fits a terminal of 80 columns %s', (_what, facts) => {
  const lines = screen(facts).split('\n');
  expect(lines.filter((line) => line.length > 80)).toEqual([]);
});
