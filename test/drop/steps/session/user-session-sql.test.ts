/** Statements of ours on the user's session: exactly these bytes. */
import * as texts from '../../../../src/drop/steps/session/user-session.js';

const name = (schema: string | null, table: string) => ({
  schema: schema === null ? null : Buffer.from(schema),
  table: Buffer.from(table),
});
const dropId = '0195a1b2c3d070008000000000000000';
const utf8 = { dropId, charset: 'utf8' } as const;

describe('names', () => {
  test('are quoted, backticks doubled', () => {
    expect(texts.qualified(name('a`b', "c.d'e"), 'utf8').toString()).toBe("`a``b`.`c.d'e`");
    expect(texts.qualified(name(null, 't'), 'utf8').toString()).toBe('`t`');
  });

  test('are the client’s own bytes: a backtick that is half a character is not doubled', () => {
    const table = Buffer.from([0x81, 0x60, 0x60]);
    const quoted = Buffer.from([0x60, 0x81, 0x60, 0x60, 0x60, 0x60]);
    expect(texts.qualified({ schema: null, table }, 'gbk')).toEqual(quoted);
  });
});

test('a RENAME moves each table within its own schema', () => {
  const moves = [
    { name: name('shop', 'a'), holdName: '_vt_HOLD_1' },
    { name: name(null, 'b'), holdName: '_vt_HOLD_2' },
  ];
  expect(texts.renameSql(moves, { ...utf8, wait: 'WAIT 5' }).toString()).toBe(
    `RENAME /* undrop hold ${dropId} */ TABLE \`shop\`.\`a\` WAIT 5 TO \`shop\`.\`_vt_HOLD_1\`, ` +
      '`b` TO `_vt_HOLD_2`',
  );
});

test('a probe can’t succeed: its schema has a name that nobody has', () => {
  expect(texts.probeSql(name('shop', 't'), utf8).toString()).toBe(
    `RENAME /* undrop probe ${dropId} */ TABLE \`shop\`.\`t\` TO \`_undrop_none_${dropId}\`.\`t\``,
  );
});

test('the words come from a statement that touches temporary tables only', () => {
  const names = [name('shop', 'a'), name('shop', 'b')];
  expect(
    texts.dropTemporarySql(names, { ...utf8, object: 'table', ifExists: true }).toString(),
  ).toBe(
    `DROP /* undrop words ${dropId} */ TEMPORARY TABLE IF EXISTS \`shop\`.\`a\`, \`shop\`.\`b\``,
  );
  const words = texts.dropTemporarySql(names.slice(1), {
    ...utf8,
    object: 'sequence',
    ifExists: false,
  });
  expect(words.toString()).toBe(
    `DROP /* undrop words ${dropId} */ TEMPORARY SEQUENCE \`shop\`.\`b\``,
  );
});

test('MariaDB’s error for a view is raised as it is, whatever the name', () => {
  const text = texts.signalSql(texts.viewSignal({ schema: 'shop', table: "it's; 表" })).toString();
  const [, hex = ''] = /X'([0-9a-f]+)'/.exec(text) ?? [];
  expect(Buffer.from(hex, 'hex').toString()).toBe("'shop.it's; 表' is a view");
  expect(text.replace(hex, '…')).toBe(
    "SIGNAL SQLSTATE '42S02' SET MYSQL_ERRNO = 1965, MESSAGE_TEXT = _utf8mb4 X'…'",
  );
});
