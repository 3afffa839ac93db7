/**
 * Tests that a short run meets on one server alone. A test file has one MySQL and one MariaDB in
 * such a run, and most tests of a file say the same of both; so each of them runs on one of the
 * two, always the same. A long run has every test on every server.
 */
import { test as jestTest } from '@jest/globals';
import { fixedFor, isLong, sample } from './sample.js';
import { type TestServer, testServers } from './servers.js';

type Run<Args extends readonly unknown[]> = (...args: Args) => unknown;

interface Each {
  <Row extends readonly unknown[] | readonly []>(
    rows: readonly Row[],
  ): (name: string, run: (...row: [...Row]) => unknown) => void;
  <Value>(values: readonly Value[]): (name: string, run: (value: Value) => unknown) => void;
}

/** Jest's `test`, and that of a lane. */
export type Tests = { (name: string, run: () => unknown): void; readonly each: Each };

let servers: readonly TestServer[] | null = null;

/** `test` for the tests of a describe of one of `testServers()`, or for those of its lane. */
export function testOnOne(
  server: Pick<TestServer, 'name'>,
  { test }: { readonly test: Tests } = { test: jestTest as unknown as Tests },
): Tests {
  servers ??= testServers();
  const all = servers;
  let tests = 0;
  const isHere = (name: string): boolean => {
    const index = tests++;
    if (isLong) return true;
    // Jest fails a describe that has hooks and no test, so each server has one of the first.
    const [chosen] =
      index < all.length
        ? [all[(index + fixedFor('first tests')) % all.length]]
        : sample(all, { name: `server of ${name}`, count: 1 });
    return chosen?.name === server.name;
  };
  const one = (name: string, run: Run<[]>): void => {
    if (isHere(name)) test(name, run);
  };
  const each = (rows: readonly unknown[]) => (name: string, run: Run<never[]>) => {
    const own = rows.filter((_row, index) => isHere(`${name} ${index}`));
    if (own.length > 0) test.each(own)(name, run as Run<unknown[]>);
  };
  return Object.assign(one, { each: each as Each });
}
