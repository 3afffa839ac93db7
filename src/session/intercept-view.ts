/**
 * DROP VIEW as a text, where UNDROP_PROTECT has drop-view: the definitions of its views are written
 * into the ledger; then the client's own text goes to the server, whose answer is the client's.
 *
 * Invariant: a view that was there when it was looked for is dropped only with its definition in
 * the ledger, or where ops, or an allowed wish, say that it needs none. What the session sees and
 * the service doesn't is not dropped.
 */
import { assert } from '../assert.js';
import { seesSession } from '../drop/guard-schema.js';
import { firstCause, innermost } from '../drop/innermost.js';
import type { UserFacts } from '../drop/request.js';
import { type RuledName, ruleTables } from '../drop/rule-tables.js';
import { askServiceNames } from '../drop/service-names.js';
import { FORGET_WISH, readWishes } from '../drop/wishes.js';
import { turnSql } from '../drop/words.js';
import { writeAtLast } from '../drop/write-at-last.js';
import { UndropError } from '../errors.js';
import { statementTextOf } from '../ledger/statement-text.js';
import { findViewDrops, recordViewDrops, type ViewDrop } from '../ledger/views.js';
import { findView, showView } from '../moves/view-definition.js';
import type { Ruling } from '../policy/decide.js';
import type { Wish } from '../policy/wish.js';
import { settleEndedViews } from '../recovery/settle-views.js';
import { isServerError, type ServicePool } from '../service/pools.js';
import { readServerFacts } from '../service/server-facts.js';
import type { DropViewStatement } from '../sql/grammar/drop-view.js';
import { clientCharsetOf } from '../sql/lex-mode.js';
import type { ErrPacket } from '../wire/response/err.js';
import { ER_LOCK_WAIT_TIMEOUT, GAVE_UP, OWN_GLOBAL_LOCK } from '../wire/server-errors.js';
import { wishesIn } from './drop-wishes.js';
import {
  answerWith,
  type DropOfViews,
  type Interception,
  type InterceptOptions,
  newId,
  readUserFacts,
  refused,
  type Taken,
  unclear,
} from './intercept.js';
import { dropOf } from './intercept-replace.js';
import { loggedText } from './logged-text.js';
import { FILE_NAME_PREFIX, hasFileNames, isFileName } from './objections.js';
import { listTables, notDone, notUnderstood } from './refusals.js';

export async function dropViews(
  taken: Taken,
  { dropView: statement, facts: known }: DropOfViews,
  options: InterceptOptions,
): Promise<Interception> {
  const { server } = options;
  if (statement === undefined) return unclear(taken, 'this DROP VIEW is not understood', options);
  if (taken.carrier !== 'query') {
    return refused(
      notDone('by a prepared DROP VIEW', listTables(statement.names, 'View')),
      options,
    );
  }
  const parts = statement.names.flatMap(({ schema, table }) => [schema, table]);
  if (hasFileNames(server) && parts.some(isFileName)) {
    return refused(notUnderstood(`${FILE_NAME_PREFIX} names a view by its file`), options);
  }
  const facts = known ?? (await readUserFacts(options));
  if ('errno' in facts) return answerWith(facts);
  const wish = await wishOf(taken, statement, facts, options);
  if (wish instanceof UndropError) return refused(wish, options);
  // Without a schema it is an error of the server's for all its names.
  const isHomeless = facts.schema === null && statement.names.some(({ schema }) => schema === null);
  if (isHomeless) return { kind: 'forward', facts };
  const plan = await planViews(taken, statement, { facts, wish }, options);
  if (plan instanceof UndropError) return refused(plan, options);
  if ('errno' in plan) return answerWith(plan);
  if (plan.isNative) return pass(taken, statement, plan.by, facts, options);
  return run(taken, plan, facts, options);
}

/** That of the session is used up. */
async function wishOf(
  { text }: Taken,
  { names }: DropViewStatement,
  facts: UserFacts,
  { server, service, userSession }: InterceptOptions,
): Promise<Wish | null | UndropError> {
  const said = wishesIn(text, facts, server);
  if (facts.wish !== null) await userSession.run([FORGET_WISH]);
  if (said === null) return notUnderstood('its character set');
  const views = listTables(names, 'View');
  const all = facts.wish === null ? said : [...said, facts.wish];
  const wish = readWishes(all, views, service);
  if (wish === null || wish instanceof UndropError || wish.what.do !== 'destroy') return wish;
  if (service.allowDestroy === 'users') return wish;
  const instead = 'Drop it without the wish; or set UNDROP_ALLOW_DESTROY to users.';
  return new UndropError('UNDROP_DESTROY', { tables: views, why: 'here', instead });
}

/** What is written down before the DROP VIEW. */
interface Plan {
  readonly isNative: boolean;
  readonly by: readonly (string | null)[];
  readonly groupId: string;
  readonly views: readonly ViewDrop[];
}

async function planViews(
  { text }: Taken,
  statement: DropViewStatement,
  { facts, wish }: { readonly facts: UserFacts; readonly wish: Wish | null },
  options: InterceptOptions,
): Promise<Plan | UndropError | ErrPacket> {
  const { service, session } = options;
  const { pool, holdMs } = service;
  // What a rule asks of rows fits no view.
  const rules = (service.rules ?? []).filter(({ conditions }) =>
    conditions.every(({ kind }) => kind === 'user'),
  );
  const [first] = statement.names;
  assert(first !== undefined, 'a DROP VIEW has a name');
  const asTables = { ...dropOf({ table: first, words: [] }), names: statement.names };
  const names = await askServiceNames(pool, { statement: asTables }, facts);
  if ('error' in names) return names.error;
  const tables = listTables(statement.names, 'View');
  const groupId = newId();
  try {
    const { account } = facts;
    const destroys = wish?.what.do === 'destroy';
    const ruled = { rules, wish: destroys ? null : wish, holdMs, account, looksForRows: false };
    const rulings = await ruleTables(pool, names.tables, ruled);
    const refused = await whatIsRefused(pool, names.tables, rulings);
    if (refused !== null) return new UndropError('UNDROP_RULE', { tables, ...refused });
    const by = destroys ? ['wish destroy'] : rulings.map((ruling: Ruling) => ruling.by);
    const isNative = destroys || rulings.every((ruling) => ruling.isNative);
    if (isNative) return { isNative, by, groupId, views: [] };
    const at = { groupId, server: await readServerFacts(pool), session, facts };
    if (!(await seesSession(pool, at))) {
      return new UndropError('UNDROP_SESSION_NOT_FOUND', { tables, threadId: session.threadId });
    }
    const named = names.tables.map((name, index) => {
      return { ...name, hold: rulings[index]?.hold ?? holdMs };
    });
    for (let round = 1; ; round++) {
      const turn = await waitForTurn(statement, { groupId, facts }, options);
      if (turn !== null) return turn;
      try {
        const views = await writeDown(text, named, { groupId, facts, tables }, options);
        return views instanceof UndropError ? views : { isNative, by, groupId, views };
      } catch (error) {
        const hasWaited = isServerError(firstCause(error), ER_LOCK_WAIT_TIMEOUT);
        if (round === ROUNDS_MAX || !hasWaited) throw error;
      }
    }
  } catch (error) {
    return new UndropError('UNDROP_NOT_RECORDED', { tables, cause: innermost(error) }, error);
  }
}

/** Somebody may lock the server between the session's turn and the writing, but not always. */
const ROUNDS_MAX = 3;

/** DROP VIEW would have ended with the same error, having waited or not. */
const SAME_AS_DROP: readonly number[] = [...GAVE_UP, ...OWN_GLOBAL_LOCK];

/**
 * The session waits until nobody has the server or one of the views locked, as long as its own
 * settings and KILL say. Null: go on. One that has set its GTID would use it up.
 */
async function waitForTurn(
  { names }: DropViewStatement,
  { groupId, facts }: { readonly groupId: string; readonly facts: UserFacts },
  { userSession }: InterceptOptions,
): Promise<ErrPacket | null> {
  if (facts.gtidNext !== null) return null;
  const charset = clientCharsetOf(facts.charset) ?? 'plain';
  for (const name of names) {
    const text = turnSql(name, { groupId, charset, wait: null });
    const [said] = await userSession.run([{ kind: 'query', text }]);
    if (said?.kind === 'err' && SAME_AS_DROP.includes(said.errno)) return said;
  }
  return null;
}

/** The definitions of those that are there, in the ledger. */
async function writeDown(
  text: Buffer,
  names: readonly (RuledName & Pick<ViewDrop, 'hold'>)[],
  of: { readonly groupId: string; readonly facts: UserFacts; readonly tables: string },
  { service, session, userSession }: InterceptOptions,
): Promise<readonly ViewDrop[] | UndropError> {
  const { pool, proxyId, activeIds } = service;
  const { groupId, facts, tables } = of;
  const views: ViewDrop[] = [];
  for (const { schema, table, hold } of names) {
    const id = newId();
    const shown = await showView(pool, { id, schema, view: table });
    if (shown === null && (await isSeenBy(userSession, schema, table))) {
      const cause = `the service account doesn't see ${schema}.${table}`;
      return new UndropError('UNDROP_NOT_RECORDED', { tables, cause });
    }
    const isKnown = views.some((one) => one.schema === shown?.schema && one.view === shown.view);
    if (shown === null || isKnown) continue;
    views.push({ ...shown, id, hold });
  }
  if (views.length === 0) return views;
  for (const { id } of views) activeIds.add(id);
  try {
    await recordViewDrops(pool, {
      groupId,
      proxyId,
      threadId: session.threadId,
      user: facts.user,
      clientAddress: session.clientAddress,
      statementText: statementTextOf(text),
      sqlLogBin: facts.logged,
      views,
    });
  } catch (error) {
    for (const { id } of views) activeIds.delete(id);
    throw error;
  }
  return views;
}

/** Whether the session's user has a view of that name; one who has no right on it sees none. */
async function isSeenBy(
  userSession: InterceptOptions['userSession'],
  schema: string,
  view: string,
): Promise<boolean> {
  const [said] = await userSession.run([{ kind: 'query', text: findViewSql(schema, view) }]);
  return said?.kind === 'err' || (said?.kind === 'rows' && said.rows.length > 0);
}

/** In ASCII alone, as the session may have any charset; LIMIT, as sql_select_limit may be 0. */
function findViewSql(schema: string, view: string): Buffer {
  const hex = (name: string) => `X'${Buffer.from(name).toString('hex')}'`;
  return Buffer.from(
    `SELECT /* undrop */ 1 FROM information_schema.TABLES WHERE TABLE_TYPE = 'VIEW' ` +
      `AND TABLE_SCHEMA = CONVERT(${hex(schema)} USING utf8) ` +
      `AND TABLE_NAME = CONVERT(${hex(view)} USING utf8) AND (@@lower_case_table_names <> 0 ` +
      `OR CAST(TABLE_NAME AS BINARY) = ${hex(view)}) LIMIT 1`,
  );
}

/** The first view that a rule refuses to drop; a name without one is for the server to answer. */
async function whatIsRefused(
  pool: ServicePool,
  names: readonly RuledName[],
  rulings: readonly Ruling[],
): Promise<{ readonly table: string; readonly rule: string } | null> {
  for (const [index, { schema, table: view }] of names.entries()) {
    const rule = rulings[index]?.refusedBy ?? null;
    if (rule === null || (await findView(pool, { id: newId(), schema, view })) === null) continue;
    return { table: `${schema}.${view}`, rule };
  }
  return null;
}

/** The client's text, and behind its answer what became of each view. */
async function run(
  { packet }: Taken,
  { groupId, views, by }: Plan,
  facts: UserFacts,
  options: InterceptOptions,
): Promise<Interception> {
  const { userSession, service, session } = options;
  const { pool, activeIds, stopping, log } = service;
  const release = () => {
    for (const { id } of views) activeIds.delete(id);
  };
  try {
    const drop = { kind: 'packet', payload: packet.payload, isAnswered: true } as const;
    const [said] = await userSession.run([drop]);
    assert(said?.kind === 'ok' || said?.kind === 'err', 'DROP VIEW answers OK or ERR');
    const { payload } = said;
    if (said.kind === 'ok' && views.length > 0) {
      const fields = {
        event: 'kept',
        client: session.clientAddress,
        user: facts.user,
        threadId: session.threadId,
        views: views.map(({ schema, view }) => `${schema}.${view}`),
        ids: views.map(({ id }) => id),
        ...(by.some((one) => one !== null) ? { by } : {}),
      };
      log?.info(fields, 'definitions of dropped views are kept');
    }
    const settle = async () => {
      if (views.length === 0) return;
      // Some servers drop those that are there, and say an error for the others.
      await settleEndedViews(pool, await findViewDrops(pool, 'dropping', { groupId }));
    };
    const finish = async (onLate?: (error: Error) => void) => {
      try {
        await writeAtLast(settle, { stopping, onLate });
      } catch (error) {
        service.onUnsettled();
        throw error;
      } finally {
        release();
      }
    };
    const dropped = { payload, held: [], tables: [], refusal: null, facts, finish };
    return { kind: 'answer', payload, refusal: null, facts, dropped };
  } catch (error) {
    release();
    service.onUnsettled();
    throw error;
  }
}

/** The client's packet goes on, and nothing is kept. */
function pass(
  { text }: Taken,
  { names }: DropViewStatement,
  by: readonly (string | null)[],
  facts: UserFacts,
  { service, session }: InterceptOptions,
): Interception {
  const fields = {
    event: by.includes('wish destroy') ? 'destroyed' : 'native',
    client: session.clientAddress,
    user: facts.user,
    threadId: session.threadId,
    by,
    views: names.length,
    statement: loggedText(text),
  };
  service.log?.warn(fields, 'definitions are not kept: the server is to drop the views');
  return { kind: 'forward', facts };
}
