/**
 * The runner: what reaches the user session and the ledger, and in which order, with both of them
 * in memory. The real ones are in test/server.
 */
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import type { HeldTable } from '../../src/drop/next-step.js';
import type { UserCommand, UserSession } from '../../src/drop/user-session.js';
import { UndropError } from '../../src/errors.js';
import type { DropIntent, IntentFacts } from '../../src/ledger/write.js';
import type { RelocateTable, Relocation } from '../../src/moves/relocate.js';
import type { ServicePool } from '../../src/service/pools.js';
import type { Result } from '../../src/wire/result-reader.js';
import { inspectionOf, requestOf } from '../support/drop-situation.js';
import {
  describePayload,
  errResult,
  okResult,
  preparedResult,
  rowsResult,
} from '../support/results.js';

/** Everything that happens, in its order. */
let told: string[] = [];
let ledgerFails: Error | null = null;
/** So many writes of outcomes, or of what is forgotten, fail from now on. */
let outcomesFail = 0;
let forgetsFail = 0;

function failing(what: string): never {
  told.push(what);
  throw new Error(what);
}

jest.unstable_mockModule('../../src/ledger/write.js', () => ({
  recordIntent: async (_pool: unknown, intent: DropIntent): Promise<IntentFacts> => {
    const names = intent.tables.map(({ schema, table }) => `${schema}.${table}`).join(', ');
    told.push(`intent${intent.sqlLogBin === false ? ' unlogged' : ''}: ${names}`);
    // A moment later than the session: what follows has to wait for it.
    await new Promise((resolve) => setImmediate(resolve));
    if (ledgerFails !== null) throw ledgerFails;
    told.push('intent is written');
    const sql = `DROP TABLE ${intent.tables.map(() => 't').join(', ')}`;
    const names_ = intent.tables.map(() => ({ kind: 'base' as const }));
    const { intent: facts } = inspectionOf({ server: 'mysql-9.7', sql, names: names_ });
    if (facts === null) throw new Error('an intent');
    const tables = facts.tables.map((table, index) => ({ ...table, ...intent.tables[index] }));
    return { ...facts, tables };
  },
  forgetIntents: async (
    _pool: unknown,
    ids: readonly string[],
    { sqlLogBin }: { sqlLogBin: boolean },
  ) => {
    if (forgetsFail-- > 0) failing('forgetting fails');
    told.push(`forget${sqlLogBin ? '' : ' unlogged'}: ${ids.length}`);
  },
  recordOutcome: async (
    _pool: unknown,
    outcome: { tables: readonly HeldTable[]; forgotten: readonly string[] },
  ) => {
    if (outcomesFail-- > 0) failing('the outcome fails');
    const { tables, forgotten } = outcome;
    const held = tables.map(({ holdSchema }) => holdSchema).join(', ');
    told.push(`outcome: ${held}; ${forgotten.length} forgotten`);
  },
}));

jest.unstable_mockModule('../../src/recovery/settle-intents.js', () => ({
  settleEnded: async (_pool: unknown, ids: readonly string[]) => {
    if (forgetsFail-- > 0) failing('forgetting fails');
    told.push(`settle: ${ids.length}`);
    return [];
  },
}));

jest.unstable_mockModule('../../src/ledger/session-locks.js', () => ({
  readSessionLocks: async () => {
    told.push('locks');
    return null;
  },
  readTablesInUse: async () => ({ tables: [], ownInnodb: null, isWaitedFor: false }),
}));

jest.unstable_mockModule('../../src/drop/rule-tables.js', () => ({
  ruleTables: () => failing('there are no rules'),
  isEmptyTable: () => failing('no rule asks for rows'),
}));

jest.unstable_mockModule('../../src/moves/take-home.js', () => ({
  takeHome: () => failing('nothing here has foreign keys'),
  moveHome: async (
    _pool: unknown,
    tables: readonly RelocateTable[],
    { logged }: { logged: boolean },
  ): Promise<readonly Relocation[]> => {
    told.push(`relocate${logged ? '' : ' unlogged'}: ${tables.length}`);
    const holdSchema = logged ? '_undrop' : '_undrop_local';
    return tables.map(({ id, holdName }) => ({ id, outcome: 'moved', holdSchema, holdName }));
  },
}));

const { runDrop } = await import('../../src/drop/run-drop.js');

/** A session that answers by the beginning of a statement; what it has no answer for breaks it. */
class FakeSession implements UserSession {
  readonly #answers: Readonly<Record<string, Result | (() => Result)>>;

  constructor(answers: Readonly<Record<string, Result | (() => Result)>> = {}) {
    this.#answers = { ...PLAIN, ...answers };
  }

  async run(commands: readonly UserCommand[]): Promise<readonly Result[]> {
    told.push(`user: ${commands.map(nameOf).join(' | ')}`);
    return commands.flatMap((command) => {
      if (command.kind === 'close') return [];
      const answer = this.#answers[nameOf(command)];
      if (answer === undefined) throw new Error(`the connection broke at ${nameOf(command)}`);
      return [typeof answer === 'function' ? answer() : answer];
    });
  }
}

/** PREPARE, CLOSE, or the word of a statement of ours: kind, facts, hold, probe, words. */
function nameOf(command: UserCommand): string {
  if (command.kind !== 'query') return command.kind;
  const text = Buffer.from(command.text).toString();
  return /\/\* undrop (\w+)/.exec(text)?.[1] ?? text;
}

const FACTS = ['schema', 'mode', 'charset', 'log', 'gtid', 'identity', 'user'];
const facts = (schema: string | null, charset: string, log: string): Result =>
  rowsResult(FACTS, [schema, '', charset, log, 'AUTOMATIC', 'the server', 'app@host']);
const PLAIN: Readonly<Record<string, Result>> = {
  prepare: preparedResult(7),
  kind: rowsResult(['Table', 'Create Table'], ['t', 'CREATE TABLE `t` (']),
  facts: facts('shop', 'utf8mb4', '1'),
  hold: okResult(),
  probe: errResult(1049, '42000', 'Unknown database'),
  words: okResult(),
};

const activeIds = new Set<string>();
let stopping = new AbortController();
let ids = 0;

function drop(
  sql: string,
  session: UserSession,
  guess = { schema: 'shop', charset: 'utf8mb4', user: 'app' },
  on = 'mysql-9.7',
  { gtidMayBeSet = false, logBinMayBeOff = false } = {},
) {
  const { text, statement, server, charset, session: facts_ } = requestOf({ server: on, sql });
  return runDrop(
    { text, statement, server, charset, session: facts_ },
    {
      userSession: session,
      pool: { run: async () => [[]] } as unknown as ServicePool,
      proxyId: 'a proxy',
      holdMs: 1_000,
      activeIds,
      onUnsettled: () => told.push('unsettled'),
      stopping: stopping.signal,
      guess,
      gtidMayBeSet,
      logBinMayBeOff,
      newId: () => (ids++).toString(16).padStart(32, '0'),
    },
  );
}

beforeEach(() => {
  told = [];
  ledgerFails = null;
  outcomesFail = 0;
  forgetsFail = 0;
  activeIds.clear();
  stopping = new AbortController();
});

afterEach(() => {
  jest.useRealTimers();
});

describe('under LOCK TABLES', () => {
  const locked = errResult(1192, 'HY000', 'active locked tables');
  const none = errResult(1091, '42000', 'no such column');

  test('a drop that ends between two tables forgets the second alone', async () => {
    let moved = 0;
    const session = new FakeSession({
      // The RENAME, then the ALTER of each.
      hold: () => [locked, okResult(), errResult(1317, '70100', 'interrupted')][moved++] ?? none,
      probe: locked,
      locked: none,
    });
    const result = await drop('DROP TABLE t, u', session, undefined, 'mariadb-10.11');
    expect(describePayload(result.payload)).toBe('ERROR 1317 (70100): interrupted');
    expect(result.tables).toEqual(['shop.t']);
    await result.finish();
    const behind = ['relocate: 1', 'outcome: _undrop; 0 forgotten', 'settle: 1', 'unsettled'];
    expect(told.slice(-4)).toEqual(behind);
  });

  test('what was renamed is recovery’s where the connection breaks behind it', async () => {
    let moved = 0;
    const session = new FakeSession({
      hold: () => {
        if (moved++ === 0) return locked;
        if (moved === 2) return okResult();
        throw new Error('gone');
      },
      probe: locked,
      locked: none,
    });
    const dropping = drop('DROP TABLE t, u', session, undefined, 'mariadb-10.11');
    await expect(dropping).rejects.toThrow('gone');
    expect(told.some((line) => line.startsWith('forget'))).toBe(false);
    expect(told.at(-1)).toBe('unsettled');
  });
});

describe('with GTID_NEXT', () => {
  const set = rowsResult(FACTS, ['shop', '', 'utf8mb4', '1', 'a:1', 'the server', 'app@host']);
  const missing = errResult(1146, '42S02', 'no such table');

  test('nothing is asked for that is missing', async () => {
    let prepared = 0;
    const session = new FakeSession({
      facts: set,
      prepare: () => [preparedResult(7), missing, preparedResult(8)][prepared++] ?? missing,
    });
    await drop('DROP TABLE IF EXISTS u, t', session, undefined, 'mysql-9.7', {
      gtidMayBeSet: true,
    });
    expect(told.slice(1, 6)).toEqual([
      'user: prepare | facts',
      'user: prepare | prepare',
      'user: kind',
      'intent is written',
      'user: close | hold',
    ]);
  });

  test('that is none after all it is as ever, a round trip later', async () => {
    await drop('DROP TABLE t', new FakeSession(), undefined, 'mysql-9.7', { gtidMayBeSet: true });
    expect(told.filter((line) => line.startsWith('user'))).toEqual([
      'user: prepare | facts',
      'user: kind',
      'user: close | hold',
    ]);
  });
});

describe('a drop', () => {
  test('where every guess holds takes three round trips, the intent before the RENAME', async () => {
    const result = await drop('DROP TABLE t', new FakeSession());
    expect(told).toEqual([
      'intent: shop.t',
      'user: prepare | kind | facts',
      'intent is written',
      'user: close | hold',
      'relocate: 1',
    ]);
    expect(describePayload(result.payload)).toBe('OK, 0 rows, 0 warnings');
    expect(result).toMatchObject({ tables: ['shop.t'], refusal: null });
    expect(activeIds.size).toBe(1);
  });

  test('is written into the ledger when the client has its answer', async () => {
    const result = await drop('DROP TABLE a, b', new FakeSession());
    told = [];
    await result.finish();
    expect(told).toEqual(['outcome: _undrop, _undrop; 0 forgotten']);
    expect(activeIds.size).toBe(0);
  });

  test('in another schema than guessed is recorded again', async () => {
    const session = new FakeSession({ facts: facts('other', 'utf8mb4', '1') });
    const result = await drop('DROP TABLE t', session);
    expect(told).toEqual([
      'intent: shop.t',
      'user: prepare | kind | facts',
      'intent is written',
      'forget: 1',
      'intent: other.t',
      'intent is written',
      'user: close | hold',
      'relocate: 1',
    ]);
    expect(result.facts).toMatchObject({ schema: 'other' });
  });

  test('of a qualified name doesn’t depend on the guess', async () => {
    const session = new FakeSession({ facts: facts(null, 'utf8mb4', '1') });
    await drop('DROP TABLE other.t', session);
    expect(told.filter((line) => line.startsWith('intent:'))).toEqual(['intent: other.t']);
  });

  test('of a session that may be outside the binary log is recorded outside of it first', async () => {
    const off = new FakeSession({ facts: facts('shop', 'utf8mb4', '0') });
    await (
      await drop('DROP TABLE t', off, undefined, 'mysql-9.7', { logBinMayBeOff: true })
    ).finish();
    expect(told.filter((line) => /forget|intent( unlogged)?:/.test(line))).toEqual([
      'intent unlogged: shop.t',
    ]);
    told.length = 0;
    const on = new FakeSession({ facts: facts('shop', 'utf8mb4', '1') });
    await (
      await drop('DROP TABLE t', on, undefined, 'mysql-9.7', { logBinMayBeOff: true })
    ).finish();
    expect(told.filter((line) => /forget|intent( unlogged)?:/.test(line))).toEqual([
      'intent unlogged: shop.t',
      'forget unlogged: 1',
      'intent: shop.t',
    ]);
  });

  test('outside the binary log stays out of it, and what was recorded before is forgotten', async () => {
    const session = new FakeSession({ facts: facts('shop', 'utf8mb4', '0') });
    const result = await drop('DROP TABLE t', session);
    await result.finish();
    expect(told.slice(3)).toEqual([
      'forget: 1',
      'intent unlogged: shop.t',
      'intent is written',
      'user: close | hold',
      'relocate unlogged: 1',
      'outcome: _undrop_local; 0 forgotten',
    ]);
  });
});

describe('nothing is renamed', () => {
  test('where the intent could not be written', async () => {
    ledgerFails = new UndropError('UNDROP_LEDGER_UNAVAILABLE', { server: 's', cause: 'full disk' });
    const result = await drop('DROP TABLE t', new FakeSession());
    expect(told.some((line) => line.includes('hold'))).toBe(false);
    expect(result.refusal?.code).toBe('UNDROP_NOT_RECORDED');
    expect(describePayload(result.payload)).toContain('full disk');
    await result.finish();
    expect(activeIds.size).toBe(0);
  });

  test('where a name can’t be read', async () => {
    const session = new FakeSession({ facts: facts('shop', 'utf32x', '1') });
    const result = await drop('DROP TABLE täble', session, {
      schema: 'shop',
      charset: 'utf32x',
      user: 'app',
    });
    expect(told).toEqual(['user: prepare | kind | facts', 'user: close | probe']);
    expect(result.refusal?.code).toBe('UNDROP_NAME_CHARSET');
  });

  test('and no handle of the text is left with which it could be', async () => {
    const refused = await drop('DROP TABLE _undrop.t', new FakeSession());
    expect(refused.refusal?.code).toBe('UNDROP_RECYCLE_SCHEMA');
    expect(told.at(-1)).toBe('user: close');
    told = [];
    const failing = new FakeSession({ facts: errResult(1317, '70100', 'interrupted') });
    await drop('DROP TABLE t', failing);
    expect(told.at(-1)).toBe('user: close');
  });

  test('and the intent is forgotten, where the session broke before', async () => {
    const session = new FakeSession({
      kind: () => {
        throw new Error('gone');
      },
    });
    await expect(drop('DROP TABLE t', session)).rejects.toThrow('gone');
    expect(told).toEqual([
      'intent: shop.t',
      'user: prepare | kind | facts',
      'intent is written',
      'forget: 1',
    ]);
    expect(activeIds.size).toBe(0);
  });

  test('and the intent is looked after behind the answer, where the server would not', async () => {
    const session = new FakeSession({
      hold: errResult(1205, 'HY000', 'Lock wait timeout exceeded'),
    });
    const result = await drop('DROP TABLE t', session);
    expect(describePayload(result.payload)).toBe('ERROR 1205 (HY000): Lock wait timeout exceeded');
    told = [];
    await result.finish();
    expect(told).toEqual(['settle: 1', 'unsettled']);
  });
});

describe('what was sent and not answered', () => {
  test('is left to recovery: the intent stays, and the id is free for it', async () => {
    const session = new FakeSession({
      hold: () => {
        throw new Error('gone');
      },
    });
    await expect(drop('DROP TABLE t', session)).rejects.toThrow('gone');
    expect(told.filter((line) => line.startsWith('forget'))).toEqual([]);
    expect(activeIds.size).toBe(0);
  });

  test('also where the RENAME happened and the words did not come', async () => {
    const kinds = [PLAIN['kind'], errResult(1146, '42S02', 'missing')];
    const session = new FakeSession({
      kind: () => kinds.shift() ?? okResult(),
      words: () => {
        throw new Error('gone');
      },
    });
    await expect(drop('DROP TABLE IF EXISTS t, m', session)).rejects.toThrow('gone');
    expect(told.slice(-2)).toEqual(['user: words', 'unsettled']);
    expect(told.filter((line) => line.startsWith('forget'))).toEqual([]);
  });
});

describe('tables that change meanwhile', () => {
  const gone = errResult(1146, '42S02', 'no such table');

  test('are looked at again, under a new id', async () => {
    const answers = [gone, okResult()];
    const session = new FakeSession({ hold: () => answers.shift() ?? okResult() });
    const result = await drop('DROP TABLE t', session);
    expect(describePayload(result.payload)).toBe('OK, 0 rows, 0 warnings');
    expect(told.filter((line) => line.startsWith('settle'))).toEqual(['settle: 1']);
    expect(activeIds.size).toBe(1);
  });

  test('are looked at again also where the intent could not be forgotten', async () => {
    const answers = [gone, okResult()];
    forgetsFail = 1;
    const session = new FakeSession({ hold: () => answers.shift() ?? okResult() });
    const result = await drop('DROP TABLE t', session);
    expect(told).toContain('forgetting fails');
    expect(describePayload(result.payload)).toBe('OK, 0 rows, 0 warnings');
  });

  test('are given up after eight looks, and nothing is held', async () => {
    const result = await drop('DROP TABLE t', new FakeSession({ hold: gone }));
    expect(told.filter((line) => line.includes('hold'))).toHaveLength(8);
    expect(result.refusal?.code).toBe('UNDROP_CHANGED_MEANWHILE');
    expect(result.held).toEqual([]);
    await result.finish();
    expect(activeIds.size).toBe(0);
  });
});

describe('the outcome', () => {
  test('is written once more where it could not be: its owner may be there for days', async () => {
    const result = await drop('DROP TABLE t', new FakeSession());
    outcomesFail = 1;
    await result.finish();
    expect(told.slice(-2)).toEqual(['the outcome fails', 'outcome: _undrop; 0 forgotten']);
    expect(activeIds.size).toBe(0);
  });

  test('is written at last however long the service was refused', async () => {
    const result = await drop('DROP TABLE t', new FakeSession());
    jest.useFakeTimers();
    outcomesFail = 100;
    const finished = result.finish();
    await jest.advanceTimersByTimeAsync(1_200_000);
    await finished;
    expect(told.at(-1)).toBe('outcome: _undrop; 0 forgotten');
    expect(told).not.toContain('unsettled');
  });

  test('is left to recovery by a process that ends, which waits for nothing more', async () => {
    const result = await drop('DROP TABLE t', new FakeSession());
    outcomesFail = 100;
    stopping.abort();
    await expect(result.finish()).rejects.toThrow('the outcome fails');
    expect(told.at(-1)).toBe('unsettled');
    expect(activeIds.size).toBe(0);
  });
});
