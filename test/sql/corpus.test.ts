/** The corpus, each statement read as each of its servers reads it. */
import { isDeepStrictEqual } from 'node:util';
import { mayBeOurs } from '../../src/sql/trigger-scan.js';
import { doesPass, type StatementPart, type Verdict } from '../../src/sql/verdict.js';
import { classify, classifyStatements, classifyUnderAll } from '../support/classify.js';
import { type CorpusCase, type CorpusKind, corpusCases, modeOf } from './corpus.js';
import { describeVerdict, latin1, SERVER_MODES } from './describe-verdict.js';

const INNOCENT: ReadonlySet<CorpusKind> = new Set<CorpusKind>([
  ...(['not-a-drop', 'truncate', 'drop-view', 'drop-temporary', 'drop-partition'] as const),
]);

/** The server's; a definition is recorded first. */
const PASSES = /^(not-ours|drop-(view|procedure|function|trigger|event) .*)$/s;

function utf8AsLatin1(text: string): string {
  return latin1(Buffer.from(text));
}

/** `drop-table …` and its like as `describeVerdict` writes it, less whether it is doubtful. */
function expectedDrop(case_: CorpusCase): string {
  const names = (case_.tables ?? []).map((name) => name.filter((part) => part !== null).join('.'));
  const { wait } = case_;
  return [
    `${case_.kind} ${utf8AsLatin1(names.join(' '))}`,
    ...(case_.ifExists ? ['if-exists'] : []),
    ...(wait === undefined ? [] : [wait === 'nowait' ? 'nowait' : `wait ${wait}`]),
  ].join(' ');
}

function check(case_: CorpusCase, verdict: Verdict): void {
  const text = describeVerdict(verdict);
  switch (case_.kind) {
    case 'drop-table':
    case 'drop-sequence':
      expect(text.replace(/ doubtful$/, '')).toBe(expectedDrop(case_));
      break;
    case 'drop-database':
      expect(text).toBe(`refused/drop-database schema ${case_.schema}`);
      break;
    case 'create-or-replace':
      expect(text).toBe(
        `refused/create-or-replace ${case_.tables?.map((name) => name.filter(Boolean).join('.'))}`,
      );
      break;
    case 'hidden-drop':
      expect(['refused', 'dynamic']).toContain(verdict.kind);
      break;
    case 'syntax-error':
      // The server's word decides; without it, a doubtful drop is refused.
      expect(text).toMatch(/^(unclear|not-ours|undo\/.*|drop-table .*doubtful)$/s);
      break;
    case 'multi-statement':
      break;
    default:
      expect(INNOCENT).toContain(case_.kind);
      expect(text).toMatch(PASSES);
  }
}

const cases = corpusCases().map((case_) => ({
  title: `${case_.comment.slice(0, 60)}: ${JSON.stringify(case_.sql).slice(0, 100)}`,
  case_,
}));

test.each(cases)('$title', ({ case_ }) => {
  const bytes = Buffer.from(case_.sql);
  const options = { multiStatements: case_.multiStatements === true };
  for (const server of case_.on) {
    const mode = modeOf(case_, server);
    const verdict = classify(bytes, mode, options);
    check(case_, verdict);
    if (case_.parts !== undefined) {
      checkParts(case_.parts, classifyStatements(bytes, mode, options), verdict);
    }
    if (/\b(drop|truncate) partition\b/i.test(case_.sql) && case_.kind !== 'not-a-drop') {
      const protect = new Set(['drop-partition'] as const);
      const enabled = classify(bytes, mode, { ...options, protect });
      expect(describeVerdict(enabled)).toMatch(/^drop-partition /);
    }
    // Understood the same, or not at all, where the mode isn't known.
    const guessed = classifyUnderAll(bytes, SERVER_MODES[server], options);
    expect(guessed.kind === 'disagree' || isDeepStrictEqual(guessed, verdict)).toBe(true);
    expect(verdict.kind === 'not-ours' || mayBeOurs(bytes, 0, bytes.length)).toBe(true);
  }
});

function checkParts(
  parts: readonly CorpusKind[],
  read: readonly StatementPart[],
  verdict: Verdict,
): void {
  const innocent = read.map((part) => doesPass(part.verdict));
  const expected = parts.map((part) => INNOCENT.has(part));
  // A comment behind the last `;` is a statement of its own, without any effect.
  const isOver = read.length === expected.length + 1;
  expect(innocent).toEqual(isOver ? [...expected, true] : expected);
  expect(doesPass(verdict)).toBe(expected.every(Boolean));
}
