/**
 * Every case of native_cases.json, directly and through the proxy: the same bytes, the same
 * diagnostics, the same state; or a refusal with every table still there; or a difference that
 * stands in the closed list. Whatever it is, no table is lost. Then, on one server of each vendor,
 * once more in sessions whose settings get in the way of what undrop asks there.
 */
import { readFileSync } from 'node:fs';
import * as native from '../support/native-case.js';
import { onServer } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { fixedFor, partOf, sample } from '../support/sample.js';
import { allTestServers, type TestServer, testServers } from '../support/servers.js';
import { Survival } from '../support/survival.js';

interface Difference {
  readonly reason: string;
  /** The words of docs/limits.md that it is part of; none: too rare for that page. */
  readonly line?: string;
  /** All else is the same. */
  readonly where: readonly (keyof native.Seen)[];
  /** What is left to do is done soon, and then there is none: on a busy machine before the look. */
  readonly mayEnd?: true;
}

type Differences = Readonly<Record<string, Difference>>;

/**
 * Closed: a new entry needs a reason, and a line of docs/limits.md if users can meet it. The second
 * ones are met under a setting only, not by the case itself.
 */
const DIFFERENCES: { readonly always: Differences; readonly under_a_setting: Differences } =
  JSON.parse(readFileSync('test/golden/native_differences.json', 'utf8'));

/** The second file is of what a session may be in: LOCK TABLES, GTID_NEXT. */
function nativeCases(): readonly native.NativeCase[] {
  return ['native_cases', 'native_session_cases'].flatMap(
    (name) => JSON.parse(readFileSync(`test/golden/${name}.json`, 'utf8')) as native.NativeCase[],
  );
}

function isOf({ servers }: native.NativeCase, { name }: TestServer): boolean {
  return servers?.includes(name) ?? true;
}

function endOf({ ends }: native.NativeCase, { name }: TestServer): string {
  return typeof ends === 'string' ? ends : (ends?.[name] ?? 'equal');
}

/** Of the cases, in a run that is not long, for each server; and how many under the settings. */
const [SHARE, UNDER] = [0.05, 12];
/** Of the cases under the settings, in a long run; all of them take ten minutes. */
const UNDER_OF_LONG = 0.25;

/** Of each way to send a statement, and of each end, at least one. */
function casesOf(server: TestServer): readonly native.NativeCase[] {
  const kind = (one: native.NativeCase) => [
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
function familyOf({ name }: native.NativeCase): string {
  return name.slice(0, 1);
}

/** `servers`: default: all. */
type End = { readonly cases: RegExp; readonly servers?: RegExp; readonly end: string };

interface Setting {
  readonly name: string;
  /** Null: not a case of it. */
  apply(one: native.NativeCase): native.NativeCase | null;
  /** How cases end under it otherwise than without it; the first that fits. */
  readonly ends?: readonly End[];
}

function before(one: native.NativeCase, ...texts: readonly string[]): native.NativeCase {
  return { ...one, session: [...texts, ...(one.session ?? [])] };
}

function says(one: native.NativeCase, words: RegExp): boolean {
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
function casesUnderSettings(server: TestServer): readonly native.NativeCase[] {
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
  for (const name of Object.keys(DIFFERENCES.always)) expect(ends).toContain(name);
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

// ── pairs of runs ────────────────────────────────────────────────────────────────────────────────
// A run straight to the server and another through the proxy, and how the two are to end: the same,
// with a refusal, or with a difference of the closed list.

/** `direct`: null where the proxy refuses: there is nothing to compare. */
type Pair = { readonly direct: native.CaseRun | null; readonly proxied: native.CaseRun };

/** Also what is not protected by itself. */
const PROTECT = 'drop-table,drop-database,create-or-replace,truncate';

// MariaDB 10.5 has answers of its own: DROP TABLE IF EXISTS of a view has one note instead of two,
// a TRUNCATE of a parent names the key without its columns, a table that is locked by an alias
// alone is not dropped (1100), a DROP DATABASE with a locked child is refused by undrop.
const servers = testServers().filter(({ name }) => name !== 'mariadb-10.5');

describe.each(servers)('a drop on $name', (server) => {
  const on = onServer(server);
  const proxy = on.proxy({ PROTECT });
  const root = on.open(() => native.connectRoot(server));
  const survival = new Survival(root, ['d1', 'd2', 'd3']);

  test.each([...casesOf(server), ...casesUnderSettings(server)])('$name', async (one) => {
    const end = endOf(one, server);
    const isRefused = end.startsWith('UNDROP_');
    const direct = isRefused
      ? null
      : await native.runCase(one, { target: server, root, survival: null });
    const proxied = await native.runCase(one, { target: proxy, root, survival });
    const pair = { direct, proxied };
    expectPair(end === 'equal' ? await relocated(pair) : pair, end);
  });

  /** On a busy machine a held table may be in its own schema for longer than the case lasts. */
  async function relocated({ direct, proxied }: Pair): Promise<Pair> {
    const isHeld = (name: string) =>
      name.includes('._vt_HOLD_') && direct?.tables.includes(name) !== true;
    let { tables } = proxied;
    const areGone = async () => {
      if (!tables.some(isHeld)) return true;
      tables = await native.listTables(root);
      return false;
    };
    await until(areGone, 'what is held has left its schema');
    return { direct, proxied: { ...proxied, tables } };
  }
});

function expectPair({ direct, proxied }: Pair, end: string): void {
  expect(proxied.lost).toEqual([]);
  if (direct === null) return expectRefusal(proxied, end);
  if (end === 'equal') return expect(native.seenIn(proxied)).toEqual(native.seenIn(direct));
  const difference = DIFFERENCES.always[end] ?? DIFFERENCES.under_a_setting[end];
  if (difference === undefined) throw new Error(`${end} is in no list`);
  if (difference.mayEnd !== true) expect(native.seenIn(proxied)).not.toEqual(native.seenIn(direct));
  expect(without(proxied, difference.where)).toEqual(without(direct, difference.where));
}

function expectRefusal(proxied: native.CaseRun, code: string): void {
  expect(proxied.message).toMatch(new RegExp(`^${code}: .`));
  expect(proxied.tablesAfter).toEqual(proxied.before);
}

function without(run: native.CaseRun, where: readonly (keyof native.Seen)[]): Partial<native.Seen> {
  const entries = Object.entries(native.seenIn(run)).filter(
    ([key]) => !where.includes(key as keyof native.Seen),
  );
  return Object.fromEntries(entries);
}
