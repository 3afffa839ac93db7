/**
 * `findPrograms` finds stored programs that drop tables: they run inside the server, where undrop
 * doesn't see their statements. The lexer for statements reads their bodies, under the sql_mode
 * that they were created with.
 */
import { assert } from '../assert.js';
import { SERVER_SCHEMAS } from '../names/names.js';
import type { ServicePool } from '../service/pool/pools.js';
import { note, sql, textOf, textOrNullOf, valueList } from '../service/sql.js';
import { hypotheses, modeFromSqlMode } from '../sql/lex/lex-mode.js';
import { Lexer } from '../sql/lex/lexer.js';
import { Unreadable } from '../sql/reading.js';
import type { ServerVersion } from '../wire/connection/handshake-v10.js';

export interface Program {
  readonly schema: string;
  readonly name: string;
  /** `procedure`, `function`, `event` … */
  readonly kind: string;
  /**
   * `drops`: it drops tables or schemas. `may drop`: it runs dynamic SQL. `unread`: this account
   * may not see its body.
   */
  readonly does: 'drops' | 'may drop' | 'unread';
}

/** Programs that drop or may drop tables; by schema and name. */
export async function findPrograms(
  pool: ServicePool,
  server: ServerVersion,
): Promise<readonly Program[]> {
  const others = valueList(SERVER_SCHEMAS);
  const answers = await pool.run([
    sql`SELECT ${note('look')} ROUTINE_SCHEMA AS schemaName, ROUTINE_NAME AS name,
          ROUTINE_TYPE AS kind, ROUTINE_DEFINITION AS body, SQL_MODE AS sqlMode
        FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA NOT IN (${others})`,
    sql`SELECT ${note('look')} EVENT_SCHEMA AS schemaName, EVENT_NAME AS name,
          'EVENT' AS kind, EVENT_DEFINITION AS body, SQL_MODE AS sqlMode
        FROM information_schema.EVENTS WHERE EVENT_SCHEMA NOT IN (${others})`,
  ]);
  const programs = answers.flat().flatMap((row): Program[] => {
    const body = textOrNullOf(row, 'body');
    const does = body === null ? 'unread' : classifyProgram(body, server, textOf(row, 'sqlMode'));
    if (does === null) return [];
    const [schema, name] = [textOf(row, 'schemaName'), textOf(row, 'name')];
    return [{ schema, name, kind: textOf(row, 'kind').toLowerCase(), does }];
  });
  const keyOf = ({ schema, name }: Program) => `${schema}\0${name}`;
  return programs.sort((one, other) => (keyOf(one) < keyOf(other) ? -1 : 1));
}

/** Null: it doesn't drop tables. */
export function classifyProgram(
  body: string,
  server: ServerVersion,
  sqlMode: string,
): Exclude<Program['does'], 'unread'> | null {
  const bytes = Buffer.from(body);
  const [mode] = hypotheses(modeFromSqlMode(server, sqlMode, 'utf8mb4'), bytes);
  assert(mode !== undefined, 'a text can be read in one mode at least');
  const lexer = new Lexer({ bytes, mode });
  try {
    return classifyTokens(lexer);
  } catch (error) {
    if (error instanceof Unreadable) return 'may drop';
    throw error;
  }
}

function classifyTokens(lexer: Lexer): 'drops' | 'may drop' | null {
  let [before, isDynamic] = ['', false];
  for (let kind = lexer.next(); kind !== 'end' && kind !== 'error'; kind = lexer.next()) {
    const word = kind === 'word' ? lexer.token().text : '';
    if (before === 'DROP' && DROPPED.has(word)) return 'drops';
    // CREATE OR REPLACE: the statement REPLACE is never followed by TABLE.
    if (before === 'REPLACE' && word === 'TABLE') return 'drops';
    isDynamic ||= word === 'PREPARE' && before !== 'DROP' && before !== 'DEALLOCATE';
    isDynamic ||= before === 'EXECUTE' && word === 'IMMEDIATE';
    before = word;
  }
  return isDynamic ? 'may drop' : null;
}

const DROPPED: ReadonlySet<string> = new Set(['TABLE', 'TABLES', 'DATABASE', 'SCHEMA', 'SEQUENCE']);
