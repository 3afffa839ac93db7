/** OK packets that are told more than the server said in them. */
import { describe, expect, test } from '@jest/globals';
import {
  decodeOk,
  okWithoutReports,
  okWithSchema,
  TRACK_STATE_CHANGE,
} from '../../../src/wire/response/ok.js';

const STATE_CHANGED = 0x4000;

/** Behind header, affected rows and insert id. */
function ok(status: number, rest: readonly number[] = []): Buffer {
  return Buffer.from([0, 0, 0, status & 0xff, status >> 8, 0, 0, ...rest]);
}

describe('an OK that reports the default schema', () => {
  const report = [0x01, 0x03, 0x02, ...Buffer.from('d2')];

  test('has nothing else to report', () => {
    const changed = ok(2 | STATE_CHANGED, [0x00, 0x05, ...report]);
    expect(okWithSchema(ok(2), 'd2')).toEqual(changed);
    expect(okWithSchema(ok(2 | STATE_CHANGED, [0x00, 0x00]), 'd2')).toEqual(changed);
  });

  test('reports it behind variables and before all else', () => {
    const variable = [0x00, 0x04, 0x01, ...Buffer.from('a'), 0x01, ...Buffer.from('b')];
    const transaction = [0x05, 0x09, 0x08, ...Buffer.from('________')];
    const reports = [...variable, ...report, ...transaction];
    const before = [...variable, ...transaction];
    expect(okWithSchema(ok(2 | STATE_CHANGED, [0x00, before.length, ...before]), 'd2')).toEqual(
      ok(2 | STATE_CHANGED, [0x00, reports.length, ...reports]),
    );
  });

  test('reports the last one where there were two', () => {
    const other = [0x01, 0x03, 0x02, ...Buffer.from('d1')];
    expect(okWithSchema(ok(STATE_CHANGED, [0x00, other.length, ...other]), 'd2')).toEqual(
      ok(STATE_CHANGED, [0x00, 0x05, ...report]),
    );
  });

  test('reports that something has changed where that is asked for', () => {
    const state = [0x02, 0x01, ...Buffer.from('1')];
    const changed = ok(STATE_CHANGED, [0x00, 0x08, ...report, ...state]);
    expect(okWithSchema(ok(0), 'd2', { tracksState: true })).toEqual(changed);
    const before = ok(STATE_CHANGED, [0x00, 0x03, ...state]);
    expect(okWithSchema(before, 'd2', { tracksState: true })).toEqual(changed);
  });
});

describe('an OK without its report of a change', () => {
  const state = [0x02, 0x01, ...Buffer.from('1')];
  const schema = [0x01, 0x03, 0x02, ...Buffer.from('d2')];
  const without = (payload: Buffer) =>
    okWithoutReports(decodeOk(payload), [TRACK_STATE_CHANGE]).payload;

  test('reports nothing where that was all', () => {
    expect(without(ok(2 | STATE_CHANGED, [0x00, 0x03, ...state]))).toEqual(ok(2));
    const info = [0x02, ...Buffer.from('hi')];
    const told = ok(2 | STATE_CHANGED, [...info, 0x03, ...state]);
    expect(without(told)).toEqual(ok(2, info));
  });

  test('keeps the others', () => {
    const both = ok(STATE_CHANGED, [0x00, 0x08, ...schema, ...state]);
    expect(without(both)).toEqual(ok(STATE_CHANGED, [0x00, 0x05, ...schema]));
  });

  test('is as it was where there is none', () => {
    for (const payload of [ok(2), ok(STATE_CHANGED, [0x00, 0x05, ...schema])]) {
      expect(without(payload)).toEqual(payload);
    }
  });
});
