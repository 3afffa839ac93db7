/** The note 1008 in a row of SHOW WARNINGS, and bytes that only look like one. */
import { expect, test } from '@jest/globals';
import { NoteOfAbsent } from '../../src/session/connections.js';
import { encodePacket } from '../../src/wire/framing.js';

const MESSAGE = "Can't drop database 'd'; database doesn't exist";

function row(...values: readonly string[]): Buffer {
  const parts = values.map((value) => Buffer.from(`${String.fromCharCode(value.length)}${value}`));
  return encodePacket(Buffer.concat(parts), 5);
}

function reworded(chunk: Buffer): Buffer {
  return new NoteOfAbsent().reworded(chunk);
}

test('a warning 1008 is a note', () => {
  const before = row('Note', '1051', 'x');
  const chunk = Buffer.concat([before, row('Warning', '1008', MESSAGE)]);
  const meant = Buffer.concat([before, row('Note', '1008', MESSAGE)]);
  expect(reworded(chunk)).toEqual(meant);
});

test.each([
  ['in the middle of a value', row('some bytes', `\x07Warning\x041008\x01x and more`)],
  ['in a row with more values', row('Warning', '1008', 'x', 'y')],
  ['at the end of a chunk', row('Warning', '1008', MESSAGE).subarray(0, 17)],
])('what looks like one %s stays as it is', (_where, chunk) => {
  expect(reworded(chunk)).toEqual(chunk);
});
