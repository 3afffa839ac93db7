/** The cases of test/golden/verdict_cases.json: what a statement is, as its servers read it. */
import { readFileSync } from 'node:fs';
import type { LexMode } from '../../src/sql/lex/lex-mode.js';
import type { Protection } from '../../src/sql/verdict.js';
import type { ServerKey } from './describe-verdict.js';

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
  readFileSync('test/golden/verdict_cases.json', 'utf8'),
);
