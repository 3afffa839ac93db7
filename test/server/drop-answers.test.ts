/**
 * Every case of native_cases.json, directly and through the proxy: the same bytes, the same
 * diagnostics, the same state; or a refusal with every table still there; or a difference that
 * stands in the closed list. Whatever it is, no table is lost. Then, on one server of each vendor,
 * once more in sessions whose settings get in the way of what undrop asks there.
 */
import { compareDrops, DIFFERENCES, endOf, isOf, nativeCases } from '../support/answer-pairs.js';
import type { NativeCase } from '../support/native-case.js';
import { fixedFor, partOf, sample } from '../support/sample.js';
import { allTestServers, type TestServer } from '../support/servers.js';

/** Of the cases, in a run that is not long, for each server; and how many under the settings. */
const [SHARE, UNDER] = [0.05, 12];
/** Of the cases under the settings, in a long run; all of them take ten minutes. */
const UNDER_OF_LONG = 0.25;

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

interface End {
  readonly cases: RegExp;
  /** Default: all. */
  readonly servers?: RegExp;
  readonly end: string;
}

interface Setting {
  readonly name: string;
  /** Null: not a case of it. */
  apply(one: NativeCase): NativeCase | null;
  /** How cases end under it otherwise than without it; the first that fits. */
  readonly ends?: readonly End[];
}

function before(one: NativeCase, ...texts: readonly string[]): NativeCase {
  return { ...one, session: [...texts, ...(one.session ?? [])] };
}

function says(one: NativeCase, words: RegExp): boolean {
  return [...one.setup, ...(one.session ?? []), one.sql ?? ''].some((text) => words.test(text));
}

/** A drop has none of them (see the limitations). */
const WITHOUT_SCHEMA_REPORTS =
  'SET @none = 0 /*!50704 , session_track_schema = 0 */ /*M!100202 , session_track_schema = 0 */';
/** From no schema, or one that is gone, nobody goes to another and back. */
const NOT_ELSEWHERE = /^(n11b |n12 |n13[cd] |n45b |n50|n56 |n60h |n67[f-h] |n71|s10[cd])/;

const SETTINGS: readonly Setting[] = [
  {
    name: 'no rows selected',
    apply: (one) => (says(one, /sql_select_limit/) ? null : before(one, 'SET sql_select_limit=0')),
  },
  {
    name: 'in a connection of UTF-16',
    apply: (one) => {
      const isOfOther = says(one, /SET NAMES|collation_connection/i);
      // Last: the literals of the session's own statements would be in UTF-16.
      const session = [...(one.session ?? []), 'SET collation_connection = utf16le_general_ci'];
      return isOfOther ? null : { ...one, session };
    },
    ends: [
      {
        cases:
          /^(b21-|b23|b26-|b33c|f0[13789]|f1[013]-|g14|n2[78]|n67g|n69[de]|p15b|p33|p36|s03|s07e-|s12b|t20|x07)/,
        end: 'unraised',
      },
      { cases: /^n60h/, servers: /^mysql-9/, end: 'unraised' },
      { cases: /^n66e/, servers: /^mariadb/, end: 'unraised' },
    ],
  },
  {
    name: 'in another schema than prepared',
    apply: (one) => {
      // Prepared they are refused.
      const isWrapped = /^SET STATEMENT|^CREATE/i.test(one.sql ?? '');
      if (one.via !== undefined || isWrapped || NOT_ELSEWHERE.test(one.name)) return null;
      return { ...before(one, WITHOUT_SCHEMA_REPORTS), via: 'execute-elsewhere' };
    },
    ends: [
      // The server's own error of the PREPARE.
      { cases: /^n13/, end: 'equal' },
      { cases: /^n69d /, servers: /^mysql-9/, end: 'not-there-and-back' },
      // What is asked then is of another schema, and a prepared drop has no remark.
      { cases: /^n60c /, servers: /^mariadb/, end: 'equal' },
      { cases: /^n67[b-e]? /, servers: /^mysql-9/, end: 'equal' },
    ],
  },
];

/** The newest of each vendor. */
const UNDER_SETTINGS = /^mysql-9|^mariadb-11/;

/** Its tablespace is the held table's from then on. */
const ONCE = 'o07-tablespace';

/** Not the kin (`k`), nor what is of no session (`z`). */
function casesUnderSettings(server: TestServer): readonly NativeCase[] {
  if (!UNDER_SETTINGS.test(server.name)) return [];
  const cases = nativeCases().filter((one) => {
    return isOf(one, server) && !/^[kz]\d/.test(one.name) && one.name !== ONCE;
  });
  const all = SETTINGS.flatMap(({ name, apply, ends = [] }) =>
    cases.flatMap((one) => {
      const changed = apply(one);
      if (changed === null) return [];
      const other = ends.find(({ cases: names, servers = /./ }) => {
        return names.test(one.name) && servers.test(server.name);
      });
      const end = endOf(one, server);
      const under = { ...changed, name: `${one.name}, ${name}`, ends: other?.end ?? end };
      return [{ under, kinds: [name, end] }];
    }),
  );
  const name = `${server.name}, under settings`;
  const some = partOf(all, { name, share: UNDER_OF_LONG }, fixedFor(name));
  const part = sample(some, { name, count: UNDER, kind: ({ kinds }) => kinds });
  return part.map(({ under }) => under);
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

compareDrops((server) => [...casesOf(server), ...casesUnderSettings(server)]);
