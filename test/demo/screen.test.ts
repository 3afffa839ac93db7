/** The screen that the demo ends with. */
import { expect, test } from '@jest/globals';
import { screen } from '../../demo/run-demo.js';

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
