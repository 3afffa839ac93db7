/** The words by which a long text is read: which statements have to be seen to their ends. */

/** Statements that have to be seen whole: they may be ours, or hold a `;` that doesn't end them. */
export const WHOLE = ['DROP', 'TRUNCATE', 'PREPARE', 'EXECUTE', 'SET', 'CREATE', 'ALTER', 'USE'];
export const WHOLE_OF_MARIADB = [
  'BEGIN',
  'IF',
  'CASE',
  'LOOP',
  'WHILE',
  'REPEAT',
  'FOR',
  'DECLARE',
];
/** Where nothing may follow them, these are all that is run, and write nothing on MySQL. */
export const FREE = ['SELECT', 'VALUES'];
/** In these a DROP stands for something else. */
export const NEVER_OURS = ['ALTER', 'EXPLAIN', 'DESCRIBE', 'DESC'];
/** What is destroyed by an ALTER TABLE. */
export const PARTITION = ['PARTITION'];
/** The words behind CREATE and ALTER that begin neither a program nor OR REPLACE. */
export const PLAIN_OBJECTS = [
  ...['TABLE', 'TEMPORARY', 'INDEX', 'UNIQUE', 'FULLTEXT', 'SPATIAL', 'VIEW', 'USER', 'ROLE'],
  ...['DATABASE', 'SCHEMA', 'ONLINE', 'OFFLINE', 'IGNORE'],
];
