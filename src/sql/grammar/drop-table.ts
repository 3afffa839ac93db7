/**
 * `DROP TABLE[S] [IF EXISTS] name, … [WAIT n | NOWAIT] [RESTRICT | CASCADE]`, MariaDB's `DROP
 * SEQUENCE [IF EXISTS] name, …` (a sequence is a table of one row), `TRUNCATE [TABLE] name`, and
 * the other objects of DROP. Invariant: a statement that isn't exactly one of these, to the last
 * token, and may destroy a table, is `unclear`; so are MariaDB's WAIT and NOWAIT of a TRUNCATE.
 * Below them, ALTER TABLE … PARTITION and CREATE OR REPLACE.
 */
import { DEFINITIONS, DROPPABLE } from '../destroying.js';
import type { Token } from '../lex/lexer.js';
import type { Statement } from '../next-statement.js';
import { NAMES_MAX } from '../reading.js';
import { isRecycleName } from '../trigger-scan.js';
import type { LockWait, Verdict } from '../verdict.js';
import { NOT_OURS, refusedVerdict, tooMany, unclear, unexplained } from '../verdict.js';
import type { Source, TableName } from './table-name.js';
import { takeIdentifier, takeList, takeTableName, takeTexts } from './table-name.js';

/** Words after DROP that mean no base table, beside `DEFINITIONS`. */
const DROPPED_ELSE = [
  ...['TEMPORARY', 'INDEX', 'USER', 'ROLE', 'SERVER', 'TABLESPACE', 'UNDO', 'LOGFILE'],
  ...['RESOURCE', 'SPATIAL', 'PREPARE', 'PACKAGE', 'LIBRARY'],
];

/** The verdict on a DROP; `tokens` are those after this word. */
export function dropVerdict(tokens: Token[], statement: Statement, source: Source): Verdict {
  const isTable = takeTexts(tokens, 'TABLE') || takeTexts(tokens, 'TABLES');
  const isSequence = !isTable && takeTexts(tokens, 'SEQUENCE');
  if (!isTable && !isSequence) return otherDropVerdict(tokens, statement, source);
  // MySQL has no sequences.
  if (isSequence && source.mode.flavour === 'mysql') return NOT_OURS;
  const object = isTable ? 'table' : 'sequence';
  const ifExists = takeTexts(tokens, 'IF', 'EXISTS');
  const names: TableName[] = [];
  let name: TableName | null;
  do {
    name = takeTableName(tokens, source);
    if (name !== null) names.push(name);
  } while (name !== null && takeTexts(tokens, ','));
  if (statement.isCut || names.length > NAMES_MAX) return tooMany('names');
  const wait = isTable ? takeWait(tokens, source) : null;
  // Both have no effect on any server.
  if (isTable && !takeTexts(tokens, 'RESTRICT')) takeTexts(tokens, 'CASCADE');
  if (name === null || tokens.length > 0 || !statement.isComplete) {
    return unclear(`this DROP ${object.toUpperCase()} is not understood`);
  }
  const isRecycled = names.some(({ schema }) => schema !== null && isRecycleName(schema));
  const isDoubtful = names.some((one) => one.isDoubtful);
  const parsed = { object, ifExists, names, wait, isDoubtful } as const;
  return { kind: 'drop-table', statement: parsed, ...(isRecycled && { isRecycled }) };
}

function otherDropVerdict(tokens: Token[], statement: Statement, source: Source): Verdict {
  if (takeTexts(tokens, 'DATABASE') || takeTexts(tokens, 'SCHEMA')) {
    const ifExists = takeTexts(tokens, 'IF', 'EXISTS');
    const schema = takeIdentifier(tokens, source);
    return schema !== null && tokens.length === 0 && statement.isComplete
      ? { ...refusedVerdict('drop-database', []), schema: schema.value, ifExists }
      : unclear('this DROP DATABASE is not understood');
  }
  if (DEFINITIONS.includes(tokens[0]?.text ?? '')) return definitionVerdict(tokens, source);
  if (DROPPED_ELSE.includes(tokens[0]?.text ?? '')) return NOT_OURS;
  const mayBeTable = tokens.some(({ text }) => DROPPABLE.includes(text));
  const isUnclear = mayBeTable || statement.isCut;
  return isUnclear ? unclear('this DROP is not understood') : NOT_OURS;
}

/** `VIEW [IF EXISTS] name, …` and the like, as far as their names. */
function definitionVerdict(tokens: Token[], source: Source): Verdict {
  const object = tokens.shift()?.text ?? '';
  takeTexts(tokens, 'IF', 'EXISTS');
  const names = takeList(tokens, () => takeTableName(tokens, source));
  return names === null ? NOT_OURS : { kind: 'drop-definition', object, names };
}

/** MariaDB's `WAIT n`, `NOWAIT`; null if there is none. */
function takeWait(tokens: Token[], source: Source): LockWait | null {
  if (source.mode.flavour === 'mysql') return null;
  if (takeTexts(tokens, 'NOWAIT')) return { kind: 'nowait' };
  const [word, number] = tokens;
  if (word?.text !== 'WAIT' || number?.kind !== 'number') return null;
  tokens.splice(0, 2);
  const { start, end } = number;
  return { kind: 'wait', text: Buffer.from(source.bytes.subarray(start, end)).toString('latin1') };
}

/** The verdict on a TRUNCATE; `tokens` are those after this word. */
export function truncateVerdict(tokens: Token[], statement: Statement, source: Source): Verdict {
  takeTexts(tokens, 'TABLE');
  const name = takeTableName(tokens, source);
  if (name === null || tokens.length > 0 || !statement.isComplete) {
    return unclear('this TRUNCATE is not understood');
  }
  const { isDoubtful } = name;
  const one = { object: 'table', ifExists: false, names: [name], wait: null } as const;
  return { kind: 'drop-table', statement: { ...one, isDoubtful, empties: true } };
}

// ── ALTER TABLE … PARTITION ─────────────────────────────────────────────────────────────────────

const VERBS = ['DROP', 'TRUNCATE'];

/**
 * The verdict on an ALTER; `tokens` are those after this word. `ALTER TABLE name DROP PARTITION …`
 * and `… TRUNCATE PARTITION …` destroy the rows of partitions and keep the table, whatever else
 * they have after its name. With options before it (IGNORE, ONLINE) it is `unclear`. Without a
 * partition verb, a DROP in it (of a column, an index) drops no table.
 */
export function alterVerdict(tokens: Token[], statement: Statement, source: Source): Verdict {
  if (!hasPartitionVerb(statement.tokens)) return NOT_OURS;
  const isTable = takeTexts(tokens, 'TABLE');
  takeTexts(tokens, 'IF', 'EXISTS');
  const name = isTable ? takeTableName(tokens, source) : null;
  if (name === null || !statement.isComplete) {
    return unclear('this ALTER TABLE of partitions is not understood');
  }
  const { isDoubtful } = name;
  const one = { object: 'table', ifExists: false, names: [name], wait: null } as const;
  return { kind: 'drop-table', statement: { ...one, isDoubtful, partitions: true } };
}

/** Whether an ALTER has these words anywhere, which only that of a table has. */
function hasPartitionVerb(tokens: readonly Token[]): boolean {
  return tokens.some(
    ({ text }, index) => VERBS.includes(text) && tokens[index + 1]?.text === 'PARTITION',
  );
}

// ── CREATE OR REPLACE ───────────────────────────────────────────────────────────────────────────

/** ALGORITHM, DEFINER and SQL SECURITY before the word VIEW. */
const HEAD_TOKENS_MAX = 14;

/**
 * The verdict on a CREATE; `tokens` are those after this word. Invariant: MariaDB's CREATE OR
 * REPLACE is only ignored if it certainly replaces no table, no sequence and no database.
 */
export function createVerdict(tokens: Token[], statement: Statement, source: Source): Verdict {
  const words = tokens.slice(0, 2).map(({ start, end }) => ({ start, end }));
  if (!takeTexts(tokens, 'OR', 'REPLACE')) return unexplained(statement);
  // A temporary table replaces only a temporary one; the base table of that name stays.
  const isTemporary = takeTexts(tokens, 'TEMPORARY');
  const isSchema = takeTexts(tokens, 'DATABASE') || takeTexts(tokens, 'SCHEMA');
  const isTable = !isSchema && (takeTexts(tokens, 'TABLE') || takeTexts(tokens, 'SEQUENCE'));
  if (isTable && isTemporary) return unexplained(statement);
  const at = tokens.findIndex(({ text }) => DEFINITIONS.includes(text));
  const isDefinition = !isSchema && !isTable && at >= 0 && at < HEAD_TOKENS_MAX;
  const verdict = isDefinition ? definitionVerdict(tokens.slice(at), source) : NOT_OURS;
  if (verdict.kind === 'drop-definition') return { ...verdict, names: verdict.names.slice(0, 1) };
  const isOdd = tokens.slice(0, 3).some(({ text }) => text === 'TABLE');
  if (!isSchema && !isTable && !isOdd) return unexplained(statement);
  if (isOdd || source.mode.flavour === 'mysql') {
    return unclear('this CREATE OR REPLACE is not understood');
  }
  takeTexts(tokens, 'IF', 'NOT', 'EXISTS');
  const found = refusedVerdict('create-or-replace', []);
  if (isSchema) return { ...found, schema: takeIdentifier(tokens, source)?.value ?? null };
  const table = takeTableName(tokens, source);
  if (table === null) return found;
  const named = { ...found, tables: [table] };
  return statement.isComplete ? { ...named, replacement: { table, words } } : named;
}
