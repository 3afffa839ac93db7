/**
 * What is done with a DROP TABLE in a table of situations (UPDATE_GOLDEN=1 writes what it does
 * now), and what is never done in any situation.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import type { NameKind } from '../../src/drop/facts.js';
import {
  type Answers,
  NO_ANSWERS,
  nextStep,
  type Step,
  type UserAnswer,
  withBrought,
} from '../../src/drop/next-step.js';
import type { SteadOutcome } from '../../src/drop/rename-in-stead.js';
import type { Relocation } from '../../src/moves/relocate.js';
import { STAYS_LOCKED } from '../../src/moves/stays.js';
import { parseHoldName } from '../../src/names/hold-name.js';
import type { Result } from '../../src/wire/result-reader.js';
import {
  idOf,
  inspectionOf,
  requestOf,
  type SeenName,
  type Situation,
  steadOutcome,
  stepsOf,
} from '../support/drop-situation.js';
import fc from '../support/properties.js';
import { errResult, okResult, rowsResult } from '../support/results.js';
import { rounds } from '../support/sample.js';

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
      facts: fc.record({
        logged: fc.boolean(),
        checksForeignKeys: fc.boolean(),
        tracksGtids: fc.boolean(),
        resultsCharset: fc.constantFrom('utf8mb4', 'utf16', null),
        wish: fc.constant(null),
      }),
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
    errResult(1142, '42000', ''),
    errResult(1347, 'HY000', "'shop.t0' is not VIEW"),
    errResult(1205, 'HY000', 'lock wait'),
    errResult(1025, 'HY000', 'Error on rename'),
  );
  const outcome = fc.constantFrom<Relocation['outcome']>('moved', 'moved', 'failed', 'put-back');
  const stead = fc.constantFrom<SteadOutcome['kind']>(
    'renamed',
    'renamed',
    'busy',
    'gone',
    'denied',
    'failed',
  );
  const script = fc.record({
    results: fc.array(result, { minLength: 7, maxLength: 7 }),
    steads: fc.array(stead, { minLength: 3, maxLength: 3 }),
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
      steads,
      outcomes,
    }: {
      results: readonly Result[];
      steads: readonly SteadOutcome['kind'][];
      outcomes: readonly Relocation['outcome'][];
    },
  ): Walked {
    const request = requestOf(one);
    let answers: Answers = NO_ANSWERS;
    const steps: Step[] = [];
    for (let turn = 0; ; turn++) {
      expect(turn).toBeLessThan(60);
      const step = nextStep(request, answers);
      steps.push(step);
      if (step.do === 'answer' || step.do === 'again') return { steps, answers };
      if (step.do === 'inspect') answers = { ...answers, inspection: inspectionOf(one) };
      else if (step.do === 'stead') {
        const kind = steads[turn % steads.length] ?? 'renamed';
        answers = { ...answers, stead: [...answers.stead, steadOutcome(kind)], turns: [] };
      } else if (step.do === 'relocate') {
        const moved = inspectionOf(one).intent?.tables.filter(({ id }) =>
          step.tables.some((table) => table.id === id),
        );
        const isBound = moved?.some(
          ({ foreignKeysIn, foreignKeysOut, triggers }) =>
            foreignKeysIn.length + foreignKeysOut + triggers.length > 0,
        );
        const isLocked = step.tables.some(({ stays }) => stays === STAYS_LOCKED);
        expect(step.detach).toBe(isBound && !isLocked);
        const relocations = step.tables.map(({ id, holdName }, index): Relocation => {
          const way = outcomes[index] ?? 'moved';
          if (way === 'moved') return { id, outcome: way, holdSchema: '_undrop', holdName };
          if (way === 'put-back') return { id, outcome: way, failure: 'a view' };
          return { id, outcome: way, errno: null, failure: 'locked' };
        });
        answers = { ...answers, relocations };
      } else if (step.do === 'locks') {
        answers = { ...answers, locks: { known: null } };
      } else if (step.do === 'used') {
        const table = { schema: 'shop', table: 'other', isBase: true, isInnodb: true };
        const tables = one.names.length > 2 ? [table] : [];
        answers = { ...answers, used: { tables, ownInnodb: null, isWaitedFor: false } };
      } else if (step.do === 'round') {
        const round = step.commands.flatMap((command) =>
          command.kind === 'query'
            ? [underLocks(command.text, results[turn % results.length] ?? okResult())]
            : [],
        );
        answers = { ...answers, rounds: [...answers.rounds, round] };
      } else if (step.do === 'user') {
        const brought = results[turn % results.length] ?? okResult();
        const isSure = step.brings === 'cleaned' && brought.kind !== 'ok';
        const said = isSure ? okResult() : brought;
        const answer = said.kind === 'ok' ? possible(one, step.brings, said) : said;
        answers = withBrought(answers, step.brings, answer);
      }
    }
  }

  /** What the server can say there; what `brought` says where it can say either. */
  function underLocks(text: Uint8Array, brought: Result): Result {
    const [verb] = /^(\w+ \/\* undrop \w+|SIGNAL)/.exec(Buffer.from(text).toString()) ?? [];
    switch (verb) {
      case 'RENAME /* undrop locked':
        return errResult(1192, 'HY000', 'active locked tables');
      case 'ALTER /* undrop locked':
        return brought.kind === 'ok' ? errResult(1091, '42000', 'no such column') : brought;
      case 'DROP /* undrop locked':
        return brought.kind === 'ok' ? errResult(4090, '42S02', 'no SEQUENCE') : brought;
      case 'FLUSH /* undrop locked':
        return brought.kind === 'ok' ? brought : errResult(1227, '42000', 'Access denied');
      case 'SIGNAL':
        return errResult(1100, 'HY000', 'not locked');
      case 'SHOW /* undrop locked':
        return rowsResult(['Table'], ...(brought.kind === 'ok' ? [['t']] : []));
      default:
        return brought;
    }
  }

  /** What can't succeed is not answered OK: the probe, and words on a name that isn't there. */
  function possible(one: Situation, brings: UserAnswer, ok: Result): Result {
    if (brings === 'mayMove') return errResult(1050, '42S01', 'Table exists');
    if (brings === 'probe' || brings === 'mayDrop') {
      return errResult(1049, '42000', 'Unknown database');
    }
    if (brings === 'turn') return errResult(1505, 'HY000', 'not a partitioned table');
    if (brings === 'rights') {
      return errResult(1347, 'HY000', "'shop.t0' is not VIEW");
    }
    if (brings === 'unguarded') return errResult(1217, '23000', 'a parent');
    const isLenient = one.sql.includes('IF EXISTS');
    const absent = one.names.some((seenName) => seenName.kind !== 'temporary');
    const fails = brings === 'words' && absent && !isLenient;
    return fails ? errResult(1051, '42S02', 'Unknown table') : ok;
  }

  /** What reaches the server, on either connection. */
  function textsOf({ steps }: Walked): readonly string[] {
    return steps.flatMap((step) => {
      if (step.do === 'stead') {
        const moves = step.tables.map(
          ({ schema, table, holdName }) =>
            `\`${schema}\`.\`${table}\` TO \`${schema}\`.\`${holdName}\``,
        );
        return [`RENAME /* undrop hold */ TABLE ${moves.join(', ')}`];
      }
      if (step.do !== 'user' && step.do !== 'round') return [];
      return step.commands.flatMap((command) =>
        command.kind === 'query' ? [Buffer.from(command.text).toString()] : [],
      );
    });
  }

  function movesIn(text: string): readonly (readonly [string, string])[] {
    const pairs = text.matchAll(/`shop`\.`(\w+)` (?:RENAME )?TO `shop`\.`(\w+)`/g);
    return [...pairs].map(([, from = '', to = '']) => [from, to] as const);
  }

  function isRenamed({ rename, stead: tries }: Answers): boolean {
    return rename?.kind === 'ok' || tries.some(({ kind: way }) => way === 'renamed');
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
          if (/undrop clean/.test(text)) continue;
          // There is no such partition.
          if (/^ALTER .* TRUNCATE PARTITION `_undrop_none_\w+`$/.test(text)) continue;
          if (/^DROP \/\* undrop rights \w+ \*\/ VIEW /.test(text)) {
            // Asks for the right to drop, of what DROP VIEW doesn't drop.
            for (const [, asked] of text.matchAll(/`shop`\.`t(\d)`/g)) {
              expect(one.names[Number(asked)]?.kind).not.toBe('view');
            }
            continue;
          }
          if (/^DROP \/\* undrop locked \w+ \*\/ SEQUENCE /.test(text)) {
            const asked = /`shop`\.`t(\d)`$/.exec(text)?.[1];
            if (asked === undefined) expect(text).toMatch(/`shop`\.`other`$/);
            else expect(inspection.intent?.tables[Number(asked)]?.kind).toBe('base');
            continue;
          }
          if (/^(SET STATEMENT \w+ = \S+ FOR )?BEGIN NOT ATOMIC /.test(text)) {
            expect(text).not.toMatch(/DROP(?! \/\* undrop words \w+ \*\/ TEMPORARY )/);
            continue;
          }
          if (/^SET \/\* undrop words \*\/ character_set_results = \w+$/.test(text)) continue;
          if (text.startsWith('RENAME /* undrop home ')) {
            const pairs = [...text.matchAll(/`shop`\.`(\w+)` TO `_undrop(?:_local)?`\.`(\w+)`/g)];
            expect(pairs).toHaveLength(text.split(' TO ').length - 1);
            for (const [, from = '', to] of pairs) {
              expect(parseHoldName(from)?.state).toBe('HOLD');
              expect(to).toBe(from);
            }
            continue;
          }
          if (/^DROP \/\* undrop gtid/.test(text)) {
            expect(text).toMatch(/ VIEW IF EXISTS `shop`\.`_undrop_none_\w+`$/);
            continue;
          }
          expect(text).toMatch(
            /^(RENAME \/\* undrop (hold|probe|may) |DROP \/\* undrop words \w+ \*\/ TEMPORARY TABLE |DROP \/\* undrop parent \w+ \*\/ TABLE `_undrop`|ALTER \/\* undrop (locked|hold) |SHOW \/\* undrop locked |RENAME \/\* undrop locked |FLUSH \/\* undrop locked \w+ \*\/ LOCAL TABLES |UNLOCK |DO |COMMIT |SELECT |SIGNAL )/,
          );
          const itself = /^RENAME \/\* undrop locked .* TABLE (\S+) TO (\S+)$/.exec(text);
          expect(itself?.[1]).toBe(itself?.[2]);
          if (text.startsWith('ALTER /* undrop locked')) {
            expect(text).toMatch(/ DROP COLUMN `_undrop_none_\w+`$/);
          }
          if (!/^(RENAME|ALTER) \/\* undrop hold/.test(text)) continue;
          for (const [from, to] of movesIn(text)) {
            const index = Number(from.slice(1));
            const table = inspection.intent?.tables[index];
            const hold = parseHoldName(to);
            expect(hold).toMatchObject({ state: 'HOLD', id: idOf(index) });
            expect(hold?.due).toEqual(table?.holdUntil);
            const seenKind = one.names[index]?.kind;
            expect(['base', 'denied', 'unlocked']).toContain(seenKind);
            expect(['base', 'sequence']).toContain(seenKind === 'base' ? 'base' : table?.kind);
            const isParent = table?.foreignKeysIn.length !== 0;
            expect(isParent && one.facts?.checksForeignKeys).toBe(false);
          }
        }
      }),
      { numRuns: rounds(2_000, 200) },
    );
  });

  test('is a drop answered OK before its tables are held', () => {
    fc.assert(
      fc.property(situation, script, (one, way) => {
        const { steps, answers } = walk(one, way);
        const last = steps.at(-1);
        if (last?.do !== 'answer' || last.payload[0] === 0xff) return;
        const bases = one.names.filter((seenName) => seenName.kind === 'base');
        const isMoved = isRenamed(answers) || answers.rounds.flat().some(isOk);
        if (bases.length > 0) expect(isMoved).toBe(true);
        expect(last.held.length).toBeGreaterThanOrEqual(bases.length);
      }),
      { numRuns: rounds(2_000, 200) },
    );
  });

  test('is something held where the RENAME failed or was not sent', () => {
    fc.assert(
      fc.property(situation, script, (one, way) => {
        const { steps, answers } = walk(one, way);
        const last = steps.at(-1);
        if (isRenamed(answers) || last?.do !== 'answer') return;
        const renamed = steps.some((step) => step.do === 'round' && step.renames);
        if (renamed && answers.rounds.flat().some(isOk)) return;
        expect(last.held).toEqual([]);
      }),
      { numRuns: rounds(1_000, 100) },
    );
  });

  test('does the service rename what the server has not said that the user may drop', () => {
    fc.assert(
      fc.property(situation, script, (one, way) => {
        const { steps, answers } = walk(one, way);
        if (!steps.some((step) => step.do === 'stead')) return;
        const renamed = answers.mayMove ?? answers.rename;
        expect(renamed).toMatchObject({ kind: 'err', errno: 1142 });
        const { probe, mayDrop, rights, readable } = answers;
        const said = [renamed, probe, mayDrop, rights, readable].filter((one) => one !== null);
        const isRead = (answer: Result) =>
          answer.kind === 'err' && /ALTER|CREATE/.test(answer.message.toString());
        for (const answer of said) {
          expect(answer.kind === 'err' && answer.message.includes('DROP')).toBe(false);
        }
        const moved = steps.flatMap((step) => (step.do === 'stead' ? [step.tables.length] : []));
        // Of one table its own RENAME has said it; of several each has been asked for.
        const isJudged =
          renamed !== null && isRead(renamed) && (moved[0] === 1 || mayDrop !== null);
        expect(isJudged || rights !== null || readable !== null).toBe(true);
      }),
      { numRuns: rounds(2_000, 200) },
    );
  });

  test('are the tables of MySQL 8 dropped in part', () => {
    fc.assert(
      fc.property(situation, script, (one, way) => {
        if (one.server !== 'mysql-9.7' || one.sql.includes('IF EXISTS')) return;
        if (one.names.some((seenName) => ['missing', 'view'].includes(String(seenName.kind)))) {
          const { steps, answers } = walk(one, way);
          expect([answers.rename, answers.stead]).toEqual([null, []]);
          expect(steps.some((step) => step.do === 'round' && step.renames)).toBe(false);
        }
      }),
      { numRuns: rounds(1_000, 100) },
    );
  });
});

function isOk(result: Result): boolean {
  return result.kind === 'ok';
}
