/** What a client reads about its DROP DATABASE, and rows that only look like that. */
import { expect, test } from '@jest/globals';
import { AfterDropDatabase } from '../../../src/session/commands/after-drop-database.js';
import { encodePacket } from '../../../src/wire/framing.js';

const MESSAGE = "Can't drop database 'd'; database doesn't exist";

function row(...values: readonly string[]): Buffer {
  const parts = values.map((value) => Buffer.from(`${String.fromCharCode(value.length)}${value}`));
  return encodePacket(Buffer.concat(parts), 5);
}

const query = (text: string, head = '\x03') => encodePacket(Buffer.from(`${head}${text}`), 0);

/** What comes to the client of `chunk` when it has sent `commands`; 3 tables were dropped. */
function corrected(commands: readonly Buffer[], chunk: Buffer, isNext = true): Buffer {
  const after = new AfterDropDatabase(3);
  for (const command of commands) after.onCommand(command, isNext);
  return after.corrected(chunk);
}

const SHOW = query('SHOW WARNINGS');

test.each([[SHOW], [query('/* a */ show  warnings LIMIT 5', '\x03\0\x01')]])(
  'a warning 1008 is a note in the answer to %s',
  (show) => {
    const before = row('Note', '1051', 'x');
    const chunk = Buffer.concat([before, row('Warning', '1008', MESSAGE)]);
    const meant = Buffer.concat([before, row('Note', '1008', MESSAGE)]);
    expect(corrected([query('SELECT @@warning_count'), show], chunk)).toEqual(meant);
  },
);

test.each([
  ['another warning', [SHOW], row('Warning', '1007', MESSAGE)],
  ['a row with more values', [SHOW], row('Warning', '1008', 'x', 'y')],
  ['a row that is not whole', [SHOW], row('Warning', '1008', MESSAGE).subarray(0, 17)],
  ['a row of another statement', [query('SELECT * FROM w')], row('Warning', '1008', MESSAGE)],
  ['a later row', [SHOW, SHOW, SHOW, SHOW, SHOW], row('Warning', '1008', MESSAGE)],
  ['a row of several', [Buffer.concat([SHOW, SHOW])], row('Warning', '1008', MESSAGE)],
  ['a count of another statement', [query('SELECT ROW_COUNT(), 1')], row('0')],
  ['a count of a later statement', [SHOW, query('SELECT ROW_COUNT()')], row('0')],
  ['a count above 0', [query('SELECT ROW_COUNT()')], row('2')],
])('%s stays as it is', (_what, commands, chunk) => {
  expect(corrected(commands, chunk)).toEqual(chunk);
});

test('an answer that is not the next stays as it is', () => {
  const chunk = row('Warning', '1008', MESSAGE);
  expect(corrected([SHOW], chunk, false)).toEqual(chunk);
});

test.each(['SELECT ROW_COUNT()', 'select row_count ( ) AS `n`;'])('%s has the tables', (text) => {
  expect(corrected([query(text)], row('0'))).toEqual(row('3'));
});
