/**
 * A CREATE OR REPLACE whose name others take again and again, with session, clock and drop in
 * memory: how often it tries, what it does between, and when it gives up. The clock goes on by
 * pauses and statements alone. Real ones are in test/server/create-or-replace.test.ts.
 */
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import type { InterceptOptions, Taken } from '../../src/statements/intercepted.js';
import type { UserCommand } from '../../src/steps/session/user-session.js';
import { parseServerVersion } from '../../src/wire/connection/handshake-v10.js';
import {
  describePayload,
  errResult,
  okResult,
  preparedResult,
  rowsResult,
} from '../support/results.js';

/** What is done, in its order. */
let told: string[] = [];
let creates = 0;
let holds = 0;
let nowMs = 0;
/** Of the CREATEs only the one of this number finds the name free; 0: none. */
let freeAt = 0;
let createMs = 1;
let facts = rowsResult(['wait', 'account'], ['1', 'app@host']) as ReturnType<
  typeof rowsResult | typeof errResult
>;

jest.unstable_mockModule('../../src/clock.js', () => ({
  systemClock: {
    sleep: async (delayMs: number) => {
      told.push('pause');
      nowMs += delayMs;
    },
  },
}));

jest.unstable_mockModule('../../src/steps/names/resolve.js', () => ({
  serviceNames: () => ({ tables: [{ schema: 'shop', table: 't' }] }),
}));

const unexpected = (): never => {
  throw new Error('nobody asks for that here');
};
jest.unstable_mockModule('../../src/statements/intercepted.js', () => ({
  answerWith: unexpected,
  readUserFacts: unexpected,
  refused: unexpected,
  unclear: unexpected,
  newId: () => '0'.repeat(32),
  dropAndHold: async () => {
    told.push('hold');
    holds++;
    const { payload } = okResult();
    const name = `table ${holds}`;
    const dropped = { payload, refusal: null, facts: null, held: [name], tables: [name] };
    return { kind: 'answer', payload, refusal: null, facts: null, dropped };
  },
}));

jest.unstable_mockModule('../../src/statements/create-or-replace/replaced-tables.js', () => ({
  ReplacedTables: class {
    readonly dropped: { readonly result: unknown; readonly held: readonly string[] }[] = [];
    add(result: { readonly held: readonly string[] }): void {
      this.dropped.push({ result, held: result.held });
    }
    async keep(): Promise<void> {
      told.push('keep');
    }
  },
}));

const { replaceTable } = await import('../../src/statements/create-or-replace/table.js');

const TEXT = 'CREATE OR REPLACE TABLE t (v INT)';
const WORDS = [
  { start: 7, end: 9 },
  { start: 10, end: 17 },
];
const TRIES_MIN = 8;
/** Who tries so often makes no pause, or never ends. */
const CREATES_MAX = 5_000;

function answerTo(command: UserCommand) {
  if (command.kind === 'prepare') return preparedResult(1);
  const text = Buffer.from(command.kind === 'query' ? command.text : '').toString();
  if (text.startsWith('SHOW')) return rowsResult(['Table', 'Create Table'], ['t', 'CREATE TABLE']);
  if (text.includes('/* undrop facts */')) return facts;
  if (!/^CREATE {12}TABLE t /.test(text)) throw new Error(`what is ${text}?`);
  told.push('create');
  if (++creates > CREATES_MAX) throw new Error('it does not end');
  nowMs += createMs;
  return creates === freeAt ? okResult() : errResult(1050, '42S01', "'t' already exists");
}

async function replace() {
  const options = {
    userSession: {
      run: async (commands: readonly UserCommand[]) =>
        commands.filter(({ kind }) => kind !== 'close').map(answerTo),
    },
    server: parseServerVersion('11.8.9-MariaDB'),
    service: { pool: unexpected, holdMs: 1 },
  } as unknown as InterceptOptions;
  const taken = { text: Buffer.from(TEXT) } as Taken;
  const known = {
    schema: 'shop',
    sqlMode: '',
    charset: 'utf8mb4',
    addsIfExists: false,
    hint: null,
  };
  const table = { schema: null, table: Buffer.from('t') };
  const replacing = { replacement: { table, words: WORDS }, facts: known, hints: [] };
  const said = await replaceTable(taken, replacing as never, options);
  if (said.kind !== 'answer') throw new Error('it is not passed on');
  return {
    answer: describePayload(said.payload),
    code: said.refusal?.code ?? null,
    held: said.dropped?.held.length,
  };
}

/** As many CREATEs, what each finds being held; pauses from the eighth on. The last isn't held. */
function rounds(count: number): readonly string[] {
  const all: string[] = [];
  for (let nth = 1; nth <= count; nth++) {
    all.push('create', ...(nth < TRIES_MIN ? [] : ['pause']), 'hold');
  }
  return all.slice(0, -1);
}

beforeEach(() => {
  told = [];
  [creates, holds] = [0, 0];
  [nowMs, freeAt, createMs] = [0, 0, 1];
  facts = rowsResult(['wait', 'account'], ['1', 'app@host']);
  jest.spyOn(performance, 'now').mockImplementation(() => nowMs);
});

afterEach(() => {
  jest.restoreAllMocks();
});

describe('beside others that take the name each time', () => {
  test.each([
    ['as long as the session waits for a lock', '1', 1_000],
    ['for a minute, where the session waits for longer', '86400', 60_000],
  ])('it goes on %s, with a pause before each further try', async (_how, wait, withinMs) => {
    facts = rowsResult(['wait', 'account'], [wait, 'app@host']);
    const { answer, code, held } = await replace();
    expect(told).toEqual([...rounds(creates), 'keep']);
    const pauseMs = (nowMs - creates * createMs) / (creates - TRIES_MIN + 1);
    expect(pauseMs).toBeGreaterThan(1);
    // By the try before the time wasn't over.
    expect(nowMs).toBeGreaterThanOrEqual(withinMs);
    expect(nowMs - pauseMs - createMs).toBeLessThan(withinMs);
    expect([code, held]).toEqual(['UNDROP_CHANGED_MEANWHILE', creates - 1]);
    expect(answer).toMatch(/^ERROR 1205 /);
    expect(answer).toContain(`(tries: ${creates})`);
  });

  test('it tries eight times, however long they take', async () => {
    createMs = 90_000;
    const { code, held } = await replace();
    expect(told).toEqual([...rounds(TRIES_MIN), 'keep']);
    expect([code, held]).toEqual(['UNDROP_CHANGED_MEANWHILE', TRIES_MIN - 1]);
  });

  test.each([3, 30])(
    'its answer is that of the CREATE that finds the name free: the %s.',
    async (nth) => {
      freeAt = nth;
      const { answer, code, held } = await replace();
      const last = told.pop();
      expect([...told, last]).toEqual([...rounds(nth - 1), 'hold', 'create']);
      expect([answer, code, held]).toEqual(['OK, 0 rows, 0 warnings', null, nth - 1]);
    },
  );

  test('it ends with the error of a session that does not say how long it waits', async () => {
    facts = errResult(1317, '70100', 'Query execution was interrupted');
    const { answer, code, held } = await replace();
    expect(told).toEqual([...rounds(TRIES_MIN), 'keep']);
    expect([answer, code, held]).toEqual([
      'ERROR 1317 (70100): Query execution was interrupted',
      null,
      TRIES_MIN - 1,
    ]);
  });
});
