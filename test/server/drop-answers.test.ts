/**
 * Every case of native_cases.json, directly and through the proxy: the same bytes, the same
 * diagnostics, the same state; or a refusal with every table still there; or a difference that
 * stands in the closed list. Whatever it is, no table is lost.
 */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { AnswerPairs, DIFFERENCES, endOf, isOf, nativeCases } from '../support/answer-pairs.js';
import { allTestServers, type TestServer, testServers } from '../support/servers.js';

const ONLY = process.env['ANSWER_CASES'];
const cases = nativeCases().filter(({ name }) => ONLY === undefined || name.match(ONLY) !== null);
const casesOf = (server: TestServer) => cases.filter((one) => isOf(one, server));
const pairs = new AnswerPairs(casesOf);

beforeAll(() => pairs.start());
afterAll(() => pairs.stop());

describe.each(testServers())('a drop on $name', (server) => {
  test.each(casesOf(server))('$name', (one) => pairs.expect(server, one), 180_000);
});

test('every listed difference is one of a case, and stands in the limitations', () => {
  const page = readFileSync('docs/requirements-and-limitations.md', 'utf8').replaceAll(/\s+/g, ' ');
  const ends = new Set(nativeCases().flatMap(({ ends = {} }) => namesOf(ends)));
  for (const [name, { reason }] of Object.entries(DIFFERENCES)) {
    expect(ends).toContain(name);
    expect(page).toContain(reason);
  }
});

/** Their names are single words; those of our own are sentences. */
test('of the vendored cases but the kin at most ten end otherwise than directly', () => {
  const vendored = nativeCases().filter(({ name }) => !name.includes(' ') && !/^k\d/.test(name));
  const differing = vendored.flatMap((one) =>
    allTestServers()
      .filter((server) => isOf(one, server) && endOf(one, server) !== 'equal')
      .map((server) => `${one.name} on ${server.name}: ${endOf(one, server)}`),
  );
  process.stdout.write(`${differing.length} differ:\n${differing.join('\n')}\n`);
  expect(differing.length).toBeLessThanOrEqual(10);
});

function namesOf(ends: string | Readonly<Record<string, string>>): readonly string[] {
  return typeof ends === 'string' ? [ends] : Object.values(ends);
}
