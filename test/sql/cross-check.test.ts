/** The second opinion agrees with every reading of the corpus, and sees a slip in a list. */
import { readFileSync } from 'node:fs';
import { crossCheck, warmCrossCheck } from '../../src/sql/cross-check.js';
import type { DropTableStatement } from '../../src/sql/verdict.js';
import { classify } from '../support/classify.js';
import fc from '../support/properties.js';
import { rounds } from '../support/sample.js';
import { corpusCases, modeOf } from './corpus.js';
import { lexMode } from './describe-verdict.js';

function dropTable(sql: string): DropTableStatement {
  const verdict = classify(Buffer.from(sql), lexMode('mysql-9.7'), { multiStatements: false });
  if (verdict.kind !== 'drop-table') throw new Error(`${sql} is ${verdict.kind}`);
  return verdict.statement;
}

test('it agrees with every DROP TABLE of the corpus', async () => {
  await warmCrossCheck();
  let count = 0;
  for (const case_ of corpusCases()) {
    if (case_.kind !== 'drop-table') continue;
    for (const server of case_.on) {
      const options = { multiStatements: false };
      const verdict = classify(Buffer.from(case_.sql), modeOf(case_, server), options);
      if (verdict.kind !== 'drop-table') throw new Error(`${case_.sql} is ${verdict.kind}`);
      const text = Buffer.from(case_.sql);
      expect([case_.sql, await crossCheck(verdict.statement, text)]).toEqual([case_.sql, null]);
      count++;
    }
  }
  expect(count).toBeGreaterThan(500);
});

const OWN_TEXTS = [
  ...['DROP TABLE a', ' drop\n table IF EXISTS a , `b c`.`d;e` ;'],
  ...['DROP TABLE a.b, c . d, `1`.`2-3`;\n', 'DROP TABLE IF EXISTS 1a, _b, `table`'],
];

test.each(OWN_TEXTS)('a wrong reading of %j is noticed', async (sql) => {
  const read = dropTable(sql);
  const text = Buffer.from(sql);
  expect(await crossCheck(read, text)).toBeNull();
  const [first, ...others] = read.names;
  if (first === undefined) throw new Error('a drop has a name');
  const wrong: readonly Partial<DropTableStatement>[] = [
    { names: others },
    { names: [...read.names, first] },
    { names: [{ ...first, table: Buffer.from('other') }, ...others] },
    { names: [{ ...first, schema: Buffer.from('other') }, ...others] },
    { ifExists: !read.ifExists },
  ];
  for (const slip of wrong) {
    expect(await crossCheck({ ...read, ...slip }, text)).toContain('second parser reads');
  }
});

/** What the library is known to read otherwise than servers do; and what it takes long over. */
test.each([
  ...['DROP TABLE `a``b`', 'DROP TABLE /*!32312 IF EXISTS */ t', 'DROP TABLE t /*!40000 , u */'],
  ...['DROP TABLE `a\\b`', 'DROP TABLE a$b', 'DROP TABLE `\u00e9`', 'DROP TABLE a RESTRICT'],
  ...['DROP TABLE a CASCADE', 'DROP TABLE a -- b', 'DROP TABLE `a#b`', 'DROP TABLE ifexistsa'],
  ...['DROP TABLE b, ifexists', 'DROP TABLES a'],
  `DROP TABLE a${' '.repeat(8_192)}`,
])('%j is not given to the library as it is', async (sql) => {
  const read = dropTable(sql);
  const slip = { ...read, ifExists: !read.ifExists };
  expect(await crossCheck(slip, Buffer.from(sql))).toBeNull();
});

test('no word as a name makes it refuse an innocent drop', async () => {
  const words =
    readFileSync('src/sql/grammar/table-name.ts', 'utf8').match(/\b[A-Z_]{2,}\b/g) ?? [];
  const more = 'status date time if index view key user role value year temporary exists table';
  let count = 0;
  for (const word of [...new Set([...words, ...more.split(' ')])]) {
    const shapes = [word, `a.${word}`, `${word}.a`, `a, ${word}`, `\`${word}\``];
    for (const sql of shapes.flatMap((s) => [`DROP TABLE ${s}`, `DROP TABLE IF EXISTS ${s};`])) {
      const mode = lexMode('mariadb-11.8');
      const verdict = classify(Buffer.from(sql), mode, { multiStatements: false });
      if (verdict.kind !== 'drop-table') continue;
      expect([sql, await crossCheck(verdict.statement, Buffer.from(sql))]).toEqual([sql, null]);
      count++;
    }
  }
  expect(count).toBeGreaterThan(500);
});

test('no list of plain names does, however it is written', async () => {
  const name = fc.oneof(
    fc.stringMatching(/^[A-Za-z0-9_]{1,12}$/),
    fc.stringMatching(/^[A-Za-z0-9_ .,;-]{1,12}$/).map((text) => `\`${text}\``),
  );
  const blank = fc.constantFrom('', ' ', '\n', '\t ', '\r\n');
  const part = fc.tuple(blank, name, blank).map((parts) => parts.join(''));
  const table = fc.oneof(
    part,
    fc.tuple(part, part).map((both) => both.join('.')),
  );
  const list = fc.array(table, { minLength: 1, maxLength: 5 });
  let count = 0;
  await fc.assert(
    fc.asyncProperty(
      list,
      fc.constantFrom('', 'IF EXISTS', 'if  exists'),
      async (tables, ifExists) => {
        const text = Buffer.from(`DROP TABLE ${ifExists} ${tables.join(',')};`);
        for (const server of ['mysql-9.7', 'mysql-5.6', 'mariadb-11.8'] as const) {
          const verdict = classify(text, lexMode(server), { multiStatements: false });
          if (verdict.kind !== 'drop-table') continue;
          expect([`${text}`, await crossCheck(verdict.statement, text)]).toEqual([`${text}`, null]);
          count++;
        }
      },
    ),
    { numRuns: rounds(1_000, 600) },
  );
  expect(count).toBeGreaterThan(500);
});
