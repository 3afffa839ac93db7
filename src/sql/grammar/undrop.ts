/**
 * The statements of undrop itself: UNDROP, HOLD and PURGE, and EXPLAIN of a drop (SHOW DROPPED
 * TABLES is in show-dropped.ts). Invariant: no server has any of them, so a statement that begins
 * like one and continues otherwise is a syntax error at the first wrong word; none of them destroys
 * anything at once.
 */
import { DEFINITIONS } from '../destroying.js';
import type { Token } from '../lex/lexer.js';
import type { Statement } from '../next-statement.js';
import { NAMES_MAX } from '../reading.js';
import type * as verdicts from '../verdict.js';
import { NOT_OURS, tooMany, type Verdict } from '../verdict.js';
import { dropVerdict } from './drop-table.js';
import type { Source } from './table-name.js';
import { takeIdentifier, takeList, takeLiteral, takeTableName, takeTexts } from './table-name.js';

/** The verdict on an UNDROP; `tokens` are those after this word. */
export function undropVerdict(tokens: Token[], statement: Statement, source: Source): Verdict {
  if (takeTexts(tokens, 'DATABASE') || takeTexts(tokens, 'SCHEMA')) {
    return undropSchema(tokens, statement, source);
  }
  const isMany = tokens[0]?.text === 'ALL' || tokens[0]?.text === 'DROP';
  if (isMany) return undropMany(tokens, statement, source);
  const object = DEFINITIONS.find((word) => takeTexts(tokens, word));
  if (object !== undefined) {
    const name = takeTableName(tokens, source);
    if (name === null) return wrong(tokens, statement);
    const swap = takeTexts(tokens, 'SWAP');
    return ended(tokens, statement, { kind: 'undrop-definition', object, name, swap });
  }
  if (!takeTexts(tokens, 'TABLE') && !takeTexts(tokens, 'TABLES')) return wrong(tokens, statement);
  const target = takeTarget(tokens, source);
  if (target === null) return wrong(tokens, statement);
  if (target.names.length > NAMES_MAX) return tooMany('names');
  const isSingle = target.names.length <= 1;
  const hasBefore = target.names.length === 1 && takeTexts(tokens, 'BEFORE');
  const before = hasBefore ? takeLiteral(tokens, source) : null;
  if (hasBefore && before === null) return wrong(tokens, statement);
  const swap = takeTexts(tokens, 'SWAP');
  const hasTo = !swap && isSingle && takeTexts(tokens, 'TO');
  const to = hasTo ? takeTableName(tokens, source) : null;
  if (hasTo && to === null) return wrong(tokens, statement);
  const keys = takeTexts(tokens, 'WITH', 'KEYS');
  const how = { before, to, swap, keys, explains: false };
  return ended(tokens, statement, { kind: 'undrop-table', ...target, ...how });
}

function undropSchema(tokens: Token[], statement: Statement, source: Source): Verdict {
  const schema = takeIdentifier(tokens, source)?.value ?? null;
  const swap = schema !== null && takeTexts(tokens, 'SWAP');
  const partial = swap && takeTexts(tokens, 'PARTIAL');
  const hasTo = schema !== null && !swap && takeTexts(tokens, 'TO');
  const toSchema = hasTo ? (takeIdentifier(tokens, source)?.value ?? null) : null;
  if (schema === null || (hasTo && toSchema === null)) return wrong(tokens, statement);
  const how = { what: 'database', schemas: [schema], swap, partial, toSchema } as const;
  return ended(tokens, statement, { ...NO_UNDO, ...how });
}

const NO_UNDO = {
  ...({
    kind: 'undrop-many',
    schemas: [],
    id: null,
    since: null,
    until: null,
    user: null,
    program: null,
  } as const),
  ...{ swap: false, toSchema: null, partial: false, explains: false },
};

/** `UNDROP ALL [FROM …] SINCE …`, `UNDROP DROP 'id'`. */
function undropMany(tokens: Token[], statement: Statement, source: Source): Verdict {
  const what = takeTexts(tokens, 'ALL') ? 'all' : 'drop';
  const id = takeTexts(tokens, 'DROP') ? takeLiteral(tokens, source) : null;
  const hasFrom = what === 'all' && takeTexts(tokens, 'FROM');
  const schemas = hasFrom
    ? takeList(tokens, () => takeIdentifier(tokens, source)?.value ?? null)
    : [];
  if (schemas === null) return wrong(tokens, statement);
  if (schemas.length > NAMES_MAX) return tooMany('names');
  let isWrong = false;
  const take = (...words: string[]) => {
    if (isWrong || what !== 'all' || !takeTexts(tokens, ...words)) return null;
    const value = takeLiteral(tokens, source);
    isWrong = value === null;
    return value;
  };
  const [since, until, program] = [take('SINCE'), take('UNTIL'), take('BY', 'PROGRAM')];
  const span = { since, until, program, user: take('BY') };
  if (isWrong || (id ?? span.since) === null) return wrong(tokens, statement);
  const swap = takeTexts(tokens, 'SWAP');
  const hasTo = !swap && (takeTexts(tokens, 'TO', 'SCHEMA') || takeTexts(tokens, 'TO', 'DATABASE'));
  const toSchema = hasTo ? (takeIdentifier(tokens, source)?.value ?? null) : null;
  if (hasTo && toSchema === null) return wrong(tokens, statement);
  const partial = takeTexts(tokens, 'PARTIAL');
  const how = { what, schemas, id, ...span, swap, toSchema, partial } as const;
  return ended(tokens, statement, { ...NO_UNDO, ...how });
}

/** `HOLD TABLE name | 'id' FOR '30d' | UNTIL '2026-12-31 00:00'`. */
export function holdVerdict(tokens: Token[], statement: Statement, source: Source): Verdict {
  if (!takeTexts(tokens, 'TABLE')) return wrong(tokens, statement);
  const target = takeOneTarget(tokens, source);
  if (target === null) return wrong(tokens, statement);
  const isFor = takeTexts(tokens, 'FOR');
  if (!isFor && !takeTexts(tokens, 'UNTIL')) return wrong(tokens, statement);
  const time = takeLiteral(tokens, source);
  if (time === null) return wrong(tokens, statement);
  return ended(tokens, statement, { kind: 'hold', ...target, how: isFor ? 'for' : 'until', time });
}

/** `PURGE TABLE name | 'id'`, `PURGE DATABASE name`; PURGE BINARY | MASTER LOGS is the server's. */
export function purgeVerdict(tokens: Token[], statement: Statement, source: Source): Verdict {
  if (takeTexts(tokens, 'TABLE')) {
    const target = takeOneTarget(tokens, source);
    if (target === null) return wrong(tokens, statement);
    return ended(tokens, statement, { kind: 'purge', ...target });
  }
  if (tokens[0]?.text === 'BINARY' || tokens[0]?.text === 'MASTER') return NOT_OURS;
  const isSchema = takeTexts(tokens, 'DATABASE') || takeTexts(tokens, 'SCHEMA');
  const schema = isSchema ? (takeIdentifier(tokens, source)?.value ?? null) : null;
  if (schema === null) return wrong(tokens, statement);
  return ended(tokens, statement, { kind: 'purge-database', schema });
}

/** EXPLAIN of an UNDROP TABLE or of a drop, which a server doesn't explain. */
export function explainVerdict(tokens: Token[], statement: Statement, source: Source): Verdict {
  if (takeTexts(tokens, 'UNDROP')) {
    const verdict = undropVerdict(tokens, statement, source);
    const undo = verdict.kind === 'undo' ? verdict.statement : null;
    if (undo?.kind === 'undrop-definition') return wrong([], statement);
    if (undo?.kind !== 'undrop-table' && undo?.kind !== 'undrop-many') return verdict;
    return { kind: 'undo', statement: { ...undo, explains: true } };
  }
  if (!takeTexts(tokens, 'DROP')) return NOT_OURS;
  const verdict = dropVerdict(tokens, statement, source);
  if (verdict.kind === 'drop-table') {
    return ended(tokens, statement, { kind: 'explain-drop-table', drop: verdict.statement });
  }
  if (verdict.kind === 'refused' && verdict.schema !== null) {
    const { schema, ifExists = false } = verdict;
    return ended(tokens, statement, { kind: 'explain-drop-database', schema, ifExists });
  }
  return verdict.kind === 'unclear' ? wrong(tokens, statement) : NOT_OURS;
}

/** Null: the next token, if any is left, is neither a name nor an id. */
function takeTarget(tokens: Token[], source: Source): verdicts.UndoTarget | null {
  const id = takeLiteral(tokens, source);
  if (id !== null) return { names: [], id: Buffer.from(id).toString('latin1') };
  const names = takeList(tokens, () => takeTableName(tokens, source));
  return names === null ? null : { names, id: null };
}

function takeOneTarget(tokens: Token[], source: Source): verdicts.UndoTarget | null {
  const [first] = tokens;
  if (first?.kind === 'string') return takeTarget(tokens, source);
  const name = takeTableName(tokens, source);
  return name === null ? null : { names: [name], id: null };
}

export function ended(
  tokens: Token[],
  statement: Statement,
  undo: verdicts.UndoStatement,
): Verdict {
  const isEnded = tokens.length === 0 && statement.isComplete && !statement.isCut;
  return isEnded ? { kind: 'undo', statement: undo } : wrong(tokens, statement);
}

/** The error is at the first token that is left, or at the end. */
export function wrong([token]: readonly Token[], { end, tokens: [head] }: Statement): Verdict {
  const form = FORM_OF.get(head?.text ?? '') ?? 'undrop';
  return { kind: 'undo', statement: { kind: 'syntax-error', at: token?.start ?? end, form } };
}

const FORM_OF: ReadonlyMap<string, verdicts.UndoForm> = new Map([
  ['SHOW', 'show'],
  ['HOLD', 'hold'],
  ['PURGE', 'purge'],
  ['EXPLAIN', 'explain'],
]);

// ── SHOW DROPPED ─────────────────────────────────────────────────────────────────────────────────
// `SHOW [FULL] DROPPED TABLES`, `SHOW DROPPED DATABASES`.

/** The verdict on a SHOW; `tokens` are those after this word. */
export function showVerdict(tokens: Token[], statement: Statement, source: Source): Verdict {
  const what = takeShown(tokens);
  if (what === null) return NOT_OURS;
  if (what === 'incomplete') return wrong(tokens, statement);
  let isWrong = false;
  /** After a wrong value nothing else is taken, so that it stays in front. */
  const take = <T>(
    words: readonly string[],
    takeValue: (tokens: Token[], source: Source) => T | null,
  ): T | null => {
    const mayBe = !isWrong && (CLAUSES_OF[what]?.includes(words[0] ?? '') ?? true);
    if (!mayBe || !takeTexts(tokens, ...words)) return null;
    const value = takeValue(tokens, source);
    isWrong = value === null;
    return value;
  };
  const clauses = {
    schema: (take(['FROM'], takeIdentifier) ?? take(['IN'], takeIdentifier))?.value ?? null,
    like: take(['LIKE'], takeLiteral),
    program: take(['BY', 'PROGRAM'], takeLiteral),
    user: take(['BY'], takeLiteral),
    since: take(['SINCE'], takeLiteral),
    isBySize: take(['ORDER', 'BY'], (rest) => takeTexts(rest, 'SIZE') || null) ?? false,
    limit: take(['LIMIT'], takeCount),
  };
  if (isWrong) return wrong(tokens, statement);
  return ended(tokens, statement, { kind: 'show-dropped', what, ...clauses });
}

function takeCount(tokens: Token[], { bytes }: Source): number | null {
  const [token] = tokens;
  if (token?.kind !== 'number') return null;
  const text = Buffer.from(bytes.subarray(token.start, token.end)).toString('latin1');
  if (!/^\d{1,15}$/.test(text)) return null;
  tokens.shift();
  return Number(text);
}

/** Default: all. */
const CLAUSES_OF: Partial<Record<verdicts.ShownDrops, readonly string[]>> = {
  databases: ['LIKE'],
  objects: ['FROM', 'IN', 'LIKE'],
};

function takeShown(tokens: Token[]): verdicts.ShownDrops | 'incomplete' | null {
  if (takeTexts(tokens, 'FULL', 'DROPPED')) {
    return takeTexts(tokens, 'TABLES') ? 'full-tables' : 'incomplete';
  }
  if (!takeTexts(tokens, 'DROPPED')) return null;
  if (takeTexts(tokens, 'TABLES')) return 'tables';
  if (takeTexts(tokens, 'OBJECTS')) return 'objects';
  const isOfSchemas = takeTexts(tokens, 'DATABASES') || takeTexts(tokens, 'SCHEMAS');
  return isOfSchemas ? 'databases' : 'incomplete';
}
