/**
 * A CREATE OR REPLACE in worlds of which each answer is made up: what is said, how often the text
 * runs, how many tables are held at the end, and how many of them for longer.
 */
import { describe, expect, test } from '@jest/globals';
import { createOrReplace } from '../../../src/statements/create-or-replace/create-or-replace.js';
import type { UserFacts } from '../../../src/steps/world.js';
import { REPLACE_TRIES } from '../../../src/tries.js';
import { errResult, okResult } from '../../support/results.js';
import { endIn, type TargetWorld } from '../../support/target-world.js';

interface Case extends Partial<TargetWorld> {
  readonly comment: string;
  /** Whether the table can be put back; default: nobody tries. */
  readonly isFree?: boolean;
  readonly end: readonly [said: string | RegExp, creates: number, held: number, kept: number];
}

const OK = 'OK, 0 rows, 0 warnings';
const TAKEN = errResult(1050, '42S01', "Table 't' already exists");
const OF_ITSELF = errResult(1146, '42S02', "Table 'shop.t' doesn't exist");
const OF_OTHER = errResult(1146, '42S02', "Table 'shop.other' doesn't exist");
const KILLED = errResult(1317, '70100', 'Query execution was interrupted');
const TWICE = errResult(1060, '42S21', "Duplicate column name 'v'");

const cases: readonly Case[] = [
  { comment: 'of nothing', creates: [okResult()], end: [OK, 1, 0, 0] },
  { comment: 'of a table', creates: [TAKEN, okResult()], end: [OK, 2, 1, 0] },
  {
    comment: 'whose name others take again and again',
    creates: [TAKEN, TAKEN, TAKEN, okResult()],
    end: [OK, 4, 3, 0],
  },
  {
    comment: 'whose name others always take',
    creates: [TAKEN],
    end: [
      /UNDROP_CHANGED_MEANWHILE.*tries: 32/,
      REPLACE_TRIES,
      REPLACE_TRIES - 1,
      REPLACE_TRIES - 1,
    ],
  },
  {
    comment: 'that the server does not understand',
    syntaxError: [1064, '42000', 'You have an error'],
    end: [/^ERROR 1064 /, 0, 0, 0],
  },
  {
    comment: 'that the server does not prepare now',
    syntaxError: [1461, '42000', "Can't create more"],
    end: [/UNDROP_SYNTAX_NOT_CHECKED/, 0, 0, 0],
  },
  {
    comment: 'of a table that is a temporary one, too',
    seenAs: 'temporary',
    creates: [TAKEN],
    end: [/UNDROP_NOT_UNDERSTOOD: .*a temporary table/, 1, 0, 0],
  },
  {
    comment: 'under LOCK TABLES',
    isLocked: true,
    creates: [TAKEN],
    end: [/UNDROP_NOT_DONE_YET: .* under LOCK TABLES/, 1, 0, 0],
  },
  {
    comment: 'that can not be recorded',
    noIntents: true,
    creates: [TAKEN],
    end: [/UNDROP_NOT_RECORDED/, 1, 0, 0],
  },
  {
    comment: 'of what is gone by then',
    seenAs: 'missing',
    seen: { kind: 'missing', holdUntil: null, engine: null },
    creates: [TAKEN, okResult()],
    end: [OK, 2, 0, 0],
  },
  {
    comment: 'that fails as it natively does, after the old table',
    creates: [TAKEN, TWICE],
    end: [/^ERROR 1060 /, 2, 1, 1],
  },
  {
    comment: 'whose source is the table itself',
    creates: [TAKEN, OF_ITSELF],
    isFree: true,
    end: [/^ERROR 1093 .*Table 't' is specified twice/, 2, 0, 1],
  },
  {
    comment: 'whose source is another one',
    creates: [TAKEN, OF_OTHER],
    isFree: true,
    end: [/^ERROR 1146 .*shop\.other/, 2, 0, 1],
  },
  {
    comment: 'that is killed, beside a session that takes the name',
    creates: [TAKEN, KILLED],
    isFree: false,
    end: [/^ERROR 1317 /, 2, 1, 1],
  },
  {
    comment: 'that is killed after others took the name: the first gets it back',
    creates: [TAKEN, TAKEN, KILLED],
    isFree: true,
    end: [/^ERROR 1317 /, 3, 1, 2],
  },
  {
    comment: 'whose session breaks before anything is held',
    creates: [null],
    end: ['the session broke', 1, 0, 0],
  },
  {
    comment: 'whose session breaks while it creates',
    creates: [TAKEN, null],
    end: ['the session broke', 2, 0, 1],
  },
];

const FACTS = {
  schema: 'shop',
  sqlMode: '',
  charset: 'utf8mb4',
  serverIdentity: 'the server',
  logged: true,
  gtidNext: null,
  hint: null,
} as UserFacts;

describe('a CREATE OR REPLACE', () => {
  test.each(cases)('$comment', async ({ isFree, end, ...world }) => {
    const port = {
      pause: async () => undefined,
      triggersToMake: async () => [],
      putBack: async () => {
        if (isFree === undefined) throw new Error('nobody puts it back');
        return isFree;
      },
    };
    const create = Buffer.from('CREATE            TABLE t (v INT)');
    const sql = 'CREATE OR REPLACE TABLE t (v INT)';
    const whole = { server: 'mariadb-11.8', sql, drop: 'DROP TABLE t', ...world };
    const { said, creates, held, kept } = await endIn(whole, (ports, request) =>
      createOrReplace(ports, { create, facts: FACTS, port }, request),
    );
    const [words, ...counts] = end;
    if (typeof words === 'string') expect(said).toBe(words);
    else expect(said).toMatch(words);
    expect([creates, held, kept]).toEqual(counts);
  });
});
