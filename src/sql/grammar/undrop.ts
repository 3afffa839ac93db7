/**
 * The statements of undrop itself: UNDROP TABLE and DATABASE, FLASHBACK TABLE … TO BEFORE DROP,
 * SHOW DROPPED TABLES, and EXPLAIN of a drop. Invariant: no server has any of them, so a statement
 * that begins like one and continues otherwise is a syntax error at the first wrong word; none of
 * them destroys anything.
 */
import type { Token } from '../lex/lexer.js';
import type { Statement } from '../next-statement.js';
import { NAMES_MAX } from '../reading.js';
import { NOT_OURS, tooMany, type UndoStatement, type Verdict } from '../verdict.js';
import { dropVerdict } from './drop-table.js';
import { unescapeLiteral } from './dynamic-sql.js';
import {
  type Source,
  type TableName,
  takeIdentifier,
  takeTableName,
  takeTexts,
} from './table-name.js';

/** The verdict on UNDROP; `tokens` are those after this word. */
export function undropVerdict(tokens: Token[], statement: Statement, source: Source): Verdict {
  if (takeTexts(tokens, 'DATABASE') || takeTexts(tokens, 'SCHEMA')) {
    const schema = takeIdentifier(tokens, source)?.value ?? null;
    const hasTo = schema !== null && takeTexts(tokens, 'TO');
    const to = hasTo ? (takeIdentifier(tokens, source)?.value ?? null) : null;
    if (schema === null || (hasTo && to === null)) return wrong(tokens, statement);
    return ended(tokens, statement, { kind: 'undrop-database', schema, to });
  }
  if (!takeTexts(tokens, 'TABLE') && !takeTexts(tokens, 'TABLES')) return NOT_OURS;
  const id = takeString(tokens, source);
  const names = id === null ? takeNames(tokens, source) : [];
  if (names === null) return wrong(tokens, statement);
  if (names.length > NAMES_MAX) return tooMany('names');
  const swap = takeTexts(tokens, 'SWAP');
  const hasTo = !swap && names.length <= 1 && takeTexts(tokens, 'TO');
  const to = hasTo ? takeTableName(tokens, source) : null;
  if (hasTo && to === null) return wrong(tokens, statement);
  const how = { to, swap };
  return ended(
    tokens,
    statement,
    id === null
      ? { kind: 'undrop-table', names, ...how }
      : { kind: 'undrop-id', id: Buffer.from(id).toString('latin1'), ...how },
  );
}

/** `FLASHBACK TABLE name, … TO BEFORE DROP [RENAME TO name]`, as another product writes it. */
export function flashbackVerdict(tokens: Token[], statement: Statement, source: Source): Verdict {
  if (!takeTexts(tokens, 'TABLE')) return NOT_OURS;
  const names = takeNames(tokens, source);
  if (names === null) return wrong(tokens, statement);
  if (names.length > NAMES_MAX) return tooMany('names');
  for (const word of ['TO', 'BEFORE', 'DROP']) {
    if (!takeTexts(tokens, word)) return wrong(tokens, statement);
  }
  const hasTo = names.length === 1 && takeTexts(tokens, 'RENAME');
  if (hasTo && !takeTexts(tokens, 'TO')) return wrong(tokens, statement);
  const to = hasTo ? takeTableName(tokens, source) : null;
  if (hasTo && to === null) return wrong(tokens, statement);
  return ended(tokens, statement, { kind: 'undrop-table', names, to, swap: false });
}

/** `SHOW DROPPED TABLES [FROM | IN schema] [LIKE 'pattern']`. */
export function showVerdict(tokens: Token[], statement: Statement, source: Source): Verdict {
  if (!takeTexts(tokens, 'DROPPED')) return NOT_OURS;
  if (!takeTexts(tokens, 'TABLES')) return wrong(tokens, statement);
  const hasSchema = takeTexts(tokens, 'FROM') || takeTexts(tokens, 'IN');
  const schema = hasSchema ? (takeIdentifier(tokens, source)?.value ?? null) : null;
  if (hasSchema && schema === null) return wrong(tokens, statement);
  const hasLike = takeTexts(tokens, 'LIKE');
  const like = hasLike ? takeString(tokens, source) : null;
  if (hasLike && like === null) return wrong(tokens, statement);
  return ended(tokens, statement, { kind: 'show-dropped', schema, like });
}

/** EXPLAIN of a DROP TABLE or a DROP DATABASE, which a server doesn't explain. */
export function explainVerdict(tokens: Token[], statement: Statement, source: Source): Verdict {
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

/** Null: the next token, if any is left, isn't a name. */
function takeNames(tokens: Token[], source: Source): readonly TableName[] | null {
  const names: TableName[] = [];
  do {
    const name = takeTableName(tokens, source);
    if (name === null) return null;
    names.push(name);
  } while (takeTexts(tokens, ','));
  return names;
}

/** A literal without a prefix. */
function takeString(tokens: Token[], source: Source): Uint8Array | null {
  const [token] = tokens;
  if (token?.kind !== 'string' || source.bytes[token.start] !== token.quote) return null;
  tokens.shift();
  return unescapeLiteral(source.bytes, token, source.mode);
}

function ended(tokens: Token[], statement: Statement, undo: UndoStatement): Verdict {
  const isEnded = tokens.length === 0 && statement.isComplete && !statement.isCut;
  return isEnded ? { kind: 'undo', statement: undo } : wrong(tokens, statement);
}

/** The error is at the first token that is left, or at the end. */
function wrong([token]: readonly Token[], { end }: Statement): Verdict {
  return { kind: 'undo', statement: { kind: 'syntax-error', at: token?.start ?? end } };
}
