/** Long texts are read one at a time, and the event loop turns while they are. */
import { describe, expect, test } from '@jest/globals';
import { classifying } from '../../../src/sql/classify.js';
import type { KnownMode } from '../../../src/sql/lex/lex-mode.js';
import type { Reading } from '../../../src/sql/reading.js';
import { mayHint } from '../../../src/steps/rules/hints.js';
import { inSlices } from '../../../src/steps/session/in-slices.js';
import { lexMode } from '../../sql/describe-verdict.js';

const OPTIONS = { multiStatements: true };
const LENGTH = 250 * 1024;

function filled(text: string): string {
  return text.repeat(Math.floor(LENGTH / text.length));
}

/** How often it yields, and what comes of it. */
function readOut<T>(reading: Reading<T>): { readonly slices: number; readonly value: T } {
  for (let slices = 1; ; slices++) {
    const { done, value } = reading.next();
    if (done === true) return { slices, value };
  }
}

describe('a text of 250 KiB is read in slices', () => {
  test.each([
    ['names', `DROP TABLE ${filled('a,')}a`, 'names'],
    ['quoted names', `DROP TABLE ${filled('`abcdefghij`,')}a`, 'names'],
    ['names with schemas', `DROP TABLE IF EXISTS ${filled('d.a,')}a`, 'names'],
    ['drops', filled('DROP TABLE a;'), 'names'],
    ['drops of many names', filled(`DROP TABLE ${'a,'.repeat(600)}a;`), 'names'],
    ['statements before a drop', `${filled('DO 1;')}DROP TABLE a`, 'statements'],
    ['changes of the mode', `${filled('SET NAMES gbk;SET NAMES utf8;')}DROP TABLE a`, 'statements'],
  ])('%s', (_kind, text, what) => {
    const { slices, value } = readOut(
      classifying(Buffer.from(text), lexMode('mysql-9.7'), OPTIONS),
    );
    expect(value).toMatchObject({ kind: 'unclear', tooMany: what });
    // Where more than is allowed was found, the rest isn't read.
    const isReadOut = !text.includes('DROP TABLE a;DROP') && !text.includes('a;DROP TABLE a,');
    expect(slices).toBeGreaterThanOrEqual(isReadOut ? 15 : 1);
  });

  test('of which nothing is ours', () => {
    const text = `${filled('DO 1;')}SELECT 'drop table'`;
    const { slices, value } = readOut(
      classifying(Buffer.from(text), lexMode('mariadb-11.8'), OPTIONS),
    );
    expect(value).toEqual({ kind: 'not-ours' });
    expect(slices).toBeGreaterThanOrEqual(15);
  });
});

test('a text that can be read in very many ways is read in some of them', () => {
  const text = `SELECT 1 /* drop table */, "\\", '\x815c';`;
  const bytes = Buffer.from(text + 'DO 1;'.repeat(6_000), 'latin1');
  const known: KnownMode = { flavour: 'mysql', versionId: 90_704 };
  const { slices, value } = readOut(classifying(bytes, known, OPTIONS));
  expect(value).toEqual({ kind: 'disagree' });
  expect(slices).toBeLessThan(40);
});

test('the event loop turns between two slices, and one text is read at a time', async () => {
  let readings = 0;
  let most = 0;
  let turns = 0;
  let isOver = false;
  function* reading(): Reading<void> {
    yield;
    readings++;
    for (let slice = 0; slice < 20; slice++) {
      most = Math.max(most, readings);
      yield;
    }
    readings--;
  }
  const turn = () => {
    turns++;
    if (!isOver) setImmediate(turn);
  };
  setImmediate(turn);
  await Promise.all([inSlices(reading()), inSlices(reading()), inSlices(reading())]);
  isOver = true;
  expect(most).toBe(1);
  expect(turns).toBeGreaterThanOrEqual(50);
});

test('what is read in one slice waits for no long text of others', async () => {
  let isRead = false;
  function* long(): Reading<void> {
    while (!isRead) yield;
  }
  const others = [inSlices(long()), inSlices(long())];
  const short = classifying(Buffer.from('DROP TABLE t'), lexMode('mysql-9.7'), OPTIONS);
  expect(await inSlices(short)).toMatchObject({ kind: 'drop-table' });
  isRead = true;
  await Promise.all(others);
});

test('a reading that fails holds nobody up', async () => {
  function* failing(): Reading<void> {
    yield;
    throw new Error('broken');
  }
  const failed = inSlices(failing());
  const next = inSlices(classifying(Buffer.from('DO 1'), lexMode('mysql-9.7'), OPTIONS));
  await expect(failed).rejects.toThrow('broken');
  expect(await next).toEqual({ kind: 'not-ours' });
});

// Each of them took hours, or many seconds, where an expression tried every end with every other.
test('expressions over a text take no more than a multiple of its length', () => {
  expect(mayHint(Buffer.from(`DROP TABLE a /* ${filled('#undrop=hold=')}* */`))).toBe(false);
  expect(mayHint(Buffer.from('DROP TABLE a /* undrop hold=7d */'))).toBe(true);
});
