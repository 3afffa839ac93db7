/** The name of the table that a DROP DATABASE waits for. */
import { expect, test } from '@jest/globals';
import { barrierTableName, parseBarrierTable } from '../../src/names/names.js';

const groupId = '01a1f8313c3171b7af374deee1b3e638';

test.each([true, false])('it says whose it is, and whether it is logged (%s)', (logged) => {
  const name = barrierTableName({ groupId, logged });
  expect(name.length).toBeLessThanOrEqual(64);
  expect(parseBarrierTable(name)).toEqual({ groupId, logged });
});

test.each(['!undrop_', '!undrop_x', `undrop_${groupId}`, `!undrop_${groupId}_`, 'a'])(
  '%s is none',
  (name) => {
    expect(parseBarrierTable(name)).toBeNull();
  },
);
