/**
 * The numbered list of what the wire must do, test/golden/wire-requirements.md, against the tests:
 * each number is carried by a test, as ` (wire N)` at the end of its name, and in the file that the
 * list names.
 */
import { listFiles, readSource, readText } from './support/source-file.js';

const LAST = 64;

/** Numbers that no test carries, and why. */
const WITHOUT_TEST: Readonly<Record<number, string>> = {
  61: 'metrics are not exposed yet',
  62: 'measured by the benchmarks, because a test on a busy machine cannot',
};

interface Row {
  readonly number: number;
  readonly requirement: string;
  /** `session/login`, or why there is none. */
  readonly where: string;
}

const rows: readonly Row[] = readText('test/golden/wire-requirements.md')
  .split('\n')
  .flatMap((line) => {
    const [, number, requirement = '', where = ''] =
      /^\| (\d+) \| (.+) \| (.+) \|$/.exec(line) ?? [];
    return number === undefined ? [] : [{ number: Number(number), requirement, where }];
  });

/** Files by the numbers that names in them carry. */
const testsByNumber = new Map<number, Set<string>>();
for (const path of listFiles('test', ['.test.ts'])) {
  for (const name of readSource(path).strings) {
    const numbers = / \(wire (\d+(?:, \d+)*)\)$/.exec(name)?.[1] ?? '';
    for (const number of numbers.split(', ').filter(Boolean).map(Number)) {
      testsByNumber.set(number, (testsByNumber.get(number) ?? new Set()).add(path));
    }
  }
}

describe('what the wire must do', () => {
  const all = Array.from({ length: LAST }, (_, index) => index + 1);

  test('is a list without a gap', () => {
    expect(rows.map(({ number }) => number)).toEqual(all);
  });

  test('has a test for each number, or a reason', () => {
    const without = all.filter((number) => !testsByNumber.has(number));
    expect(without).toEqual(Object.keys(WITHOUT_TEST).map(Number));
  });

  test('has no test for a number that is not listed', () => {
    expect([...testsByNumber.keys()].filter((number) => !all.includes(number))).toEqual([]);
  });

  test.each(rows)('$number is tested where the list says: $requirement', ({ number, where }) => {
    if (WITHOUT_TEST[number] !== undefined) return expect(where).toBe(WITHOUT_TEST[number]);
    const files = where.split(', ').map((path) => `test/${path.replaceAll('`', '')}.test.ts`);
    expect([...(testsByNumber.get(number) ?? [])]).toEqual(expect.arrayContaining(files));
  });
});
