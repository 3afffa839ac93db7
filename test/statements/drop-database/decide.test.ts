/** The decisions of a DROP DATABASE, with any looks and answers. */
import { describe, expect, test } from '@jest/globals';
import { barrierTableName } from '../../../src/names/barrier-table.js';
import {
  behindTry,
  isEmptied,
  readLook,
  type TryEnd,
} from '../../../src/statements/drop-database/decide.js';
import { errResult, okResult } from '../../support/results.js';

const GROUP = '01a1f8313c3171b7af374deee1b3e638';
const OTHER = '01a1f8313c3171b7af374deee1b3e639';
const GUARD = { name: barrierTableName({ groupId: GROUP, logged: false }), type: 'BASE TABLE' };

function look(...found: readonly (readonly [string, string])[]) {
  return readLook([GUARD, ...found.map(([name, type]) => ({ name, type }))], GROUP);
}

describe('a look at the schema', () => {
  test('views beside the guard are left to the DROP', () => {
    expect(isEmptied(look(['v', 'VIEW']))).toBe(true);
  });

  test.each(['BASE TABLE', 'SYSTEM VERSIONED', 'SEQUENCE', 'TEMPORARY', '', 'what comes later'])(
    'a table of type "%s" keeps it from going on',
    (type) => {
      const found = look(['t', type]);
      expect(isEmptied(found)).toBe(false);
      expect(found.tables).toEqual(['t']);
    },
  );

  test('so do a held table and the guard of another drop, which are no tables to be held', () => {
    const held = look([`_vt_HOLD_${OTHER}_20301120091218`, 'BASE TABLE']);
    expect([isEmptied(held), held.tables]).toEqual([false, []]);
    const guarded = look([barrierTableName({ groupId: OTHER, logged: true }), 'BASE TABLE']);
    expect([isEmptied(guarded), guarded.tables]).toEqual([false, []]);
  });

  test('without the guard nothing is known to hold it up', () => {
    expect(isEmptied(readLook([], GROUP))).toBe(false);
  });
});

describe('behind a try', () => {
  const so = { rounds: 1, sinceMs: 100, stoppedMs: 0, lockWaitMs: 50_000 };
  const timeout: TryEnd = { kind: 'failed', error: errResult(1205, 'HY000', 'too long') };

  test('what was dropped is the answer', () => {
    const ok = okResult();
    expect(behindTry({ kind: 'dropped', ok }, so)).toEqual({ do: 'answer', ok });
  });

  test('what came is taken as well, for some rounds', () => {
    expect(behindTry({ kind: 'came' }, so).do).toBe('again');
    expect(behindTry({ kind: 'came' }, { ...so, rounds: 64 }).do).toBe('crowded');
    expect(behindTry({ kind: 'came' }, { ...so, stoppedMs: 20_001 }).do).toBe('crowded');
    // What had waited for a lock for long is in no crowd yet.
    expect(behindTry({ kind: 'came' }, { ...so, sinceMs: 30_000 }).do).toBe('again');
  });

  test('a timeout is the answer only when the session’s own time is over', () => {
    expect(behindTry(timeout, so).do).toBe('again');
    expect(behindTry(timeout, { ...so, sinceMs: 50_001 }).do).toBe('error');
    expect(behindTry({ kind: 'failed', error: errResult(1010, 'HY000', 'x') }, so).do).toBe(
      'error',
    );
  });
});
