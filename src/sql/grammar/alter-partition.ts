/**
 * `ALTER TABLE name DROP PARTITION p, …` and `… TRUNCATE PARTITION {p, … | ALL}`, which destroy the
 * rows of partitions and keep the table. Invariant: a statement that isn't exactly this, to the
 * last token, is `unclear`; so is one with options (IGNORE, ALGORITHM, …).
 */
import type { Token } from '../lex/lexer.js';
import type { Statement } from '../next-statement.js';
import { PARTITIONS_MAX } from '../reading.js';
import {
  type DropTableStatement,
  NOT_OURS,
  type PartitionName,
  tooMany,
  unclear,
  type Verdict,
} from '../verdict.js';
import { takeWait } from './drop-table.js';
import { type Source, takeIdentifier, takeTableName, takeTexts } from './table-name.js';

const VERBS = ['DROP', 'TRUNCATE'] as const;

/**
 * The verdict on an ALTER; `tokens` are those after this word. Without a partition verb, a DROP in
 * it (of a column, an index) drops no table.
 */
export function alterVerdict(tokens: Token[], statement: Statement, source: Source): Verdict {
  if (!hasPartitionVerb(statement.tokens)) return NOT_OURS;
  const parsed = parseAlterPartition(tokens, source);
  const names = parsed?.partitions?.names ?? [];
  if (names.length > PARTITIONS_MAX) return tooMany('partitions');
  return parsed !== null && statement.isComplete
    ? { kind: 'drop-table', statement: parsed }
    : unclear('this ALTER TABLE of partitions is not understood');
}

function parseAlterPartition(tokens: Token[], source: Source): DropTableStatement | null {
  const isMariaDb = source.mode.flavour === 'mariadb';
  // Other options of ALTER (ONLINE, ALGORITHM) only the server can interpret.
  if (!takeTexts(tokens, 'TABLE')) return null;
  const ifExists = isMariaDb && takeTexts(tokens, 'IF', 'EXISTS');
  const table = takeTableName(tokens, source);
  const wait = takeWait(tokens, source);
  const verb = VERBS.find((word) => takeTexts(tokens, word, 'PARTITION'));
  if (table === null || verb === undefined) return null;
  const isDrop = verb === 'DROP';
  const ifThere = isDrop && isMariaDb && takeTexts(tokens, 'IF', 'EXISTS');
  const isAll = !isDrop && takeTexts(tokens, 'ALL');
  const taken = isAll ? { names: 'all' as const, isDoubtful: false } : takeNames(tokens, source);
  if (taken === null || tokens.length > 0) return null;
  return {
    object: 'table',
    ifExists,
    names: [table],
    wait,
    isDoubtful: table.isDoubtful || taken.isDoubtful,
    partitions: { verb: isDrop ? 'drop' : 'truncate', names: taken.names, ifExists: ifThere },
  };
}

/** Whether an ALTER has these words anywhere, which only that of a table has. */
function hasPartitionVerb(tokens: readonly Token[]): boolean {
  return tokens.some(
    ({ text }, index) =>
      tokens[index + 1]?.text === 'PARTITION' && VERBS.some((verb) => verb === text),
  );
}

/** At least one name, separated by commas; null if one of them isn't a name. */
function takeNames(
  tokens: Token[],
  source: Source,
): { readonly names: readonly PartitionName[]; readonly isDoubtful: boolean } | null {
  const names: PartitionName[] = [];
  let isDoubtful = false;
  do {
    const name = takeIdentifier(tokens, source);
    if (name === null) return null;
    const { start, end } = name.token;
    names.push({ partition: name.value, start, end });
    isDoubtful ||= name.isDoubtful;
  } while (takeTexts(tokens, ','));
  return { names, isDoubtful };
}
