/**
 * Every case of native_cases.json, directly and through the proxy: the same bytes, the same
 * diagnostics, the same state; or a refusal with every table still there; or a difference that
 * stands in the closed list. Whatever it is, no table is lost.
 */
import { expect, test } from '@jest/globals';
import { compareDrops, DIFFERENCES, endOf, isOf, nativeCases } from '../support/answer-pairs.js';
import type { NativeCase } from '../support/native-case.js';
import { sample } from '../support/sample.js';
import { allTestServers, type TestServer } from '../support/servers.js';

/** How many of the cases a run that is not long takes, for each server. */
const SHARE = 0.1;

compareDrops(casesOf);

/** Of each way to send a statement, and of each end, at least one. */
function casesOf(server: TestServer): readonly NativeCase[] {
  const kind = (one: NativeCase) => [
    familyOf(one),
    one.via ?? 'query',
    endOf(one, server),
    ...(one.grants === undefined ? [] : ['with grants']),
    ...(one.other === undefined ? [] : ['beside another']),
  ];
  const cases = nativeCases().filter((one) => isOf(one, server));
  return sample(cases, { name: server.name, share: SHARE, kind });
}

/** `n` of `n64c two of three that are locked`: cases of a letter are of one subject. */
function familyOf({ name }: NativeCase): string {
  return name.slice(0, 1);
}

test('every listed difference is one of a case', () => {
  const ends = new Set(nativeCases().flatMap(({ ends = {} }) => namesOf(ends)));
  for (const name of Object.keys(DIFFERENCES)) expect(ends).toContain(name);
});

/** Their names are single words; those of our own are sentences. */
test('of the vendored cases but the kin at most 52 end otherwise than directly', () => {
  const vendored = nativeCases().filter(({ name }) => !name.includes(' ') && !/^k\d/.test(name));
  const differing = vendored.flatMap((one) =>
    allTestServers()
      .filter((server) => isOf(one, server) && endOf(one, server) !== 'equal')
      .map((server) => `${one.name} on ${server.name}: ${endOf(one, server)}`),
  );
  process.stdout.write(`${differing.length} differ:\n${differing.join('\n')}\n`);
  expect(differing.length).toBeLessThanOrEqual(52);
});

function namesOf(ends: string | Readonly<Record<string, string>>): readonly string[] {
  return typeof ends === 'string' ? [ends] : Object.values(ends);
}
