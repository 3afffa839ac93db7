/**
 * Texts of several statements with a DROP TABLE among them, directly and through the proxy: the
 * same bytes, the same state, and no table lost.
 */
import { seededRandom } from '../support/dice.js';
import type { CaseRun, NativeCase, Seen } from '../support/native-case.js';
import { connectRoot, runCase, seenIn } from '../support/native-case.js';
import { onServers } from '../support/on-servers.js';
import { CLIENT, MARIADB_CLIENT, type RawClientOptions } from '../support/raw-client.js';
import { rounds, sample, seedFor } from '../support/sample.js';
import { randomText, SEVERAL_CASES, SEVERAL_SETUP } from '../support/several-cases.js';
import { Survival } from '../support/survival.js';

/** How many of the cases a run that is not long takes, for each server. */
const SHARE = 0.12;
/** Random texts for each server and client. */
const TEXTS = rounds(50, 10);

const CLIENTS = {
  'an old client': { flags: CLIENT.MULTI_STATEMENTS },
  'a client of today': {
    flags:
      CLIENT.MULTI_STATEMENTS |
      CLIENT.DEPRECATE_EOF |
      CLIENT.SESSION_TRACK |
      CLIENT.QUERY_ATTRIBUTES |
      CLIENT.OPTIONAL_RESULTSET_METADATA,
    mariadb: MARIADB_CLIENT.CACHE_METADATA | MARIADB_CLIENT.EXTENDED_METADATA,
  },
};

interface ByClient {
  readonly name: string;
  readonly client: RawClientOptions;
  readonly one: NativeCase;
}

function byClients(cases: readonly NativeCase[]): readonly ByClient[] {
  return Object.entries(CLIENTS).flatMap(([by, client]) =>
    cases.map((one) => ({ name: `by ${by}: ${one.name}`, client, one })),
  );
}

onServers('several statements in a text on $name', (server, on) => {
  const proxy = on.proxy();
  const root = on.open(() => connectRoot(server));
  const survival = new Survival(root, ['d1', 'd2']);

  async function compare({ client, one }: ByClient): Promise<void> {
    const direct = await runCase(one, { target: server, root, client, survival: null });
    const proxied = await runCase(one, { target: proxy, root, client, survival });
    expect(proxied.lost).toEqual([]);
    if (one.ends !== undefined) return expectRefusedEnd(direct, proxied);
    expect(withoutQuotes(proxied)).toEqual(withoutQuotes(direct));
  }

  const cases = SEVERAL_CASES.filter(({ servers }) => servers?.includes(server.name) ?? true);
  test.each(sample(byClients(cases), { name: server.name, share: SHARE }))('$name', compare);

  const random = seededRandom(seedFor(server.name));
  const texts = Array.from({ length: TEXTS }, (): NativeCase => {
    const sql = randomText(random);
    return { name: JSON.stringify(sql), setup: SEVERAL_SETUP, sql };
  });
  test.each(byClients(texts))('$name', compare);
});

const SYNTAX_ERROR = Buffer.from('You have an error in your SQL syntax');
/** As it stands in an answer, and in the bytes of a row. */
const SYNTAX_ERRORS = [SYNTAX_ERROR.toString(), SYNTAX_ERROR.toString('hex')];

/** The server's text of a syntax error quotes the rest of what it got: here, of one statement. */
function withoutQuotes(run: CaseRun): Seen {
  const seen = seenIn(run);
  const shorten = (line: string) =>
    SYNTAX_ERRORS.some((text) => line.includes(text)) ? `${line.split(' ')[0]} 1064` : line;
  return {
    ...seen,
    answer: seen.answer.map(shorten),
    diagnostics: seen.diagnostics.map(shorten),
    probes: seen.probes.map((lines) => lines.map(shorten)),
  };
}

/** All the same but the last packet. */
function expectRefusedEnd(direct: CaseRun, proxied: CaseRun): void {
  expect(proxied.message).toMatch(/^UNDROP_/);
  expect(proxied.answer.slice(0, -1)).toEqual(direct.answer.slice(0, proxied.answer.length - 1));
}
