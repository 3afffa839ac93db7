/**
 * Names as the grammar accepts them: `t`, `d.t`, quoted or not; MariaDB and old MySQL also `.t`;
 * and string literals. Invariant: a parsed name means the same when it is quoted in the client's
 * charset (client-charset.ts), and is that of the table that the server would drop; any other is
 * not a name here, and the statement becomes unclear. Words that some server reserves are doubtful
 * names.
 */

import { isUtf8 } from 'node:buffer';
import { CHARSET_TABLES, isStorable } from '../lex/client-charset.js';
import type { LexMode } from '../lex/lex-mode.js';
import type { Token } from '../lex/lexer.js';

/** The input of a grammar. */
export interface Source {
  readonly bytes: Uint8Array;
  readonly mode: LexMode;
}

/**
 * Takes these words or symbols from the front of `tokens` if they are all there. A quoted name has
 * no text, so it never matches.
 */
export function takeTexts(tokens: Token[], ...texts: readonly string[]): boolean {
  if (!texts.every((text, index) => tokens[index]?.text === text)) return false;
  tokens.splice(0, texts.length);
  return true;
}

/** Takes several with commas; null: the next token, if any is left, isn't one. */
export function takeList<T>(tokens: Token[], takeOne: () => T | null): readonly T[] | null {
  const all: T[] = [];
  do {
    const one = takeOne();
    if (one === null) return null;
    all.push(one);
  } while (takeTexts(tokens, ','));
  return all;
}

/** A table as the client names it. */
export interface TableName {
  /** Unescaped bytes in the client's charset; null: the default schema. */
  readonly schema: Uint8Array | null;
  readonly table: Uint8Array;
  /** Its position in the text, quotes and schema included. */
  readonly start: number;
  readonly end: number;
  /** Only the server can tell whether it accepts this name: a word that may be reserved, or odd. */
  readonly isDoubtful: boolean;
}

/** The name for messages. */
export function dotted({ schema, table }: Pick<TableName, 'schema' | 'table'>): string {
  const parts = schema === null ? [table] : [schema, table];
  return parts.map((part) => Buffer.from(part)).join('.');
}

interface Identifier {
  readonly value: Uint8Array;
  readonly token: Token;
  readonly isDoubtful: boolean;
}

const SPACE = 0x20;
const DOTLESS_SINCE = 80_000;

/** Takes one table name from the front; null if there is none. */
export function takeTableName(tokens: Token[], source: Source): TableName | null {
  const { flavour, versionId } = source.mode;
  const start = tokens[0]?.start ?? 0;
  const mayBeginWithDot = flavour === 'mariadb' || versionId < DOTLESS_SINCE;
  const beginsWithDot = mayBeginWithDot && takeTexts(tokens, '.');
  const first = takePart(tokens, source);
  if (first === null) return null;
  if (beginsWithDot || !takeTexts(tokens, '.')) {
    const { value: table, token, isDoubtful } = first;
    return { schema: null, table, start, end: token.end, isDoubtful: isDoubtful || beginsWithDot };
  }
  const second = takePart(tokens, source);
  if (second === null || tokens[0]?.text === '.') return null;
  const isDoubtful = first.isDoubtful || second.isDoubtful;
  return { schema: first.value, table: second.value, start, end: second.token.end, isDoubtful };
}

/** Takes one identifier; null if there is none. */
export function takeIdentifier(
  tokens: Token[],
  source: Source,
  isName: (value: Uint8Array) => boolean = (value) => isStorable(value, source.mode.charset),
): Identifier | null {
  const [token] = tokens;
  if (token?.kind !== 'word' && token?.kind !== 'name') return null;
  if (RESERVED.has(token.text)) return null;
  const value = identifierValue(token, source);
  if (!isName(value)) return null;
  tokens.shift();
  const isOdd = value.length === 0 || value.at(-1) === SPACE || value.includes(0);
  const mayBeReserved = MAYBE_RESERVED.has(token.text) || INTRODUCER.test(token.text);
  return { value, token, isDoubtful: isOdd || mayBeReserved };
}

/**
 * The same as a part of a table's name, in which MySQL turns characters beyond the BMP into
 * question marks (drop/steps/names/client-names.ts).
 */
function takePart(tokens: Token[], source: Source): Identifier | null {
  const { flavour, charset } = source.mode;
  const name = takeIdentifier(tokens, source);
  if (name !== null || flavour !== 'mysql' || charset !== 'utf8') return name;
  const astral = takeIdentifier(tokens, source, isUtf8);
  return astral === null ? null : { ...astral, isDoubtful: true };
}

/** The bytes of a name: without its quotes, doubled ones taken once. */
function identifierValue(token: Token, source: Source): Uint8Array {
  if (token.quote === 0) return source.bytes.slice(token.start, token.end);
  return unescapeLiteral(source.bytes, token, { ...source.mode, noBackslashEscapes: true });
}

/** Whether a name can stand without quotes on every server. */
export function isUnquotedName(name: string): boolean {
  const word = name.toUpperCase();
  const isReserved = RESERVED.has(word) || MAYBE_RESERVED.has(word) || INTRODUCER.test(name);
  return /^[a-z_][a-z0-9_]*$/i.test(name) && !isReserved;
}

// ── string literals without a prefix ────────────────────────────────────────────────────────────
// Only bytes of the statement are in one.

/** Unescaped bytes in the client's charset. Null: there is none at the front. */
export function takeLiteral(tokens: Token[], source: Source): Uint8Array | null {
  const [token] = tokens;
  if (token?.kind !== 'string' || source.bytes[token.start] !== token.quote) return null;
  tokens.shift();
  return unescapeLiteral(source.bytes, token, source.mode);
}

const BACKSLASH = 0x5c;
const ESCAPES: ReadonlyMap<number, number> = new Map([
  [0x6e, 0x0a], // \n
  [0x74, 0x09], // \t
  [0x72, 0x0d], // \r
  [0x62, 0x08], // \b
  [0x30, 0x00], // \0
  [0x5a, 0x1a], // \Z
]);

/** `bytes[start, end)` is a literal without a prefix, or a quoted name, with its quotes. */
export function unescapeLiteral(
  bytes: Uint8Array,
  { start, end }: { readonly start: number; readonly end: number },
  mode: LexMode,
): Uint8Array {
  const table = CHARSET_TABLES[mode.charset];
  const quote = bytes[end - 1];
  const value: number[] = [];
  for (let at = start + 1; at < end - 1; at++) {
    const byte = bytes[at] ?? 0;
    const length = table.charLength(bytes, at, end - 1);
    if (length > 1) {
      for (let index = 0; index < length; index++) value.push(bytes[at + index] ?? 0);
      at += length - 1;
    } else if (byte === BACKSLASH && !mode.noBackslashEscapes) {
      at++;
      const next = bytes[at] ?? 0;
      // \_ and \% keep their backslash.
      if (next === 0x5f || next === 0x25) value.push(BACKSLASH);
      value.push(ESCAPES.get(next) ?? next);
    } else {
      value.push(byte);
      if (byte === quote) at++;
    }
  }
  return Uint8Array.from(value);
}

// ── reserved words ──────────────────────────────────────────────────────────────────────────────

/** Words that no server accepts as an unquoted name, and words that some don't accept. */
const EVERYWHERE = `
ACCESSIBLE ADD ALL ALTER ANALYZE AND AS ASC ASENSITIVE BEFORE BETWEEN BIGINT BINARY BLOB BOTH BY
CALL CASCADE CASE CHANGE CHAR CHARACTER CHECK COLLATE COLUMN CONDITION CONSTRAINT CONTINUE CONVERT
CREATE CROSS CURRENT_DATE CURRENT_TIME CURRENT_TIMESTAMP CURRENT_USER CURSOR DATABASES DAY_HOUR
DAY_MICROSECOND DAY_MINUTE DAY_SECOND DEC DECIMAL DECLARE DEFAULT DELAYED DELETE DESC DESCRIBE
DETERMINISTIC DISTINCT DISTINCTROW DIV DOUBLE DROP DUAL EACH ELSE ELSEIF ENCLOSED ESCAPED EXISTS
EXIT EXPLAIN FALSE FETCH FLOAT FLOAT4 FLOAT8 FOR FORCE FOREIGN FROM FULLTEXT GRANT GROUP HAVING
HIGH_PRIORITY HOUR_MICROSECOND HOUR_MINUTE HOUR_SECOND IF IGNORE IN INDEX INFILE INNER INOUT
INSENSITIVE INSERT INT INT1 INT2 INT3 INT4 INT8 INTEGER INTERVAL INTO IS ITERATE JOIN KEY KEYS KILL
LEADING LEAVE LEFT LIKE LIMIT LINEAR LINES LOAD LOCALTIME LOCALTIMESTAMP LOCK LONG LONGBLOB LONGTEXT
LOOP LOW_PRIORITY MATCH MAXVALUE MEDIUMBLOB MEDIUMINT MEDIUMTEXT MIDDLEINT MINUTE_MICROSECOND
MINUTE_SECOND MOD MODIFIES NATURAL NOT NO_WRITE_TO_BINLOG NULL NUMERIC ON OPTIMIZE OPTIONALLY OR
ORDER OUT OUTER OUTFILE PARTITION PRECISION PRIMARY PROCEDURE PURGE RANGE READ READS READ_WRITE REAL
REFERENCES REGEXP RELEASE RENAME REPEAT REPLACE REQUIRE RESIGNAL RESTRICT RETURN REVOKE RIGHT RLIKE
SCHEMAS SECOND_MICROSECOND SELECT SENSITIVE SEPARATOR SET SHOW SIGNAL SMALLINT SPATIAL SPECIFIC SQL
SQLEXCEPTION SQLSTATE SQLWARNING SQL_BIG_RESULT SQL_CALC_FOUND_ROWS SQL_SMALL_RESULT SSL STARTING
STRAIGHT_JOIN TABLE TERMINATED THEN TINYBLOB TINYINT TINYTEXT TO TRAILING TRIGGER TRUE UNDO UNION
UNIQUE UNLOCK UNSIGNED UPDATE USAGE USE USING UTC_DATE UTC_TIME UTC_TIMESTAMP VALUES VARBINARY
VARCHAR VARCHARACTER VARYING WHEN WHERE WHILE WITH WRITE XOR YEAR_MONTH ZEROFILL`;

const SOMEWHERE = `
CUBE CUME_DIST CURRENT_ROLE DATABASE DELETE_DOMAIN_ID DENSE_RANK DO_DOMAIN_IDS EMPTY EXCEPT EXTERNAL
FIRST_VALUE FUNCTION GENERATED GET GROUPING GROUPS IGNORE_DOMAIN_IDS INTERSECT IO_AFTER_GTIDS
IO_BEFORE_GTIDS JSON_TABLE LAG LAST_VALUE LATERAL LEAD LIBRARY MANUAL MASTER_BIND
MASTER_DEMOTE_TO_REPLICA MASTER_DEMOTE_TO_SLAVE MASTER_SSL_VERIFY_SERVER_CERT NTH_VALUE NTILE OF
OFFSET OPTIMIZER_COSTS OPTION OVER PAGE_CHECKSUM PARALLEL PARSE_VCOL_EXPR PERCENT_RANK PORTION
QUALIFY RANK RECURSIVE REF_SYSTEM_ID RETURNING ROW ROWS ROW_NUMBER SCHEMA SQL_AFTER_GTIDS
SQL_BEFORE_GTIDS STATS_AUTO_RECALC STATS_PERSISTENT STATS_SAMPLE_PAGES STORED SYSTEM TABLESAMPLE
VECTOR VIRTUAL WINDOW`;

const RESERVED = new Set(EVERYWHERE.trim().split(/\s+/));
const MAYBE_RESERVED = new Set(SOMEWHERE.trim().split(/\s+/));
const INTRODUCER = new RegExp(
  '^_(armscii8|ascii|big5|binary|cp(1250|1251|1256|1257|850|852|866|932)|dec8|eucjpms|euckr|' +
    'gb18030|gb2312|gbk|geostd8|greek|hebrew|hp8|keybcs2|koi8[ru]|latin[1257]|macce|macroman|sjis|swe7|' +
    'tis620|ucs2|ujis|utf(8|8mb3|8mb4|16|16le|32))$',
  'i',
);
