/**
 * Random drops on live servers, each said directly and through the proxy to the same tables: the
 * same answers, the same names gone, and what is gone through the proxy is held with all rows.
 * Then the same with their texts mutated: nothing is destroyed, and hardly anything is refused that
 * the server would have done.
 */
import { isUtf8 } from 'node:buffer';
import { jest } from '@jest/globals';
import { corpusCases } from '../sql/corpus.js';
import type { ServerKey } from '../sql/describe-verdict.js';
import { charsetTableOf } from '../support/classify.js';
import { LATE } from '../support/load.js';
import { mutate } from '../support/mutations.js';
import { type ProxyTarget, proxyInFront } from '../support/proxy.js';
import { diceOf, randomDrop, type Script } from '../support/random-drops.js';
import { rounds, seedFor } from '../support/sample.js';
import { recordedAs } from '../support/server-set.js';
import { type TestServer, testServers } from '../support/servers.js';
import { type Outcome, type TwinOutcome, TwinRuns } from '../support/twin-runs.js';

/** How many of each kind, for each server. */
const COUNT = rounds(500, 50);
/** A run that finds more than this ends: it has said enough. */
const PROBLEMS_MAX = 10;
/** Of so many statements that the server takes one may be refused, by chance some more. */
const ACCEPTED_FOR_ONE_REFUSED = 1_000;
const REFUSED_BY_CHANCE = rounds(4, 2);
const SEED = seedFor('drops');
/** Another seed than that of the drops as they are. */
const MUTANTS = 0x5eed;

jest.setTimeout(120_000 + COUNT * 2_000);

/** Refusals by design, or of a busy machine, in their own words; all else counts. */
const BY_DESIGN = new RegExp(
  [
    'UNDROP_NOT_DONE_YET: .*(DROP DATABASE|compound statement)',
    'UNDROP_NOT_DONE_YET: .*by (a prepared )?CREATE OR REPLACE',
    'UNDROP_NAME_CHARSET: .* (sjis|big5|gb18030)\\.',
    'UNDROP_NOT_UNDERSTOOD: .*a temporary table has the name of the table that it replaces',
    'UNDROP_NOT_DONE_YET: .*(under SET STATEMENT|by EXECUTE IMMEDIATE)',
    'UNDROP_NOT_UNDERSTOOD: .*a temporary table has a name that DROP SEQUENCE looks for',
    'UNDROP_NOT_UNDERSTOOD: .*the text that it executes is an expression',
    LATE.source,
  ].join('|'),
  's',
);

/** The same of a CREATE OR REPLACE; a DROP in the same place is held. */
const REPLACE_BY_DESIGN = /UNDROP_NOT_DONE_YET: .*(by a text PREPARE|by EXECUTE IMMEDIATE)\./s;

type Report = Awaited<ReturnType<typeof sayAll>>;

type Running = { readonly drops: Promise<Report>; readonly mutants: Promise<Report> };

const proxies: ProxyTarget[] = [];
const running = new Map<string, Running>();

/** The servers work at the same time; a test waits for its own. */
beforeAll(async () => {
  for (const server of testServers()) {
    const proxy = await proxyInFront(server);
    proxies.push(proxy);
    const drops = sayAll(server, proxy, [], (number) => dropOf(number, server));
    const timeLimit = server.flavour === 'mariadb' ? ['SET max_statement_time = 10'] : [];
    const mutants = drops
      .catch(() => undefined)
      .then(() => sayAll(server, proxy, timeLimit, mutantsFor(server)));
    for (const one of [drops, mutants]) one.catch(() => undefined);
    running.set(server.name, { drops, mutants });
  }
});

afterAll(async () => {
  await Promise.allSettled([...running.values()].map(({ mutants }) => mutants));
  for (const proxy of proxies) await proxy.stop();
});

describe.each(testServers())('random drops on $name', (server) => {
  const reportOf = async (kind: keyof Running): Promise<Report> => {
    const report = await running.get(server.name)?.[kind];
    if (report === undefined) throw new Error('it was not run');
    const { said, held, accepted, refused } = report;
    process.stdout.write(
      `${server.name}: ${said} ${kind}, seed ${SEED}: ${held} tables held, ` +
        `${accepted} accepted by the server, ${refused.length} of them refused\n`,
    );
    return report;
  };

  test(`${COUNT} random drops do what they do natively, and lose nothing`, async () => {
    const { problems, refused, held, said } = await reportOf('drops');
    expect({ problems, refused }).toEqual({ problems: [], refused: [] });
    expect(held).toBeGreaterThan(said / 8);
  });

  test(`${COUNT} mutated drops destroy nothing, and are refused only by design`, async () => {
    const { problems, refused, accepted } = await reportOf('mutants');
    const isTolerable =
      refused.length <= Math.max(REFUSED_BY_CHANCE, accepted / ACCEPTED_FOR_ONE_REFUSED);
    const tooMany = isTolerable ? [] : refused;
    expect({ problems, tooMany }).toEqual({ problems: [], tooMany: [] });
  });
});

async function sayAll(
  server: TestServer,
  proxy: ProxyTarget,
  timeLimit: readonly string[],
  scriptOf: (number: number) => Script,
) {
  const runs = await TwinRuns.open({ server, proxy, timeLimit });
  const refused: string[] = [];
  const problems: string[] = [];
  let [held, accepted, said] = [0, 0, 0];
  for (let number = 0; number < COUNT; number++) {
    const script = scriptOf(number);
    const first = await runs.run(script);
    // The server's own threads (statistics, purge) may have the table locked for a moment.
    const outcome = isLockedOut(first) ? await runs.run(script) : first;
    said++;
    held += outcome.held;
    const isAccepted = !outcome.direct.answers.some(isError);
    const isDone = !outcome.proxied.answers.some(isError);
    const tell = (what: string) => `${number}: ${what}: ${shown(script)}\n${differences(outcome)}`;
    if (isAccepted) accepted++;
    if (outcome.lost.length > 0) problems.push(tell(outcome.lost.join('; ')));
    if (isAccepted && !isDone) {
      const replaces = script.texts.some((text) => /replace/i.test(text.toString('latin1')));
      const isByDesign = outcome.proxied.answers.some(
        (answer) => BY_DESIGN.test(answer) || (replaces && REPLACE_BY_DESIGN.test(answer)),
      );
      const isKnown = isByDesign || isBroken(script) || isCutShort(script, outcome, server);
      if (!isKnown) refused.push(tell('refused'));
    } else if (
      !isRefused(outcome) &&
      !isCutShort(script, outcome, server) &&
      !isOwn(script, outcome) &&
      !isCutOff(script, outcome, server) &&
      !isReadAsWhole(script, outcome) &&
      !isSame(outcome)
    ) {
      problems.push(tell('not as natively'));
    }
    if (problems.length + refused.length >= PROBLEMS_MAX) break;
  }
  await runs.close();
  return { said, held, accepted, refused, problems };
}

function dropOf(number: number, { flavour, name }: TestServer, salt = 0): Script {
  return randomDrop(number, {
    seed: SEED ^ salt,
    isMariadb: flavour === 'mariadb',
    knowsGb18030: name === 'mysql-9.7',
  });
}

/** Most are drops in another shape; some begin as a statement of the corpus. */
function mutantsFor(server: TestServer): (number: number) => Script {
  const corpus = corpusCases()
    .filter(({ on, live }) => live !== false && on.includes(recordedAs(server.name) as ServerKey))
    .map(({ sql }) => Buffer.from(sql));
  return (number) => {
    const dice = diceOf(number, ~SEED);
    const script = dropOf(number, server, MUTANTS);
    const other = corpus[dice.below(corpus.length)];
    const isOther = dice.chance(0.25) && other !== undefined && script.texts.length === 1;
    return mutate(isOther ? { ...script, texts: [other] } : script, dice, corpus);
  };
}

/**
 * An error of ours; or that a prepared drop isn't known by its name, where a text is read as an
 * EXECUTE by the server alone (a blank of the client's charset in it).
 */
function isRefused({ direct, proxied }: TwinOutcome): boolean {
  return proxied.answers.some(
    (answer, index) =>
      answer.includes('UNDROP_') || (isUnknown(answer) && !isUnknown(direct.answers[index] ?? '')),
  );
}

/**
 * Whether there are bytes that are no characters: a server cuts a name off at them, or drops a
 * table whose name is another than the one that stands there, so that is refused.
 */
function isBroken(script: Script): boolean {
  if (script.charset.startsWith('utf8')) return !script.texts.every((text) => isUtf8(text));
  const isStray = ([first = 0, ...more]: Uint8Array) => more.length === 0 && first >= 0x80;
  return charactersOf(script).some((bytes) => bytes.length === 0 || isStray(bytes));
}

/** MariaDB cuts off the end of a name in backquotes if one of its characters ends in that byte. */
function isCutOff(script: Script, outcome: TwinOutcome, { flavour }: TestServer): boolean {
  const isOdd = (bytes: Uint8Array) => bytes.length > 1 && bytes.at(-1) === 0x60;
  return flavour === 'mariadb' && isUntouched(outcome) && charactersOf(script).some(isOdd);
}

/** Up to the first bytes that are none, which are empty. */
function charactersOf({ charset, texts }: Script): readonly Uint8Array[] {
  const table = charsetTableOf(charset);
  if (table === null || charset === 'latin1') return [];
  return texts.flatMap((text) => {
    const found: Uint8Array[] = [];
    for (let at = 0; at < text.length && found.at(-1)?.length !== 0; ) {
      found.push(text.subarray(at, at + table.charLength(text, at, text.length)));
      at += found.at(-1)?.length ?? 0;
    }
    return found;
  });
}

/**
 * A `;` within a version comment ends a statement for MySQL before 5.7 and MariaDB before 10.6, in
 * a text of several; said alone, that statement has a comment without an end. So it is a syntax
 * error, and nothing is done.
 */
function isCutShort({ texts }: Script, { proxied }: TwinOutcome, server: TestServer): boolean {
  // A plain comment within doesn't end it.
  const splits = /\/\*!(?:\/\*(?:(?!\*\/).)*\*\/|(?!\*\/).)*;/s;
  return (
    ['mysql-5.6', 'mariadb-10.5'].includes(server.name) &&
    texts.some((text) => splits.test(text.toString('latin1'))) &&
    proxied.answers.at(-1)?.startsWith('ERR 1064') === true
  );
}

/** `EXPLAIN DROP TABLE` is undrop's own: the server knows no such statement. It does nothing. */
function isOwn({ texts }: Script, outcome: TwinOutcome): boolean {
  const isSyntaxError = outcome.direct.answers.some((answer) => answer.startsWith('ERR 1064'));
  const isExplain = texts.some((text) =>
    /\b(EXPLAIN|DESC|DESCRIBE)\b/i.test(text.toString('latin1')),
  );
  return isSyntaxError && isExplain && isUntouched(outcome);
}

/**
 * Servers differ in where the number in `1.EXISTS` ends, so a text of several with such a word is
 * checked as a whole: its syntax error is the answer, and nothing of it is done.
 */
function isReadAsWhole({ texts }: Script, outcome: TwinOutcome): boolean {
  const hasWord = texts.some((text) => /\d\.[a-z_]/i.test(text.toString('latin1')));
  const ends = [outcome.direct, outcome.proxied].map(({ answers }) => answers.at(-1) ?? '');
  const areErrors = ends.every((end) => end.startsWith('ERR 1064'));
  return hasWord && areErrors && outcome.proxied.answers.length === 1 && isUntouched(outcome);
}

/** Both ways leave the same tables behind. */
function isUntouched({ direct, proxied }: TwinOutcome): boolean {
  return JSON.stringify(direct.objects) === JSON.stringify(proxied.objects);
}

function isUnknown(answer: string): boolean {
  return answer.startsWith('ERR 1243');
}

/** One of the two ways found a lock where it wasn't to wait; nothing is lost by that. */
function isLockedOut({ direct, proxied, lost }: TwinOutcome): boolean {
  const answers = [...direct.answers, ...proxied.answers];
  return lost.length === 0 && answers.some((answer) => answer.startsWith('ERR 1205'));
}

function isError(answer: string): boolean {
  return answer.startsWith('ERR') || answer.startsWith('the session ended');
}

function isSame({ direct, proxied }: TwinOutcome): boolean {
  return JSON.stringify(comparable(direct)) === JSON.stringify(comparable(proxied));
}

/**
 * Where a text breaks off in the middle of a version comment, the server's parser says of one
 * statement what it doesn't say of the whole text; but nothing that the client hasn't sent.
 */
function comparable(outcome: Outcome): Outcome {
  const answers = outcome.answers.map((answer) => {
    const isOwn = !/undrop|USING utf8mb4/.test(answer);
    return isOwn ? answer.replace(/^(ERR 1064 .*) near '.*/s, '$1') : answer;
  });
  return { ...outcome, answers };
}

function shown(script: Script): string {
  const texts = script.texts.map((text) => text.toString('latin1'));
  return JSON.stringify({ ...script, texts });
}

/** Of objects only those that aren't the same on both ways. */
function differences({ direct, proxied }: TwinOutcome): string {
  const names = new Set([...Object.keys(direct.objects), ...Object.keys(proxied.objects)]);
  const other = [...names].filter((name) => direct.objects[name] !== proxied.objects[name]);
  const part = ({ answers, temporaries, objects }: Outcome) =>
    JSON.stringify({
      answers,
      temporaries,
      objects: Object.fromEntries(other.map((name) => [name, objects[name] ?? 'gone'])),
    });
  return `  directly ${part(direct)}\n  proxied  ${part(proxied)}`;
}
