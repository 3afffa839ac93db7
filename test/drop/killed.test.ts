/**
 * A KILL QUERY hits one statement of ours in the user's session: what the client hears is that, or
 * nothing of it, and never what was asked again behind it.
 */
import { describe, expect, test } from '@jest/globals';
import { broughtBy } from '../../src/drop/next-step.js';
import { type LockedDrop, nextUnderLocks } from '../../src/drop/next-under-locks.js';
import { inspectionOf, requestOf } from '../support/drop-situation.js';
import { errResult, okResult } from '../support/results.js';

const KILLED = errResult(1317, '70100', 'Query execution was interrupted');
const NO_COLUMN = errResult(1091, '42000', "Can't DROP '_undrop_none'");
const RENAME_REFUSED = errResult(1192, 'HY000', 'active locked tables');

function lockedDrop(): LockedDrop {
  const situation = {
    server: 'mysql-5.6',
    sql: 'DROP TABLE t',
    names: [{ kind: 'base' }],
  } as const;
  const { names, intent } = inspectionOf(situation);
  const [name, seen] = [names[0], intent?.tables[0]];
  if (name === undefined || seen === undefined) throw new Error('one table');
  return {
    request: requestOf(situation),
    names: [{ name, seen }],
    moves: [],
    locks: null,
    used: null,
    gtidNext: null,
    foldsCase: false,
    endsTheDrop: ({ errno }) => errno === 1317,
  };
}

describe('a KILL QUERY', () => {
  test.each([
    ['the first', [KILLED, okResult()]],
    ['the second', [okResult(), KILLED]],
    ['none', [okResult(), okResult()]],
  ])('that hits %s of what clears the session leaves an OK', (_which, results) => {
    expect(broughtBy('cleaned', results).kind).toBe('ok');
  });

  test('of a question about locks is heard, and not what that question says by itself', () => {
    const asked = [RENAME_REFUSED, KILLED];
    const next = nextUnderLocks(lockedDrop(), [asked, [NO_COLUMN]]);
    expect(next).toMatchObject({ kind: 'answer', error: { errno: 1317 } });
  });
});
