/**
 * The queries of EXPLAIN of a drop in the user's session: the kinds of the names, whether the user
 * may drop them, and which views name them.
 *
 * Invariants: the server checks the privileges, with the errors of DROP, before anything else is
 * shown. No statement here can destroy anything; the check ends the transaction, as the drop does,
 * and waits for others' locks for a second at most.
 */
import { type Answer, answerWith } from '../../steps/reply.js';
import type { DropRequest } from '../../steps/request.js';
import { type NameKind, readKind } from '../../steps/session/facts.js';
import { ask, type UserSession } from '../../steps/session/user-session.js';
import { type QualifiedName, showCreateSql } from '../../steps/session/user-session-sql.js';
import { askToDrop } from '../../steps/session-answers.js';
import type { ServerVersion } from '../../wire/connection/handshake-v10.js';
import { decodeErr, type Result } from '../../wire/response.js';
import { ER_LOCK_WAIT_TIMEOUT } from '../../wire/server-errors.js';
import { lockWaitSql, readSchemaFacts, schemaFactsSql } from '../drop-database/schema-sql.js';
import { namesToAsk } from '../drop-table/decide.js';

export interface Asked {
  readonly kind: 'asked';
  readonly kinds: readonly NameKind[];
  /** SHOW CREATE of each name. */
  readonly shown: readonly Result[];
  /** Names that another session has locked. */
  readonly locked: ReadonlySet<QualifiedName>;
}

const LOCK_WAIT_S = 1;

/** An answer: the drop would end with it. */
export async function askRights(
  session: UserSession,
  request: DropRequest,
  names: readonly QualifiedName[],
): Promise<Asked | Answer> {
  const { server, groupId, charset } = request;
  const shows = names.map((name) => showCreateSql(name, charset));
  const [first, ...shown] = await ask(session, schemaFactsSql(), ...shows);
  const facts = readSchemaFacts(first);
  if ('errno' in facts) return answerWith(facts);
  const kinds: NameKind[] = [];
  for (const kind of shown.map(readKind)) {
    if (typeof kind === 'object') return answerWith(kind);
    kinds.push(kind);
  }
  const isMysql = server.flavour === 'mysql';
  const nowait = { ...request.statement, wait: { kind: 'nowait' } as const };
  const asking = isMysql ? request : { ...request, statement: nowait };
  const wait = (seconds: number) => lockWaitSql(seconds, groupId);
  if (isMysql) await ask(session, wait(LOCK_WAIT_S));
  const locked = new Set<QualifiedName>();
  let ended: Answer | null = null;
  for (const name of namesToAsk({ names, kinds })) {
    const said = await askToDrop(session, asking, [name]);
    if (said === null) continue;
    ended = decodeErr(said.payload).errno === ER_LOCK_WAIT_TIMEOUT ? null : said;
    if (ended !== null) break;
    locked.add(name);
  }
  // Twice, because a late KILL may hit one.
  if (isMysql) await ask(session, wait(facts.lockWaitS), wait(facts.lockWaitS));
  return ended ?? { kind: 'asked', kinds, shown, locked };
}

interface StoredName {
  readonly schema: string;
  readonly table: string;
}

const VIEWS_MAX = 1_000;

/**
 * For each table the views that name it, among those visible to the user; null: it took too long.
 * On servers that read files for it, only the schemas of the tables are searched.
 */
export async function askViews(
  session: UserSession,
  tables: readonly StoredName[],
  server: ServerVersion,
): Promise<readonly (readonly string[])[] | null> {
  if (tables.length === 0) return [];
  const readsFiles = server.flavour === 'mariadb' || server.versionId < 80_000;
  const schemas = [...new Set(tables.map(({ schema }) => `_utf8 ${hex(schema)}`))].join(', ');
  const found = tables.map((table) => `${namesIn(table)} > 0`);
  const where = `${readsFiles ? `TABLE_SCHEMA IN (${schemas}) AND ` : ''}(${found.join(' OR ')})`;
  const select = `SELECT /*+ MAX_EXECUTION_TIME(2000) */ /* undrop views */`;
  const columns = ['CAST(TABLE_SCHEMA AS BINARY)', 'CAST(TABLE_NAME AS BINARY)', ...found];
  const [said] = await ask(
    session,
    Buffer.from(
      `${select} ${columns.join(', ')} FROM information_schema.VIEWS WHERE ${where}
       ORDER BY 1, 2 LIMIT ${VIEWS_MAX}`,
    ),
  );
  if (said?.kind !== 'rows') return null;
  const { rows } = said;
  return tables.map((_table, index) =>
    rows.flatMap((row) => (`${row[2 + index]}` === '1' ? `${row[0]}.${row[1]}` : [])),
  );
}

/** Where a definition names it; after a dot it is a table and a column of that. */
function namesIn({ schema, table }: StoredName): string {
  const name = `\`${schema.replaceAll('`', '``')}\`.\`${table.replaceAll('`', '``')}\``;
  const definition = `REPLACE(CAST(VIEW_DEFINITION AS BINARY), ${hex(`.${name}`)}, '')`;
  return `LOCATE(${hex(name)}, ${definition})`;
}

function hex(text: string): string {
  return `X'${Buffer.from(text).toString('hex')}'`;
}
