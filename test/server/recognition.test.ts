/**
 * Recognition against reality: statements are run on a real server, unguarded, and the tables that
 * are gone afterwards are compared with what recognition said of the text. They are variants of
 * drops and of what looks like them, made from a fixed seed; drop-corpus.test.ts has the corpus.
 */
import { isDeepStrictEqual } from 'node:util';
import { expect } from '@jest/globals';
import { CHARSET_TABLES, clientCharsetOf } from '../../src/sql/lex/client-charset.js';
import { modeFromSqlMode } from '../../src/sql/lex/lex-mode.js';
import { mayBeOurs } from '../../src/sql/trigger-scan.js';
import { tablesOf, type Verdict } from '../../src/sql/verdict.js';
import { describeVerdict, latin1 } from '../sql/describe-verdict.js';
import { LiveTruth, type Truth } from '../sql/live-truth.js';
import { RawSession } from '../sql/raw-session.js';
import { tablesFor, type Variant, VariantMaker } from '../sql/variants.js';
import { classifyUnderAll } from '../support/classify.js';
import { seededRandom } from '../support/dice.js';
import { onServers } from '../support/on-servers.js';
import type { TestServer } from '../support/servers.js';

const SEED = 20_261_120;
const VARIANTS = 300;

/** As the server counts: 90704 for 9.7.4. */
function baseOf(server: TestServer) {
  const [major = 0, minor = 0, patch = 0] = server.version.split(/[.-]/).map(Number);
  return { flavour: server.flavour, versionId: major * 10_000 + minor * 100 + patch };
}

onServers('recognition on $name', (server, on) => {
  const { test: onOne } = on;

  onOne(
    'the charsets of clients have the blanks, and the bytes that make -- a comment, that are written down (wire 10)',
    async () => {
      const session = await RawSession.open(server, false);
      const [charsets] = await session.query('SHOW CHARACTER SET');
      for (const [name = ''] of charsets?.rows ?? []) {
        const [set] = await session.query(`SET NAMES ${name}`);
        const charset = clientCharsetOf(name ?? '');
        if (set?.errno !== 0) {
          expect(name).toMatch(/^(ucs2|utf16|utf16le|utf32)$/);
          continue;
        }
        expect([name, charset]).not.toContain(null);
        const table = CHARSET_TABLES[charset ?? 'plain'];
        for (let byte = 0x7f; byte < 0x100; byte++) {
          const letter = String.fromCharCode(byte);
          const [blank] = await session.query(Buffer.from(`DO${letter}1`, 'latin1'));
          const [dashes] = await session.query(Buffer.from(`DO 1 --${letter}x ,,`, 'latin1'));
          const found = [blank?.errno === 0, dashes?.errno === 0];
          expect([name, byte, ...found]).toEqual([
            ...[name, byte, table.isBlank[byte], table.isAfterDashes[byte]],
          ]);
        }
      }
      session.close();
    },
  );

  onOne(
    `${VARIANTS} variants of drops destroy what recognition says (seed ${SEED}) (wire 5, 6, 7, 8, 9, 10)`,
    async () => {
      const truth = await LiveTruth.open(server);
      const maker = new VariantMaker(seededRandom(SEED));
      const wrong: string[] = [];
      let dropped = 0;
      for (let count = 0; count < VARIANTS; count++) {
        const variant = maker.next();
        const real = await truth.run(variant);
        if (real === null) continue;
        if (real.gone.length > 0) dropped++;
        wrong.push(...differences(variant, real, server));
      }
      await truth.close();
      expect(wrong).toEqual([]);
      expect(dropped).toBeGreaterThan(VARIANTS / 8);
    },
  );
});

/** What is wrong with the verdict on a variant, in the light of what the server did. */
function differences(variant: Variant, real: Truth, server: TestServer): readonly string[] {
  const base = baseOf(server);
  const bytes = Buffer.from(variant.text, 'latin1');
  const known = modeFromSqlMode(base, real.sqlMode, variant.charset);
  const verdict = classifyUnderAll(bytes, known, variant);
  const wrong: string[] = [];
  const say = (what: string) => {
    const answers = real.answers.map(({ errno }) => errno).join(' ');
    wrong.push(
      `${what}: ${JSON.stringify(variant)} is ${describeVerdict(verdict)}; ` +
        `gone: ${real.gone.join(' ')}; errors: ${answers}`,
    );
  };
  if (verdict.kind === 'disagree') {
    // Only a version comment for Galera is in doubt where the mode is known.
    if (!variant.text.includes('99997')) say('not understood');
    return wrong;
  }
  const guessed = classifyUnderAll(bytes, base, variant);
  if (guessed.kind !== 'disagree' && !isDeepStrictEqual(guessed, verdict)) say('guessed otherwise');
  if (verdict.kind !== 'not-ours' && !mayBeOurs(bytes, 0, bytes.length)) say('not looked at');
  const problem = contradiction(verdict, variant, real, server);
  if (problem !== null) say(problem);
  return wrong;
}

function contradiction(verdict: Verdict, variant: Variant, real: Truth, server: TestServer) {
  const gone = new Set(real.gone);
  const errno = real.answers.at(-1)?.errno;
  const here = tablesOf(verdict).filter(
    ({ schema }) => schema === null || latin1(schema) === 'here',
  );
  const names = new Set(here.map(({ table }) => latin1(table)));
  switch (verdict.kind) {
    case 'not-ours':
      return gone.size > 0 ? 'a table is lost' : null;
    case 'drop-table': {
      const isDone = errno === 0 || (errno === 1051 && !dropsAllOrNothing(server));
      const there = new Set([...tablesFor(variant.charset), ...gone]);
      const expected = isDone ? [...names].filter((name) => there.has(name)) : [];
      const isSame = expected.length === gone.size && expected.every((name) => gone.has(name));
      return isSame ? null : 'other tables';
    }
    case 'refused': {
      const text = describeVerdict(verdict);
      // What is in a block, or under SET STATEMENT, isn't read.
      const isComplete = !/dynamic|unclear|compound|set-statement/.test(text);
      return isComplete && [...gone].some((name) => !names.has(name))
        ? 'a table is not named'
        : null;
    }
    default:
      return null;
  }
}

/** MySQL from 8.0 on. */
function dropsAllOrNothing({ flavour, version }: TestServer): boolean {
  return flavour === 'mysql' && Number.parseInt(version, 10) >= 8;
}
