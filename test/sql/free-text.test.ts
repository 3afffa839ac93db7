/** Which long texts are relayed unread, by their first bytes. */
import { expect, test } from '@jest/globals';
import { isFreeByHead } from '../../src/sql/free-text.js';

const MYSQL = { flavour: 'mysql', versionId: 90704 } as const;
const MARIADB = { flavour: 'mariadb', versionId: 110809 } as const;
const long = ` VALUES (1, '${'x'.repeat(500)}`;

test.each([
  ['an INSERT', `INSERT INTO t${long}`, true, true],
  [
    'an INSERT with all words',
    `/* a */ insert low_priority ignore into \`a\`.t (b)${long}`,
    true,
    true,
  ],
  ['a REPLACE', `REPLACE shop.t${long}`, true, true],
  ['a query', `SELECT '${'x'.repeat(500)}`, true, false],
  ['a write to a recycle schema', `INSERT INTO _undrop.t${long}`, false, false],
  ['the same within a comment', `INSERT INTO /*!50000 \`_undrop\`. */ t${long}`, false, false],
  ['a name that is cut', 'INSERT INTO _undr', false, false],
  ['a name that may go on', 'INSERT INTO shop', false, false],
  ['a long comment', `/* ${'x'.repeat(500)}`, false, false],
  ['an UPDATE', `UPDATE t SET a = '${'x'.repeat(500)}`, false, false],
  ['a block', `BEGIN NOT ATOMIC INSERT INTO t${long}`, false, false],
  ['a drop', `DROP TABLE t /* ${'x'.repeat(500)}`, false, false],
])('%s', (_name, text, onMysql, onMariadb) => {
  expect(isFreeByHead(Buffer.from(text), MYSQL)).toBe(onMysql);
  expect(isFreeByHead(Buffer.from(text), MARIADB)).toBe(onMariadb);
});
