/** What a client draws on its terminal, as the tests compare it. */
import { expect, test } from '@jest/globals';
import { asSeen } from './client-terminal.js';

test('a line that is echoed twice is seen once, behind the bell of a Ctrl-C, too', () => {
  const typed = ['ready> SELECT 1;', 'SELECT 1; ', '| 1 |', '\u0007ready> SELECT 2;', 'SELECT 2;'];
  expect(asSeen(typed.join('\r\n'))).toBe('ready> SELECT 1;\n| 1 |\nready> SELECT 2;');
});

test('what the server says twice is seen twice', () => {
  const said = '\u001b[?2004hready> SELECT 1;\r\n| 1 |\r\n| 1 |\r\n';
  expect(asSeen(said)).toBe('ready> SELECT 1;\n| 1 |\n| 1 |\n');
});
