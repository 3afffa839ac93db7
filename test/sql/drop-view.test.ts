/** What is read of DROP VIEW, where it is looked for, and that it is none of ours elsewhere. */
import { describe, expect, test } from '@jest/globals';
import { classifyUnderAll } from '../../src/sql/classify.js';
import { readingAhead } from '../../src/sql/read-ahead.js';
import { readAtOnce } from '../../src/sql/reading.js';
import { StatementStream } from '../../src/sql/statement-stream.js';
import { mayBeOurs, type Sought, TriggerWatch } from '../../src/sql/trigger-scan.js';

const MODE = {
  flavour: 'mariadb',
  versionId: 101_119,
  ansiQuotes: false,
  noBackslashEscapes: false,
  squareBrackets: false,
  charset: 'utf8',
} as const;

function verdictOn(text: string, views: boolean): unknown {
  const verdict = classifyUnderAll(Buffer.from(text), MODE, { multiStatements: false, views });
  if (verdict.kind !== 'refused') return verdict.kind;
  const { carrier, dropView, statements } = verdict;
  if (dropView === undefined) return [carrier, statements.map((one) => one.verdict.kind)];
  const names = dropView.names.map(({ schema, table }) =>
    [schema, table].flatMap((part) => (part === null ? [] : [Buffer.from(part).toString()])),
  );
  return [carrier, dropView.ifExists, ...names];
}

describe('DROP VIEW', () => {
  test.each([
    ['DROP VIEW v', ['drop-view', false, ['v']]],
    ['drop /*! view */ if exists `a``b`, d.v restrict;', ['drop-view', true, ['a`b'], ['d', 'v']]],
    ['DROP VIEW v CASCADE', ['drop-view', false, ['v']]],
    ['DROP VIEW v w', ['drop-view', []]],
    ['DROP VIEW', ['drop-view', []]],
    ["PREPARE s FROM 'DROP VIEW v'", ['prepare', ['refused']]],
    ['BEGIN NOT ATOMIC DROP VIEW v; END', ['compound', ['refused']]],
    ['SET STATEMENT lock_wait_timeout = 1 FOR DROP VIEW v', ['set-statement', ['refused']]],
    ['CREATE PROCEDURE p() DROP VIEW v', 'not-ours'],
    ["SELECT 'DROP VIEW v'", 'not-ours'],
    ['DROP VIEW _undrop.v', 'guarded'],
  ])('%s', (text, expected) => {
    expect(verdictOn(text, true)).toEqual(expected);
    expect(verdictOn(text, false)).toEqual(expected === 'guarded' ? 'guarded' : 'not-ours');
  });

  test('is seen by its words, in one piece and in many', () => {
    const text = Buffer.from('Drop View v');
    for (const views of [true, false]) {
      expect(mayBeOurs(text, 0, text.length, { views })).toBe(views);
      const watch = new TriggerWatch({ views });
      expect([...text].some((byte) => watch.push(Buffer.from([byte])))).toBe(views);
    }
  });

  test('is found beside a TRUNCATE where that is looked for, too', () => {
    const text = Buffer.from('DROP VIEW v; TRUNCATE a');
    const cases: readonly (readonly [sought: Sought, kinds: readonly string[] | undefined])[] = [
      [{}, undefined],
      [{ views: true }, ['refused', 'not-ours']],
      [{ truncates: true }, ['not-ours', 'drop-table']],
      [{ views: true, truncates: true }, ['refused', 'drop-table']],
    ];
    for (const [sought, kinds] of cases) {
      const verdict = classifyUnderAll(text, MODE, { multiStatements: true, ...sought });
      const statements = verdict.kind === 'refused' ? verdict.statements : undefined;
      expect([sought, statements?.map((one) => one.verdict.kind)]).toEqual([sought, kinds]);
    }
  });

  test('is found among others, and in a text that is too long to be held', () => {
    const text = Buffer.from('DO 1; DROP VIEW v; DO 2');
    for (const views of [true, false]) {
      const isOurs = ({ kind }: { readonly kind: string }) => kind !== 'not-ours';
      const ahead = readAtOnce(readingAhead(text, MODE, { isOurs, views, names: false }));
      expect(ahead?.ours?.at).toBe(views ? 5 : undefined);
      const stream = new StatementStream({
        mode: MODE,
        multiStatements: true,
        heldBytesMax: 1_000,
        views,
        isOurs,
      });
      const found = stream.push(text) ?? stream.finish();
      expect(found?.kind).toBe(views ? 'ours' : undefined);
    }
  });
});
