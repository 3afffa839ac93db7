/** The statements of undrop's own: what they are read as, and where they stop being one. */

import type { Protection } from '../../src/sql/destroying.js';
import { NAMES_MAX } from '../../src/sql/reading.js';
import type { UndoStatement, UndoTarget } from '../../src/sql/verdict.js';
import { hasUndo, isProtected } from '../../src/sql/verdict.js';
import { classify } from '../support/classify.js';
import { lexMode } from './describe-verdict.js';

const ALL = new Set<Protection>(['drop-table', 'drop-database', 'create-or-replace']);
const OPTIONS = { multiStatements: true, protect: ALL };

const READ: readonly (readonly [sql: string, expected: string])[] = [
  ['UNDROP TABLE a', 'undrop a'],
  ['undrop table d.a , `b``c` ;', 'undrop d.a b`c'],
  ['UNDROP TABLES a, b SWAP', 'undrop a b swap'],
  ['UNDROP TABLE a TO d2.new', 'undrop a to d2.new'],
  ['/* x */ UNDROP /*!TABLE*/ a -- y', 'undrop a'],
  ["UNDROP TABLE '0193ab'", 'id 0193ab'],
  ["UNDROP TABLE '0193ab' SWAP", 'id 0193ab swap'],
  ["UNDROP TABLE '0193ab' TO b", 'id 0193ab to b'],
  ['UNDROP DATABASE d', 'database d * * * * *'],
  ['UNDROP SCHEMA `d` TO d2', 'database d * * * * d2'],
  ["UNDROP TABLE a BEFORE '2026-11-26 14:00'", 'undrop a before 2026-11-26 14:00'],
  ["UNDROP TABLE a BEFORE '14:00' TO b", 'undrop a before 14:00 to b'],
  ['UNDROP TABLE a, b WITH KEYS', 'undrop a b keys'],
  ['UNDROP TABLE a SWAP WITH KEYS', 'undrop a swap keys'],
  ["UNDROP ALL SINCE '14:00'", 'all  * 14:00 * * *'],
  [
    "UNDROP ALL FROM a, `b` SINCE '1' UNTIL '2' BY 'u' SWAP PARTIAL",
    'all a,b * 1 2 u * swap partial',
  ],
  ["UNDROP ALL SINCE '2 hours ago' TO SCHEMA c", 'all  * 2 hours ago * * c'],
  ["UNDROP DROP '0193ab' TO DATABASE c", 'drop  0193ab * * * c'],
  ['UNDROP DATABASE d SWAP', 'database d * * * * * swap'],
  ['EXPLAIN UNDROP DATABASE d', 'explain database d * * * * *'],
  ["EXPLAIN UNDROP ALL SINCE '1' SWAP", 'explain all  * 1 * * * swap'],
  ["HOLD TABLE a FOR '30d'", 'hold a for 30d'],
  ["hold table '0193ab' until '2026-12-31 00:00'", 'hold id 0193ab until 2026-12-31 00:00'],
  ['PURGE TABLE d.a', 'purge d.a'],
  ["PURGE TABLE '0193ab'", 'purge id 0193ab'],
  ['PURGE DATABASE d', 'purge-database d'],
  ['SHOW FULL DROPPED TABLES', 'show full * *'],
  ['SHOW DROPPED DATABASES', 'show databases * *'],
  ['SHOW DROPPED SCHEMAS', 'show databases * *'],
  ["SHOW DROPPED SCHEMAS LIKE 'a%'", 'show databases * a%'],
  ["SHOW DROPPED TABLES BY 'app' SINCE '14:00'", 'show * * by app since 14:00'],
  ['SHOW DROPPED TABLES order by size', 'show * * largest'],
  [
    "SHOW FULL DROPPED TABLES FROM d LIKE 'a' BY 'u' SINCE '2026-11-26' ORDER BY SIZE LIMIT 0;",
    'show full d a by u since 2026-11-26 largest limit 0',
  ],
  ['EXPLAIN UNDROP TABLE a, d.b SWAP', 'explain undrop a d.b swap'],
  ["EXPLAIN UNDROP TABLE '0193ab' TO d.c", 'explain id 0193ab to d.c'],
  ['SHOW DROPPED TABLES', 'show * *'],
  ['SHOW DROPPED TABLES FROM d', 'show d *'],
  ["SHOW DROPPED TABLES IN d LIKE 'a\\_%'", 'show d a\\_%'],
  ['EXPLAIN DROP TABLE IF EXISTS a, d.b', 'explain a d.b if-exists'],
  ['EXPLAIN DROP TABLE a CASCADE', 'explain a'],
  ['EXPLAIN DROP DATABASE IF EXISTS d', 'explain schema d if-exists'],
];

const WRONG: readonly (readonly [sql: string, rest: string])[] = [
  ['UNDROP', ''],
  ['UNDROP orders', 'orders'],
  ['UNDROP TABLE', ''],
  ['UNDROP ALL', ''],
  ["UNDROP ALL UNTIL '14:00'", ''],
  ["UNDROP ALL SINCE '14:00' TO c", 'TO c'],
  ['UNDROP DROP a', 'a'],
  ['UNDROP DATABASE d SWAP x', 'x'],
  ['UNDROP TABLE a BEFORE b', 'b'],
  ['UNDROP TABLE a WITH ROWS', 'WITH ROWS'],
  ["UNDROP TABLE a, b BEFORE '14:00'", "BEFORE '14:00'"],
  ['HOLD x', 'x'],
  ["HOLD shop.orders FOR '3d'", "shop.orders FOR '3d'"],
  ['PURGE TABLES', 'TABLES'],
  ['HOLD TABLE a', ''],
  ["HOLD TABLE a, b FOR '1d'", ", b FOR '1d'"],
  ['HOLD TABLE a FOR 3', '3'],
  ['PURGE TABLE', ''],
  ['PURGE TABLE a NOW', 'NOW'],
  ['PURGE DATABASE', ''],
  ['PURGE RECYCLEBIN', 'RECYCLEBIN'],
  ['SHOW DROPPED', ''],
  ['SHOW FULL DROPPED', ''],
  ["SHOW DROPPED TABLES WHERE Table = 'a'", "WHERE Table = 'a'"],
  ["SHOW DROPPED TABLES FROM d BY 'u' LIKE 'a'", "LIKE 'a'"],
  ['SHOW DROPPED TABLES BY app', 'app'],
  ['SHOW DROPPED TABLES SINCE 14', '14'],
  ["SHOW DROPPED TABLES SINCE BY 'u'", "BY 'u'"],
  ['SHOW DROPPED TABLES ORDER BY', ''],
  ['SHOW DROPPED TABLES ORDER BY Bytes DESC', 'Bytes DESC'],
  ['SHOW DROPPED TABLES LIMIT', ''],
  ['SHOW DROPPED TABLES LIMIT -1', '-1'],
  ['SHOW DROPPED TABLES LIMIT ?', '?'],
  ['SHOW DROPPED TABLES LIMIT 5, 10', ', 10'],
  ['SHOW DROPPED DATABASES LIMIT 1', 'LIMIT 1'],
  ['SHOW DROPPED DATABASES FROM d', 'FROM d'],
  ['UNDROP TABLE a b', 'b'],
  ['UNDROP TABLE a,', ''],
  ['UNDROP TABLE a, select', 'select'],
  ['UNDROP TABLE a TO', ''],
  ['UNDROP TABLE a, b TO c', 'TO c'],
  ['UNDROP TABLE a SWAP TO c', 'TO c'],
  ["UNDROP TABLE a, '0193'", "'0193'"],
  ["UNDROP TABLE a 'b", "'b"],
  ['UNDROP DATABASE d, e', ', e'],
  ['UNDROP DATABASE d TO', ''],
  ['SHOW DROPPED TABLE', 'TABLE'],
  ['SHOW DROPPED TABLES FROM', ''],
  ['SHOW DROPPED TABLES LIKE a', 'a'],
  ["SHOW DROPPED TABLES LIKE 'a' FROM d", 'FROM d'],
  ["SHOW DROPPED TABLES LIKE _latin1'a'", "_latin1'a'"],
  ['EXPLAIN DROP TABLE a b', 'b'],
  ['EXPLAIN DROP DATABASE', ''],
  ['EXPLAIN UNDROP', ''],
  ['EXPLAIN UNDROP TABLE a b', 'b'],
];

const read = (sql: string) => classify(Buffer.from(sql), lexMode('mariadb-10.11'), OPTIONS);

describe('a statement of undrop’s own', () => {
  test.each(READ)('%s', (sql, expected) => {
    // The same on MySQL, and of a session that takes one statement.
    const single = { ...OPTIONS, multiStatements: false };
    const onMysql = classify(Buffer.from(sql), lexMode('mysql-9.7'), single);
    for (const verdict of [read(sql), onMysql]) {
      expect(verdict.kind === 'undo' ? described(verdict.statement) : verdict).toBe(expected);
    }
  });

  test.each(WRONG)('%s is wrong from there on', (sql, rest) => {
    const verdict = read(sql);
    const statement = verdict.kind === 'undo' ? verdict.statement : null;
    expect(statement?.kind).toBe('syntax-error');
    expect(sql.slice(statement?.kind === 'syntax-error' ? statement.at : 0)).toBe(rest);
  });

  test('names no more tables than a drop may', () => {
    const names = Array.from({ length: NAMES_MAX + 1 }, (_, index) => `t${index}`).join(', ');
    expect(read(`UNDROP TABLE ${names}`)).toMatchObject({ kind: 'unclear', tooMany: 'names' });
  });

  test('is ours while anything is protected, alone and among others', () => {
    for (const sql of ['UNDROP TABLE a', 'DO 1; SHOW DROPPED TABLES']) {
      expect(hasUndo(read(sql))).toBe(true);
      expect(isProtected(read(sql), new Set(['drop-database']))).toBe(true);
      expect(isProtected(read(sql), new Set())).toBe(false);
    }
    expect(hasUndo(read('DO 1; DROP TABLE a'))).toBe(false);
  });
});

test.each([
  ...['PURGE BINARY LOGS TO "x"', 'PURGE MASTER LOGS BEFORE NOW()', 'SHOW FULL TABLES'],
  ...['SHOW TABLES', 'SELECT * FROM _undrop.ledger', 'EXPLAIN SELECT 1'],
  'EXPLAIN TRUNCATE TABLE a',
])('%s is the server’s', (sql) => expect(read(sql)).toEqual({ kind: 'not-ours' }));

const text = (bytes: Uint8Array | null) => (bytes === null ? '*' : Buffer.from(bytes).toString());
const name = ({ schema, table }: { schema: Uint8Array | null; table: Uint8Array }) =>
  schema === null ? text(table) : `${text(schema)}.${text(table)}`;
const target = ({ id, names }: UndoTarget) =>
  id === null ? names.map(name).join(' ') : `id ${id}`;

/** `undrop d.a b to c`. */
function described(statement: UndoStatement): string {
  switch (statement.kind) {
    case 'undrop-table': {
      const { to, swap, keys, id, before } = statement;
      const when = before === null ? '' : ` before ${text(before)}`;
      const what = `${id === null ? 'undrop ' : ''}${target(statement)}${when}`;
      const explained = statement.explains ? 'explain ' : '';
      return `${explained}${what}${to === null ? '' : ` to ${name(to)}`}${swap ? ' swap' : ''}${keys ? ' keys' : ''}`;
    }
    case 'undrop-many': {
      const { what, schemas, id, since, until, user, swap, toSchema, partial } = statement;
      const words = [id, since, until, user, toSchema].map(text).join(' ');
      const how = `${swap ? ' swap' : ''}${partial ? ' partial' : ''}`;
      return `${statement.explains ? 'explain ' : ''}${what} ${schemas.map(text).join()} ${words}${how}`;
    }
    case 'undrop-definition':
      return `${statement.object} ${name(statement.name)}${statement.swap ? ' swap' : ''}`;
    case 'hold':
      return `hold ${target(statement)} ${statement.how} ${text(statement.time)}`;
    case 'purge':
      return `purge ${target(statement)}`;
    case 'purge-database':
      return `purge-database ${text(statement.schema)}`;
    case 'show-dropped':
      return shown(statement);
    case 'explain-drop-table': {
      const { names, ifExists } = statement.drop;
      return `explain ${names.map(name).join(' ')}${ifExists ? ' if-exists' : ''}`;
    }
    case 'explain-drop-database':
      return `explain schema ${text(statement.schema)}${statement.ifExists ? ' if-exists' : ''}`;
    case 'syntax-error':
      return `wrong at ${statement.at}`;
  }
}

function shown(statement: UndoStatement & { readonly kind: 'show-dropped' }): string {
  const { what, schema, like, user, since, isBySize, limit } = statement;
  return [
    ...[
      'show',
      { tables: '', 'full-tables': 'full', databases: 'databases', objects: 'objects' }[what],
    ],
    ...[text(schema), text(like)],
    user === null ? '' : `by ${text(user)}`,
    since === null ? '' : `since ${text(since)}`,
    isBySize ? 'largest' : '',
    limit === null ? '' : `limit ${limit}`,
  ]
    .filter((part) => part !== '')
    .join(' ');
}
