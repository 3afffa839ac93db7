/** Rights by server and tier, and what a stored program does, without a server. */
import { readFileSync } from 'node:fs';
import { classifyProgram, hasRight, parseGrants, type Rights } from '../../src/account/examine.js';
import { createUserSql, grantsFor, needsOf, printStatements } from '../../src/account/grants.js';
import { parseServerVersion } from '../../src/wire/connection/handshake-v10.js';

const ACCOUNT = { user: 'undrop', host: '%' };

const extrasOn = (version: string) =>
  needsOf(parseServerVersion(version))
    .filter(({ isEssential, on }) => !isEssential && on === 'server')
    .map(({ right }) => right);

test.each([
  ['5.6.24-log', ['SUPER']],
  ['5.7.44', ['SUPER']],
  ['8.0.13', ['SUPER', 'SET_USER_ID']],
  ['8.0.36', ['SESSION_VARIABLES_ADMIN', 'SET_USER_ID', 'SUPER', 'SYSTEM_USER']],
  ['9.7.4', ['SESSION_VARIABLES_ADMIN', 'SET_ANY_DEFINER', 'SUPER', 'SYSTEM_USER']],
  ['5.5.5-10.4.30-MariaDB', ['SUPER']],
  ['5.5.5-10.11.19-MariaDB-log', ['BINLOG ADMIN', 'SET USER', 'SUPER']],
])('the full tier on %s has %j beyond the others', (version, extras) => {
  expect(extrasOn(version)).toEqual(extras);
});

test.each([
  ['5.7.44', true, 'tables with triggers stay in their own schema'],
  ['9.7.4', true, 'triggers come back only by UNDROP'],
  ['9.7.4', false, 'triggers, views and programs of other definers come back only by'],
])('without SUPER on %s (triggers take it: %s) %s', (version, triggersTakeSuper, said) => {
  const needs = needsOf({ ...parseServerVersion(version), triggersTakeSuper });
  expect(needs.find(({ right }) => right === 'SUPER')?.without).toContain(said);
});

test('a name with a pattern’s letters is granted as itself, and an account is quoted', () => {
  const server = parseServerVersion('5.6.24');
  const options = { tier: 'least', schemas: ['my_shop%', 'a`b'], isLiteral: false } as const;
  const account = { user: "o'brien", host: '10.%' };
  const made = createUserSql(account, "it's", { requiresTls: false, server });
  const text = printStatements(account, made, grantsFor(server, options));
  expect(text).toContain("CREATE USER 'o''brien'@'10.%' IDENTIFIED BY 'it''s';");
  expect(text).toContain('ON `my\\_shop\\%`.* TO');
  expect(text).toContain('ON `a``b`.* TO');
  expect(text).toContain('ON `\\_undrop%`.* TO');
});

test('the compose file makes the account that init makes', () => {
  const compose = readFileSync('deploy/compose/service-account.sh', 'utf8');
  const server = parseServerVersion('9.7.4');
  const grants = grantsFor(server, { tier: 'managed', schemas: [], isLiteral: false });
  for (const grant of grants) {
    expect(compose).toContain(printStatements(ACCOUNT, [], [grant]).split('  --')[0]);
  }
  expect(compose.match(/GRANT /g)).toHaveLength(grants.length);
});

test('with partial revokes each of our own schemas is named', () => {
  const options = { tier: 'least', schemas: ['my_shop'], isLiteral: true } as const;
  const schemas = grantsFor(parseServerVersion('9.7.4'), options).map(({ schema }) => schema);
  expect(schemas).toEqual(expect.arrayContaining([null, '_undrop', '_undrop_local', 'my_shop']));
  expect(schemas).not.toContain('\\_undrop%');
});

describe('a right', () => {
  const rights = (isLiteral: boolean): Rights => ({
    account: 'undrop@%',
    ...parseGrants([
      'GRANT PROCESS ON *.* TO `undrop`@`%`',
      'GRANT DROP ON `my\\_shop`.* TO `undrop`@`%`',
      'GRANT SELECT, DROP ON `w%x_`.* TO `undrop`@`%`',
      'GRANT DROP ON `other`.`t` TO `undrop`@`%`',
    ]),
    isLiteral,
  });

  test.each([
    ['my_shop', true],
    ['myxshop', false],
    ['wabcxy', true],
    ['wabcx', false],
    ['other', false],
  ])('on %s by patterns: %s', (schema, isThere) => {
    expect(hasRight(rights(false), 'DROP', schema)).toBe(isThere);
    expect(hasRight(rights(false), 'PROCESS', schema)).toBe(true);
  });

  test('is not there where it is revoked', () => {
    // Of MySQL 9.7.4.
    const grants = parseGrants([
      'GRANT DROP, ALTER ON *.* TO `u`@`%`',
      'GRANT BACKUP_ADMIN,SYSTEM_USER ON *.* TO `u`@`%`',
      'REVOKE DROP, SHOW VIEW ON `we``i rd`.* FROM `u`@`%`',
    ]);
    const some: Rights = { account: 'u@%', ...grants, isLiteral: true };
    expect(hasRight(some, 'SYSTEM_USER', null)).toBe(true);
    expect(hasRight(some, 'DROP', 'we`i rd')).toBe(false);
    expect(hasRight(some, 'ALTER', 'we`i rd')).toBe(true);
    expect(hasRight(some, 'DROP', 'shop')).toBe(true);
  });

  test('by names alone where there are no patterns', () => {
    expect(hasRight(rights(true), 'DROP', 'wabcxy')).toBe(false);
    expect(hasRight(rights(true), 'DROP', 'w%x_')).toBe(true);
  });
});

test.each([
  ['BEGIN DROP TABLE a; END', '', 'drops'],
  ['BEGIN dRoP -- \n tables a; END', '', 'drops'],
  ['DROP DATABASE d', '', 'drops'],
  ['CREATE OR REPLACE TABLE t (a INT)', '', 'drops'],
  ['BEGIN REPLACE INTO t VALUES (1); DROP TEMPORARY TABLE t; END', '', null],
  ['SELECT \'DROP TABLE a\', `DROP`, "TABLE"', '', null],
  ["SELECT '\\' DROP TABLE a '", '', null],
  ["SELECT '\\'; DROP TABLE a; '", 'NO_BACKSLASH_ESCAPES', 'drops'],
  ['BEGIN PREPARE s FROM @s; EXECUTE s; END', '', 'may drop'],
  ['BEGIN DROP PREPARE s; END', '', null],
  ["EXECUTE IMMEDIATE 'x'", '', 'may drop'],
] as const)('a program with %j under %j: %s', (body, mode, does) => {
  expect(classifyProgram(body, parseServerVersion('5.5.5-10.11.19-MariaDB'), mode)).toBe(does);
});
