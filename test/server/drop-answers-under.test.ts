/**
 * The cases of native_cases.json once more, in sessions and on servers whose settings get in the
 * way of what undrop asks there.
 */
import { expect, test } from '@jest/globals';
import { compareDrops, endOf, isOf, nativeCases } from '../support/answer-pairs.js';
import type { NativeCase } from '../support/native-case.js';
import { sample } from '../support/sample.js';
import { allTestServers, type TestServer } from '../support/servers.js';

interface Setting {
  readonly name: string;
  /** Null: not a case of it. */
  apply(one: NativeCase): NativeCase | null;
}

/** How many cases a run that is not long takes, for each server. */
const CASES = 35;

function before(one: NativeCase, ...texts: readonly string[]): NativeCase {
  return { ...one, session: [...texts, ...(one.session ?? [])] };
}

function says(one: NativeCase, words: RegExp): boolean {
  return [...one.setup, ...(one.session ?? []), one.sql ?? ''].some((text) => words.test(text));
}

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
  },
  {
    name: 'in another schema than prepared',
    apply: (one) => {
      // Prepared they are refused.
      const isWrapped = /^SET STATEMENT|^CREATE/i.test(one.sql ?? '');
      if (one.via !== undefined || isWrapped) return null;
      return { ...before(one, WITHOUT_SCHEMA_REPORTS), via: 'execute-elsewhere' };
    },
  },
];

/** A drop has none of them (see the limitations). */
const WITHOUT_SCHEMA_REPORTS =
  'SET @none = 0 /*!50704 , session_track_schema = 0 */ /*M!100202 , session_track_schema = 0 */';

/**
 * Not there: from no schema, or one that is gone, nobody goes to another and back, which is also a
 * change of state by itself.
 */
const LEFT_OUT: Readonly<Record<string, RegExp>> = {
  'in another schema than prepared':
    /^(n11b |n12 |n13[cd] |n45b |n50|n56 |n60h |n67[f-h] |n71|s10[cd])/,
};

interface End {
  readonly cases: RegExp;
  readonly servers: RegExp;
  readonly end: string;
}

/** How cases end under a setting otherwise than without it. */
const ENDS: Readonly<Record<string, readonly End[]>> = {
  'in a connection of UTF-16': [
    {
      cases:
        /^(b21-|b23|b26-|b33c|f0[13789]|f1[013]-|g14|n2[78]|n67g|n69[de]|p15b|p33|p36|s03|s07e-|s12b|t20|x07)/,
      servers: /./,
      end: 'unraised',
    },
    { cases: /^n60h/, servers: /^mysql-9/, end: 'unraised' },
    { cases: /^n66e/, servers: /^mariadb/, end: 'unraised' },
  ],
  'in another schema than prepared': [
    // The server's own error of the PREPARE.
    { cases: /^n13/, servers: /./, end: 'equal' },
    { cases: /^n69d /, servers: /^mysql-9/, end: 'not-there-and-back' },
    // What is asked then is of another schema, and a prepared drop has no remark.
    { cases: /^n60c /, servers: /^mariadb|^mysql-5/, end: 'equal' },
    { cases: /^n67[b-e]? /, servers: /^mysql-9/, end: 'equal' },
  ],
};

function endUnder(server: TestServer, one: NativeCase, setting: Setting): string {
  const other = (ENDS[setting.name] ?? []).find(
    ({ cases: names, servers }) => names.test(one.name) && servers.test(server.name),
  );
  return other?.end ?? endOf(one, server);
}

/** Its tablespace is the held table's from then on. */
const ONCE = 'o07-tablespace';

function under(server: TestServer, one: NativeCase, setting: Setting): NativeCase | null {
  const changed = setting.apply(one);
  if (changed === null || !isOf(one, server) || !isOf(changed, server)) return null;
  if (LEFT_OUT[setting.name]?.test(one.name) || one.name === ONCE) return null;
  const ends = endUnder(server, one, setting);
  return { ...changed, name: `${one.name}, ${setting.name}`, ends };
}

/** What a server is asked, by the name of the setting. */
interface CaseUnder {
  readonly setting: string;
  readonly one: NativeCase;
}

function casesOf(server: TestServer): readonly NativeCase[] {
  const all = nativeCases()
    .filter(({ name }) => !/^k\d/.test(name))
    .flatMap((one) =>
      SETTINGS.flatMap((setting): CaseUnder[] => {
        const changed = under(server, one, setting);
        return changed === null ? [] : [{ setting: setting.name, one: changed }];
      }),
    );
  const kind = ({ setting, one }: CaseUnder) => [setting, endOf(one, server)];
  return sample(all, { name: server.name, count: CASES, kind }).map(({ one }) => one);
}

compareDrops(casesOf);

test('of the vendored cases at most thirty end otherwise under any setting', () => {
  const vendored = nativeCases().filter(({ name }) => !name.includes(' ') && !/^k\d/.test(name));
  for (const setting of SETTINGS) {
    const differing = vendored.filter((one) =>
      allTestServers().some((server) => {
        const changed = setting.apply(one);
        if (changed === null || !isOf(one, server) || !isOf(changed, server)) return false;
        return endOf(one, server) !== 'equal' || LEFT_OUT[setting.name]?.test(one.name) === true;
      }),
    );
    process.stdout.write(`${setting.name}: ${differing.map(({ name }) => name).join(', ')}\n`);
    expect(differing.length).toBeLessThanOrEqual(30);
  }
});
