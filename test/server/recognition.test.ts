/**
 * Recognition against reality: every statement is run on a real server, unguarded, and the tables
 * that are gone afterwards are compared with what recognition said of the text. First the corpus,
 * then variants of drops and of what looks like them, made from a fixed seed.
 */
import { isDeepStrictEqual } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { CHARSET_TABLES, clientCharsetOf } from '../../src/sql/lex/client-charset.js';
import { hypotheses, modeFromSqlMode } from '../../src/sql/lex/lex-mode.js';
import { mayBeOurs } from '../../src/sql/trigger-scan.js';
import { tablesOf, type Verdict } from '../../src/sql/verdict.js';
import { type CorpusCase, corpusCases } from '../sql/corpus.js';
import { describeVerdict, latin1, type ServerKey } from '../sql/describe-verdict.js';
import { LiveTruth, type Truth } from '../sql/live-truth.js';
import { RawSession } from '../sql/raw-session.js';
import { tablesFor, type Variant, VariantMaker } from '../sql/variants.js';
import { classify, classifyStatements, classifyUnderAll } from '../support/classify.js';
import { seededRandom } from '../support/dice.js';
import { onServers } from '../support/on-servers.js';
import { sample } from '../support/sample.js';
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

  describe('the charsets of clients', () => {
    onOne(
      'have the blanks, and the bytes that make -- a comment, that are written down (wire 10)',
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
  });

  describe('the corpus', () => {
    const cases = corpusCases()
      .filter(({ on, live }) => live !== false && on.includes(server.name as ServerKey))
      .map((case_) => ({ title: JSON.stringify(case_.sql).slice(0, 120), case_ }));
    const taken = sample(cases, { name: server.name, share: 0.12 });
    const made = new Set<string>();
    let admin: RawSession;
    beforeAll(async () => {
      admin = await RawSession.open(server, false);
      await admin.query('SET NAMES utf8mb4');
    });
    afterAll(async () => {
      for (const schema of made) await admin.query(`DROP DATABASE IF EXISTS ${quote(schema)}`);
      admin.close();
    });

    test.each(taken)('$title destroys what recognition says (wire 5, 6, 7)', async ({ case_ }) => {
      await checkCase(case_, server, { admin, made });
    });
  });

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

/** Runs one statement of the corpus where all tables that it names are, and compares. */
async function checkCase(
  case_: CorpusCase,
  server: TestServer,
  { admin, made }: { readonly admin: RawSession; readonly made: Set<string> },
): Promise<void> {
  const bytes = Buffer.from(case_.sql);
  const options = { multiStatements: case_.multiStatements === true };
  const session = await RawSession.open(server, options.multiStatements);
  await session.query('SET NAMES utf8mb4');
  await session.query(`SET sql_mode='${case_.sqlMode ?? ''}'`);
  const [sqlMode] = await session.query('SELECT @@sql_mode');
  const known = modeFromSqlMode(baseOf(server), sqlMode?.rows[0]?.[0] ?? '', 'utf8mb4');
  const [mode] = hypotheses(known, bytes);
  if (mode === undefined) throw new Error('a mode that is known is one hypothesis');
  const verdict = classify(bytes, mode, options);
  const pieces = classifyStatements(bytes, mode, options);
  const named = pieces
    .flatMap((piece) => tablesOf(piece.verdict))
    .map(({ schema, table }) => ({
      schema: schema === null ? 'corpus' : Buffer.from(schema).toString(),
      table: Buffer.from(table).toString(),
    }));
  const schema = verdict.kind === 'refused' ? verdict.schema : null;
  const inSchema =
    schema === null ? [] : [{ schema: Buffer.from(schema).toString(), table: 'any' }];
  const expected = [...named, ...inSchema];
  const schemas = [...new Set(['corpus', ...expected.map((name) => name.schema)])];
  for (const name of schemas) made.add(name);
  await makeTables(admin, [...expected, { schema: 'corpus', table: 't1' }], case_.notBefore ?? []);
  const before = await markedTables(admin, schemas);
  await session.query('USE corpus');
  const answers = await session.query(bytes);
  session.close();
  const after = new Set(await markedTables(admin, schemas));
  const gone = before.filter((name) => !after.has(name));

  const isDynamic = verdict.kind === 'dynamic';
  const names = expected.map((name) => `${name.schema}.${name.table}`);
  const isTwice = new Set(names).size < names.length && verdict.kind === 'drop-table';
  const runs = !(verdict.kind === 'refused' && verdict.form === 'prepare');
  if (isDynamic) expect(gone.length).toBeLessThanOrEqual(1);
  // What was made are no sequences.
  else if (case_.kind === 'drop-sequence') expect(gone).toEqual([]);
  else if (case_.kind === 'syntax-error') expect(gone).toEqual([]);
  else if (/refused.(compound|set-statement)/.test(describeVerdict(verdict))) {
    expect(gone.length).toBeLessThanOrEqual(1);
  } else if (isTwice) expect([answers.at(-1)?.errno, gone]).toEqual([1066, []]);
  else expect(new Set(gone)).toEqual(new Set(runs ? names.filter(isMade) : []));

  function isMade(name: string): boolean {
    return (
      before.includes(name) || (case_.notBefore ?? []).every((one) => name !== `corpus.${one}`)
    );
  }
}

function quote(name: string): string {
  return `\`${name.replaceAll('`', '``')}\``;
}

interface Name {
  readonly schema: string;
  readonly table: string;
}

/** The tables, with a column that tells them from others of their name. */
async function makeTables(admin: RawSession, names: readonly Name[], notBefore: readonly string[]) {
  const schemas = [...new Set(names.map((name) => name.schema))];
  const there = new Set(await markedTables(admin, schemas));
  for (const { schema, table } of names) {
    const name = `${quote(schema)}.${quote(table)}`;
    if (!there.has(`${schema}.${table}`)) {
      await admin.query(`CREATE DATABASE IF NOT EXISTS ${quote(schema)} CHARACTER SET utf8`);
      await admin.query(`DROP TABLE IF EXISTS ${name}`);
      await admin.query(`CREATE TABLE ${name} (undrop_marker INT) ENGINE=MyISAM`);
      there.add(`${schema}.${table}`);
    }
    if (notBefore.includes(table)) await admin.query(`DROP TABLE ${name}`);
  }
}

async function markedTables(admin: RawSession, schemas: readonly string[]): Promise<string[]> {
  const list = schemas.map((schema) => `'${schema.replaceAll("'", "''")}'`);
  const [answer] = await admin.query(
    `SELECT CONCAT(table_schema, '.', table_name) FROM information_schema.columns
      WHERE column_name = 'undrop_marker' AND table_schema IN (${list.join(', ')})`,
  );
  // Cells come as latin1 text of what is UTF-8.
  return (answer?.rows ?? []).map(([name]) => Buffer.from(name ?? '', 'latin1').toString());
}

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
      const isDone = errno === 0 || (errno === 1051 && server.name !== 'mysql-9.7');
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
