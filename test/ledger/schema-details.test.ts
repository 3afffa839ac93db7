/** What the ledger keeps of a schema that is being dropped, for programs and for people. */

import { howDropped } from '../../src/ledger/entry.js';
import type { SchemaDetails } from '../../src/ledger/schema-details.js';
import { parseSchemaDetails, schemaScript } from '../../src/ledger/schema-details.js';

const DETAILS: SchemaDetails = {
  ...{ charset: 'utf8mb4', collation: 'utf8mb4_bin', comment: null },
  statement: 'CREATE DATABASE `shop`\n  /*!40100 DEFAULT CHARACTER SET utf8mb4 */',
  parts: [],
};

describe('what the ledger keeps of a schema', () => {
  test('comes back as it was written', () => {
    const parts = [{ kind: 'VIEW', name: 'v', statement: null }];
    expect(parseSchemaDetails(JSON.stringify({ ...DETAILS, parts }))).toEqual({
      ...DETAILS,
      parts,
    });
  });

  test('is not taken where a charset is no word', () => {
    const odd = JSON.stringify({ ...DETAILS, charset: 'utf8; DROP' });
    expect(() => parseSchemaDetails(odd)).toThrow('a charset is a word');
  });

  test('is a script for a plain client', () => {
    expect(schemaScript('sh`op', DETAILS)).toBe(
      'CREATE DATABASE `shop` /*!40100 DEFAULT CHARACTER SET utf8mb4 */;\nUSE `sh``op`;\n',
    );
  });

  test('has programs behind a delimiter that is in none of them', () => {
    const parts = [
      { kind: 'PROCEDURE', name: 'p', statement: "CREATE PROCEDURE p() SELECT '$$';", sqlMode: '' },
      { kind: 'EVENT', name: 'e', statement: null },
    ];
    expect(schemaScript('shop', { ...DETAILS, parts }).split('\n')).toEqual([
      '-- Not recorded, because it could not be read, or there were too many: EVENT `e`.',
      'CREATE DATABASE `shop` /*!40100 DEFAULT CHARACTER SET utf8mb4 */;',
      'USE `shop`;',
      '-- Restore its tables now (undrop list), then continue.',
      'DELIMITER $$$',
      "SET SESSION sql_mode = ''",
      '$$$',
      "CREATE PROCEDURE p() SELECT '$$';",
      '$$$',
      'DELIMITER ;',
      '',
    ]);
  });

  test('makes an event in its own time zone', () => {
    const event = { kind: 'EVENT', name: 'e', statement: 'CREATE EVENT e', sqlMode: '' };
    const parts = [{ ...event, timeZone: 'Europe/Berlin' }];
    expect(schemaScript('shop', { ...DETAILS, parts })).toContain(
      "SET SESSION sql_mode = '', time_zone = 'Europe/Berlin'",
    );
  });

  test('reads a view in no mode of a routine', () => {
    const parts = [
      { kind: 'VIEW', name: 'v', statement: 'CREATE VIEW v' },
      { kind: 'FUNCTION', name: 'f', statement: 'CREATE FUNCTION f', sqlMode: 'ORACLE' },
    ];
    const script = schemaScript('shop', { ...DETAILS, parts });
    expect(script.match(/(?<=sql_mode = )'\w*'|CREATE [FV]\w+/g)).toEqual([
      "'ORACLE'",
      'CREATE FUNCTION',
      "''",
      'CREATE VIEW',
    ]);
  });

  test('has a view behind the routines and views that it names', () => {
    const view = (name: string, from: string) => {
      const statement = `CREATE VIEW \`${name}\` AS SELECT * FROM \`shop\`.\`${from}\``;
      return { kind: 'VIEW', name, statement };
    };
    const parts = [
      { kind: 'EVENT', name: 'e', statement: 'CREATE EVENT e' },
      view('a', 'z'),
      view('z', 'orders'),
      view('x', 'y'),
      view('y', 'x'),
      { kind: 'FUNCTION', name: 'f', statement: 'CREATE FUNCTION f' },
    ];
    const made = schemaScript('shop', { ...DETAILS, parts }).match(/(?<=^CREATE )(?!D)\S+ \S+/gm);
    expect(made).toEqual(['FUNCTION f', 'VIEW `z`', 'VIEW `a`', 'VIEW `y`', 'VIEW `x`', 'EVENT e']);
  });
});

// ── how dropped ──────────────────────────────────────────────────────────────────────────────────
// By which kind of statement a table was dropped, by the statement's first words.

test.each([
  ['DROP TABLE orders', 'DROP TABLE'],
  ['drop\n\ttables a, b', 'DROP TABLE'],
  ['DROP DATABASE shop', 'DROP DATABASE'],
  ['/*!40000 DROP DATABASE IF EXISTS `shop`*/', 'DROP DATABASE'],
  ['DROP /*!32312 SCHEMA IF EXISTS*/ shop', 'DROP DATABASE'],
  ['/* app: truncate */ -- all\n# of it\nDROP TABLE IF EXISTS orders', 'DROP TABLE'],
  ['TRUNCATE orders', 'TRUNCATE'],
  // A partition, which earlier versions held.
  ['ALTER TABLE orders DROP PARTITION p1', null],
  ['CREATE /*M!100008 OR REPLACE */ TABLE orders (id INT)', 'REPLACE'],
  ['CREATE OR REPLACE TABLE orders (id INT)', 'REPLACE'],
  ['EXECUTE s', null],
  ['', null],
  [`/*${' '.repeat(300)}`, null],
])('%j: %s', (statementText, expected) => {
  expect(howDropped({ statementText })).toBe(expected);
});
