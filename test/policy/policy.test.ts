/** Rules and hints as they are written, and what becomes of a table by them: a table of cases. */
import { readFileSync } from 'node:fs';
import { decideTable, firstRule, NO_TRAITS, traitsAsked } from '../../src/policy/decide.js';
import { oneHint, parseHint, parseRules } from '../../src/policy/rules.js';

interface Decision {
  readonly name: string;
  readonly rules: string;
  readonly hint?: string;
  readonly table: string | readonly [string, string];
  readonly account?: string;
  readonly program?: string;
  readonly tags?: Readonly<Record<string, string>>;
  readonly bytes?: number;
  readonly ageMs?: number;
  readonly isEmpty?: boolean;
  readonly foldsCase?: boolean;
  /** `hold` in hours. */
  readonly expect: { readonly hold: number | 'pinned' } & Readonly<Record<string, unknown>>;
}

interface Golden {
  readonly decisions: readonly Decision[];
  readonly mistakes: readonly { readonly rules: string; readonly problems: readonly string[] }[];
  readonly hints: readonly {
    readonly texts: readonly string[];
    readonly expect?: string | null;
    readonly odd?: string;
  }[];
}

const golden = JSON.parse(readFileSync('test/golden/policy_cases.json', 'utf8')) as Golden;
const HOUR_MS = 3_600_000;

test.each(golden.decisions)('of a table: $name', (one) => {
  const { rules, problems } = parseRules(one.rules);
  expect(problems).toEqual([]);
  const [schema = '', table = ''] =
    typeof one.table === 'string' ? one.table.split('.') : one.table;
  const { bytes = null, ageMs = null, isEmpty = null, account = 'app@web', foldsCase } = one;
  const { program = null, tags = null } = one;
  const hint = one.hint === undefined ? null : parseHint(one.hint);
  const ruling = decideTable(
    { schema, table, account, claims: { program, tags, attributes: {} } },
    { bytes, ageMs, isEmpty },
    { rules, hint, holdMs: 168 * HOUR_MS, foldsCase: foldsCase === true },
  );
  const { hold } = one.expect;
  expect(ruling).toEqual({
    ...{ refusedBy: null, mayRefuse: null, isNative: false, holdIfEmpty: null, holdIfLate: null },
    ...{ asks: false, lockMs: null, by: null },
    ...one.expect,
    hold: hold === 'pinned' ? hold : hold * HOUR_MS,
  });
});

describe('the mistakes in', () => {
  test.each(golden.mistakes)('$rules', ({ rules, problems }) => {
    expect(parseRules(rules).problems).toEqual(problems);
  });

  test('too many rules', () => {
    const { problems } = parseRules('a.*: now;'.repeat(501));
    expect(problems).toEqual(['expected at most 500 rules, found 501']);
  });
});

test.each(golden.hints)('the hint of $texts', ({ texts, expect: expected, odd }) => {
  const hint = oneHint(texts);
  if (odd !== undefined) expect(hint).toEqual({ odd });
  else if (expected === null) expect(hint).toBeNull();
  else expect(hint).toMatchObject({ text: expected });
});

describe('what has to be asked', () => {
  const comparing = { foldsCase: false };
  const subject = { schema: 'app', table: 't', account: 'me@here' };
  const asked = (text: string) => traitsAsked(parseRules(text).rules, subject, comparing);

  test.each([
    ['', { facts: false, empty: false }],
    ['app.t: now; *.* empty: refuse', { facts: false, empty: false }],
    ['other.* size<1: now; *.* user=you empty: now', { facts: false, empty: false }],
    ['*.* size<1: now; *.*: hold; *.* empty: now', { facts: true, empty: false }],
    ['*.* age>1h: now; *.* user=me empty: now', { facts: true, empty: true }],
    ['*.* empty: now', { facts: false, empty: true }],
  ])('by %s', (text, expected) => {
    expect(asked(text)).toEqual(expected);
  });

  test('is what a rule that does not fit may have needed', () => {
    const { rules } = parseRules('*.* size<1: now; *.*: hold=1h');
    expect(firstRule({ rules, ...comparing }, subject, NO_TRAITS)?.text).toBe('*.*: hold=1h');
  });
});
