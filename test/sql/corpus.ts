/**
 * The corpus: statements as ORMs, migration and backup tools, people and adversaries send them,
 * each with what it is and the servers on which that holds.
 */

import type { Protection } from '../../src/sql/destroying.js';
import type { LexMode } from '../../src/sql/lex/lex-mode.js';
import { readText } from '../support/source-file.js';
import { lexMode, type ServerKey } from './describe-verdict.js';

export type CorpusKind =
  | ('drop-table' | 'drop-sequence' | 'drop-view' | 'drop-temporary' | 'drop-partition')
  | ('drop-database' | 'create-or-replace' | 'truncate' | 'multi-statement' | 'hidden-drop')
  | ('syntax-error' | 'not-a-drop');

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
  return JSON.parse(readText('test/golden/corpus_cases.json')) as CorpusCase[];
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

// ── verdict_cases.json ───────────────────────────────────────────────────────────────────────────
// What a statement is, as its servers read it.

interface VerdictGroup {
  readonly about: string;
  readonly on: readonly ServerKey[];
  /** Default true. */
  readonly multiStatements?: boolean;
  readonly protect?: readonly Protection[];
  /** `sql` as latin1, `verdict` in the words of `describeVerdict`. */
  readonly cases: readonly {
    readonly comment?: string;
    readonly sql: string;
    readonly verdict: string;
    readonly mode?: Partial<LexMode>;
  }[];
}

export const verdictGroups: readonly VerdictGroup[] = JSON.parse(
  readText('test/golden/verdict_cases.json'),
);
