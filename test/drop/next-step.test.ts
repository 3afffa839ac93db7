/**
 * What is done with a DROP TABLE in a table of situations (UPDATE_GOLDEN=1 writes what it does
 * now), and what is never done in any situation.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { NameKind } from '../../src/drop/facts.js';
import {
  type Answers,
  NO_ANSWERS,
  nextStep,
  type Step,
  type UserAnswer,
} from '../../src/drop/next-step.js';
import type { Relocation } from '../../src/moves/relocate.js';
import { parseHoldName } from '../../src/names/hold-name.js';
import type { Result } from '../../src/wire/result-reader.js';
import {
  idOf,
  inspectionOf,
  requestOf,
  type SeenName,
  type Situation,
  stepsOf,
} from '../support/drop-situation.js';
import { errResult, okResult } from '../support/results.js';

interface Case extends Situation {
  readonly comment: string;
  steps?: readonly string[];
}

const FILE = 'test/golden/drop_steps_cases.json';
const cases = JSON.parse(readFileSync(FILE, 'utf8')) as Case[];

describe('the steps of', () => {
  test.each(cases)('$comment', (one) => {
    const steps = stepsOf(one);
    if (process.env['UPDATE_GOLDEN'] === '1') {
      one.steps = steps;
      writeFileSync(FILE, `${JSON.stringify(cases, null, 1)}\n`);
    }
    expect(steps).toEqual(one.steps);
  });

  test('every comment is another one', () => {
    expect(new Set(cases.map(({ comment }) => comment)).size).toBe(cases.length);
  });
});

describe('in no situation', () => {
  const kind = fc.constantFrom<NameKind>(
    'base',
    'base',
    'missing',
    'temporary',
    'view',
    'denied',
    'unlocked',
  );
  const seen = fc.record<NonNullable<SeenName['seen']>>(
    {
      kind: fc.constantFrom('base', 'base', 'view', 'missing', 'sequence'),
      recorded: fc.boolean(),
      foreignKeysOut: fc.constantFrom(0, 0, 1),
      foreignKeysIn: fc.constantFrom([], [], [{ schema: 'shop', table: 'child', name: 'fk' }]),
      triggers: fc.constantFrom<readonly string[]>([], [], ['t']),
    },
    { requiredKeys: [] },
  );
  const name = fc.record<SeenName>({ kind, seen }, { requiredKeys: ['kind'] });
  const situation = fc
    .record({
      server: fc.constantFrom('mysql-9.7', 'mysql-8.0', 'mysql-5.6', 'mariadb-10.11'),
      ifExists: fc.boolean(),
      names: fc.array(name, { minLength: 1, maxLength: 5 }),
      facts: fc.record({ logged: fc.boolean(), checksForeignKeys: fc.boolean() }),
    })
    .map(({ ifExists, names, ...more }): Situation => {
      const listed = names.map((_name, index) => `t${index}`).join(', ');
      return { ...more, names, sql: `DROP TABLE ${ifExists ? 'IF EXISTS ' : ''}${listed}` };
    });
  const result = fc.constantFrom(
    okResult(),
    okResult(2),
    errResult(1051, '42S02', "Unknown table 'shop.t1'"),
    errResult(1142, '42000', 'DROP, ALTER command denied to user'),
    errResult(1142, '42000', 'INSERT, CREATE command denied to user'),
    errResult(1146, '42S02', 'no such table'),
    errResult(1192, 'HY000', 'active locked tables'),
    errResult(1205, 'HY000', 'lock wait'),
    errResult(1025, 'HY000', 'Error on rename'),
  );
  const outcome = fc.constantFrom<Relocation['outcome']>('moved', 'moved', 'failed', 'put-back');
  const script = fc.record({
    results: fc.array(result, { minLength: 4, maxLength: 4 }),
    outcomes: fc.array(outcome, { minLength: 5, maxLength: 5 }),
  });

  interface Walked {
    readonly steps: readonly Step[];
    readonly answers: Answers;
  }

  /** All steps to the end; a rename that should fail must not be told OK, and so on. */
  function walk(
    one: Situation,
    {
      results,
      outcomes,
    }: {
      results: readonly Result[];
      outcomes: readonly Relocation['outcome'][];
    },
  ): Walked {
    const request = requestOf(one);
    let answers: Answers = NO_ANSWERS;
    const steps: Step[] = [];
    for (let turn = 0; ; turn++) {
      expect(turn).toBeLessThan(8);
      const step = nextStep(request, answers);
      steps.push(step);
      if (step.do === 'answer' || step.do === 'again') return { steps, answers };
      if (step.do === 'inspect') answers = { ...answers, inspection: inspectionOf(one) };
      else if (step.do === 'relocate') {
        const moved = inspectionOf(one).intent?.tables.filter(({ id }) =>
          step.tables.some((table) => table.id === id),
        );
        const isBound = moved?.some(
          ({ foreignKeysIn, foreignKeysOut }) => foreignKeysIn.length + foreignKeysOut > 0,
        );
        expect(step.detach).toBe(isBound);
        const relocations = step.tables.map(({ id, holdName }, index): Relocation => {
          const way = outcomes[index] ?? 'moved';
          if (way === 'moved') return { id, outcome: way, holdSchema: '_undrop', holdName };
          if (way === 'put-back') return { id, outcome: way, failure: 'a view' };
          return { id, outcome: way, errno: null, failure: 'locked' };
        });
        answers = { ...answers, relocations };
      } else {
        const brought = results[turn % results.length] ?? okResult();
        const answer = brought.kind === 'ok' ? possible(one, step.brings, brought) : brought;
        answers = { ...answers, [step.brings]: answer };
      }
    }
  }

  /** What can't succeed is not answered OK: the probe, and words on a name that isn't there. */
  function possible(one: Situation, brings: UserAnswer, ok: Result): Result {
    if (brings === 'probe') return errResult(1049, '42000', 'Unknown database');
    const isLenient = one.sql.includes('IF EXISTS');
    const absent = one.names.some((seenName) => seenName.kind !== 'temporary');
    const fails = brings === 'words' && absent && !isLenient;
    return fails ? errResult(1051, '42S02', 'Unknown table') : ok;
  }

  function textsOf({ steps }: Walked): readonly string[] {
    return steps.flatMap((step) =>
      step.do !== 'user'
        ? []
        : step.commands.flatMap((command) =>
            command.kind === 'query' ? [Buffer.from(command.text).toString()] : [],
          ),
    );
  }

  test('is a base table destroyed, or one renamed that is not held', () => {
    fc.assert(
      fc.property(situation, script, (one, way) => {
        const walked = walk(one, way);
        const inspection = inspectionOf(one);
        for (const text of textsOf(walked)) {
          if (/^DROP \/\* undrop temporary \w+ \*\/ TABLE /.test(text)) {
            const dropped = [...text.matchAll(/`shop`\.`(\w+)`/g)].map(([, name]) => name);
            expect(dropped).toEqual(one.names.map((_name, index) => `t${index}`));
            expect(one.names.every((seenName) => seenName.kind === 'temporary')).toBe(true);
            continue;
          }
          if (/^DROP \/\* undrop rights \w+ \*\/ VIEW /.test(text)) {
            // Asks for the right to drop, of what DROP VIEW doesn't drop.
            for (const [, asked] of text.matchAll(/`shop`\.`t(\d)`/g)) {
              expect(one.names[Number(asked)]?.kind).not.toBe('view');
            }
            continue;
          }
          expect(text).toMatch(
            /^(RENAME \/\* undrop (hold|probe) |DROP \/\* undrop words \w+ \*\/ TEMPORARY TABLE |SIGNAL )/,
          );
          if (!text.startsWith('RENAME /* undrop hold')) continue;
          for (const [, from = '', to = ''] of text.matchAll(
            /`shop`\.`(\w+)` TO `shop`\.`(\w+)`/g,
          )) {
            const index = Number(from.slice(1));
            const table = inspection.intent?.tables[index];
            const hold = parseHoldName(to);
            expect(hold).toMatchObject({ state: 'HOLD', id: idOf(index) });
            expect(hold?.due).toEqual(table?.holdUntil);
            expect(['base', 'denied']).toContain(one.names[index]?.kind);
            expect(['base', 'sequence']).toContain(
              one.names[index]?.kind === 'denied' ? table?.kind : 'base',
            );
            expect(table?.triggers).toEqual([]);
            const isParent = table?.foreignKeysIn.length !== 0;
            expect(isParent && one.facts?.checksForeignKeys).toBe(false);
          }
        }
      }),
      { numRuns: 2_000 },
    );
  });

  test('is a drop answered OK before its tables are held', () => {
    fc.assert(
      fc.property(situation, script, (one, way) => {
        const { steps, answers } = walk(one, way);
        const last = steps.at(-1);
        if (last?.do !== 'answer' || last.payload[0] === 0xff) return;
        const bases = one.names.filter((seenName) => seenName.kind === 'base');
        if (bases.length > 0) expect(answers.rename?.kind).toBe('ok');
        expect(last.held.length).toBeGreaterThanOrEqual(bases.length);
      }),
      { numRuns: 2_000 },
    );
  });

  test('is something held where the RENAME failed or was not sent', () => {
    fc.assert(
      fc.property(situation, script, (one, way) => {
        const { steps, answers } = walk(one, way);
        const last = steps.at(-1);
        if (answers.rename?.kind === 'ok' || last?.do !== 'answer') return;
        expect(last.held).toEqual([]);
      }),
      { numRuns: 1_000 },
    );
  });

  test('are the tables of MySQL 8 dropped in part', () => {
    fc.assert(
      fc.property(situation, script, (one, way) => {
        if (one.server !== 'mysql-9.7' || one.sql.includes('IF EXISTS')) return;
        if (one.names.some((seenName) => ['missing', 'view'].includes(String(seenName.kind)))) {
          expect(walk(one, way).answers.rename).toBeNull();
        }
      }),
      { numRuns: 1_000 },
    );
  });
});
