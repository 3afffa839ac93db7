/** The statements of undrop's own: what they are read as, and where they stop being one. */
import { describe, expect, test } from '@jest/globals';
import { NAMES_MAX } from '../../src/sql/reading.js';
import {
  hasUndo,
  isProtected,
  type Protection,
  type UndoStatement,
} from '../../src/sql/verdict.js';
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
  ['FLASHBACK TABLE a TO BEFORE DROP', 'undrop a'],
  ['FLASHBACK TABLE a, d.b TO BEFORE DROP', 'undrop a d.b'],
  ['FLASHBACK TABLE a TO BEFORE DROP RENAME TO b', 'undrop a to b'],
  ['UNDROP DATABASE d', 'schema d'],
  ['UNDROP SCHEMA `d` TO d2', 'schema d to d2'],
  ['SHOW DROPPED TABLES', 'show * *'],
  ['SHOW DROPPED TABLES FROM d', 'show d *'],
  ["SHOW DROPPED TABLES IN d LIKE 'a\\_%'", 'show d a\\_%'],
  ["SHOW DROPPED TABLES LIKE '%'", 'show * %'],
  ['EXPLAIN DROP TABLE IF EXISTS a, d.b', 'explain a d.b if-exists'],
  ['EXPLAIN DROP TABLE a CASCADE', 'explain a'],
  ['EXPLAIN DROP DATABASE IF EXISTS d', 'explain schema d if-exists'],
];

const WRONG: readonly (readonly [sql: string, rest: string])[] = [
  ['UNDROP TABLE', ''],
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
  ['FLASHBACK TABLE a TO AFTER DROP', 'AFTER DROP'],
  ['FLASHBACK TABLE a, b TO BEFORE DROP RENAME TO c', 'RENAME TO c'],
  ['SHOW DROPPED TABLE', 'TABLE'],
  ['SHOW DROPPED TABLES FROM', ''],
  ['SHOW DROPPED TABLES LIKE a', 'a'],
  ["SHOW DROPPED TABLES LIKE 'a' FROM d", 'FROM d'],
  ["SHOW DROPPED TABLES LIKE _latin1'a'", "_latin1'a'"],
  ['EXPLAIN DROP TABLE a b', 'b'],
  ['EXPLAIN DROP DATABASE', ''],
];

const read = (sql: string, options = OPTIONS) =>
  classify(Buffer.from(sql), lexMode('mariadb-10.11'), options);

describe('a statement of undrop’s own', () => {
  test.each(READ)('%s', (sql, expected) => {
    const verdict = read(sql);
    expect(verdict.kind === 'undo' ? described(verdict.statement) : verdict).toBe(expected);
  });

  test.each(WRONG)('%s is wrong from there on', (sql, rest) => {
    const verdict = read(sql);
    const statement = verdict.kind === 'undo' ? verdict.statement : null;
    expect(statement?.kind).toBe('syntax-error');
    expect(sql.slice(statement?.kind === 'syntax-error' ? statement.at : 0)).toBe(rest);
  });

  test('is read the same on MySQL, and by a session that takes one statement', () => {
    for (const [sql, expected] of READ) {
      const verdict = classify(Buffer.from(sql), lexMode('mysql-9.7'), {
        ...OPTIONS,
        multiStatements: false,
      });
      expect(verdict.kind === 'undo' ? described(verdict.statement) : verdict).toBe(expected);
    }
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

/** `undrop d.a b to c`. */
function described(statement: UndoStatement): string {
  const text = (bytes: Uint8Array | null) => (bytes === null ? '*' : Buffer.from(bytes).toString());
  const name = ({ schema, table }: { schema: Uint8Array | null; table: Uint8Array }) =>
    schema === null ? text(table) : `${text(schema)}.${text(table)}`;
  switch (statement.kind) {
    case 'undrop-table':
    case 'undrop-id': {
      const { to, swap } = statement;
      const what =
        statement.kind === 'undrop-id'
          ? `id ${statement.id}`
          : `undrop ${statement.names.map(name).join(' ')}`;
      return `${what}${to === null ? '' : ` to ${name(to)}`}${swap ? ' swap' : ''}`;
    }
    case 'undrop-database':
      return `schema ${text(statement.schema)}${statement.to ? ` to ${text(statement.to)}` : ''}`;
    case 'show-dropped':
      return `show ${text(statement.schema)} ${text(statement.like)}`;
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
