/**
 * The corpus: statements as ORMs, migration and backup tools, people and adversaries send them,
 * each with what it is and the servers on which that holds.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { LexMode } from '../../src/sql/lex/lex-mode.js';
import { lexMode, type ServerKey } from './describe-verdict.js';

export type CorpusKind =
  | 'drop-table'
  | 'drop-sequence'
  | 'syntax-error'
  | 'not-a-drop'
  | 'hidden-drop'
  | 'multi-statement'
  | 'truncate'
  | 'drop-view'
  | 'drop-temporary'
  | 'drop-partition'
  | 'drop-database'
  | 'create-or-replace';

export interface CorpusCase {
  readonly comment: string;
  readonly sql: string;
  readonly on: readonly ServerKey[];
  readonly sqlMode?: string;
  readonly multiStatements?: boolean;
  readonly kind: CorpusKind;
  /** `[schema or null, table]` in order. */
  readonly tables?: readonly (readonly [string | null, string])[];
  readonly ifExists?: boolean;
  readonly restrict?: boolean;
  readonly cascade?: boolean;
  readonly wait?: string | number;
  readonly schema?: string;
  /** The kinds of the statements of a multi-statement text. */
  readonly parts?: readonly CorpusKind[];
  /** False: not to be run on a server. */
  readonly live?: boolean;
  /** Tables that the text itself makes. */
  readonly notBefore?: readonly string[];
}

export function corpusCases(): readonly CorpusCase[] {
  const folder = join(fileURLToPath(import.meta.url), '../../../../test/golden');
  return JSON.parse(readFileSync(join(folder, 'corpus_cases.json'), 'utf8')) as CorpusCase[];
}

/** The mode that a case is read in. */
export function modeOf(case_: CorpusCase, server: ServerKey): LexMode {
  const sqlMode = case_.sqlMode ?? '';
  return lexMode(server, {
    ansiQuotes: /ANSI_QUOTES|ORACLE|MSSQL/.test(sqlMode),
    noBackslashEscapes: sqlMode.includes('NO_BACKSLASH_ESCAPES'),
    squareBrackets: sqlMode.includes('MSSQL'),
    charset: 'utf8',
  });
}
