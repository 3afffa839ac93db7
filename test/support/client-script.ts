/**
 * What the clients of the matrix have in common: the job that each is given, the transcript that it
 * hands back, and what is masked in it. Each client has a script of its own, in its own language,
 * and goes on after an error, which it writes down as a user would see it.
 *
 * Invariant: the last line of a script that came to its end is THE_END; a transcript without it is
 * no success, however equal two of them are.
 */
import type { Target } from './servers.js';
import { TOLD_IN_ERROR } from './undo-info.js';

/** Tables that every script drops, and the rows that each has then. */
export const DROPPED_ROWS = { a: 3, b: 2, c: 1, d: 4 } as const;

export const THE_END = 'the end';

export interface ScriptJob {
  readonly target: Target;
  /** Empty, and nobody else's; prepared by `prepareSchema`. */
  readonly schema: string;
  /** Path of a file of three lines, for LOCAL INFILE. */
  readonly infile: string;
  /** The client insists on TLS, and takes any certificate; else it has none, and asks for none. */
  readonly tls: boolean;
}

/** `code`: of a program; 0 for what runs in this process. */
export type Transcript = { readonly code: number | null; readonly text: string };

/** Contents of the file that is loaded: fewer rows than lines that look like commands. */
export const INFILE_TEXT = '1,one\n2,\x03DROP TABLE a\n3,drei größer 漢字\n';

/** What a script finds in its schema. */
export function preparationOf(schema: string): readonly string[] {
  const filled = Object.entries(DROPPED_ROWS).flatMap(([table, rows]) => [
    `CREATE TABLE ${schema}.${table} (id INT PRIMARY KEY, txt VARCHAR(40))`,
    `INSERT INTO ${schema}.${table} VALUES ${Array.from({ length: rows }, (_, row) => `(${row}, 'row')`).join(', ')}`,
  ]);
  return [
    ...filled,
    `CREATE TABLE ${schema}.n (id INT PRIMARY KEY)`,
    `INSERT INTO ${schema}.n VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)`,
    `CREATE TABLE ${schema}.loaded (id INT PRIMARY KEY, txt VARCHAR(40))`,
    `CREATE TABLE ${schema}.kept (id INT PRIMARY KEY, txt VARCHAR(200), amount DECIMAL(10,2),
       at DATETIME, data BLOB)`,
    `CREATE PROCEDURE ${schema}.two() BEGIN SELECT 1 AS one; SELECT id FROM n WHERE id < 3; END`,
  ];
}

/** Ten thousand rows of 100 characters and a little more: a megabyte, in many reads. */
export const BIG_RESULT =
  "SELECT a.id + 10 * b.id + 100 * c.id + 1000 * d.id AS i, REPEAT('x', 100) AS txt " +
  'FROM n AS a, n AS b, n AS c, n AS d ORDER BY i';

/** A row that is larger than every buffer on its way. */
export const BIG_ROW = "SELECT REPEAT('y', 2000000) AS txt";

export const UNICODE = 'Grüße, 漢字, Ωμέγα, 😀';

/** The info text of undrop's, as `mysql` prints it and as drivers have it (UNDROP_NOTE). */
const TOLD =
  /(?:(?<="info":").)?Held until [\d: -]+ UTC\. Undo: UNDROP (?:TABLE <schema>\.[a-d]|DROP '[0-9a-f]{32}')(?:\n|(?="))/g;

/**
 * Thread ids, times, ports and the names of schemas differ between any two runs. A port is a number
 * of its own: its digits may stand in the hash of a result too.
 */
export function masked(text: string, { schema, target, infile }: ScriptJob): string {
  return (
    text
      .replaceAll(schema, '<schema>')
      .replaceAll(infile, '<infile>')
      // The info of mysqli is NULL without one.
      .replaceAll(new RegExp(`,"${TOLD.source}"\\]`, 'g'), ',null]')
      .replaceAll(TOLD, '')
      .replaceAll(TOLD_IN_ERROR, '')
      .replaceAll(new RegExp(`\\b${target.port}\\b`, 'g'), '<port>')
      .replaceAll(/[Cc]onnection id(?: is)?:? *\d+/g, 'connection id <id>')
      .replaceAll(/\(conn:\d+/g, '(conn:<id>')
      .replaceAll(/\b\d+[.,]\d+ sec\b/g, '<time> sec')
      .replaceAll(/\b\d+ min \d+\.?\d* sec\b/g, '<time> sec')
  );
}
