/**
 * The rule `ask`: a statement is refused until an operator has allowed it, once. Its tables are
 * then held as by no rule; where none can be held, it passes to the server. The history has an
 * event for each refusal, and another for each allowance.
 *
 * Invariant: an allowance is for the same text of the same account, with the same tables, default
 * schema and hints; it ends with the statement that takes it, or after ten minutes.
 */
import { createHash } from 'node:crypto';
import type { ClientWho, Who } from '../../../audit.js';
import type { Row, ServiceConnection, ServicePool, SQLQuery } from '../../../connections/sql.js';
import { col, note, sql } from '../../../connections/sql.js';
import { UndropError } from '../../../errors.js';
import { reportAndKeep } from '../../../ledger/history.js';
import { readIfAny } from '../../../ledger/read.js';
import { HISTORY } from '../../../ledger/tables.js';
import { type Log, silentLog } from '../../../log.js';
import { type QualifiedTable, writtenName } from '../../../names/names.js';
import type { Ruling } from '../../../policy/decide.js';
import { asLike } from '../../../wildcards.js';
import { loggedText, untilAllowed } from '../refusals/refusals.js';
import { claimsIn, type SessionFacts, type UserFacts } from '../world.js';

/** A statement with a ruling on each of its tables. */
interface Ruled extends Pick<Asking, 'subject' | 'text'> {
  readonly rulings: readonly Ruling[];
  readonly tables: readonly QualifiedTable[];
  readonly hints: Iterable<string>;
  readonly facts: UserFacts;
  readonly session: SessionFacts;
  /** The server drops it at once, once it is allowed; default: it is held. */
  readonly isNative?: boolean;
}

/** The logged text may end before what says so. */
const NOT_HELD = ' (for good: it cannot be held)';

/** Asks an operator about a statement. */
export type AskOperator = (asking: Asking) => ReturnType<typeof askOperator>;

export function operatorOf(to: { readonly pool: ServicePool; readonly log?: Log }): AskOperator {
  return (asking) => askOperator(to.pool, asking, to.log);
}

/** The same answer for all tries of a statement, unless there are more tables. */
export function askOnce(ask: AskOperator): AskOperator {
  let last: ReturnType<AskOperator> | null = null;
  let known: ReadonlySet<string> = new Set();
  return (asking) => {
    if (last !== null && asking.tables.every((table) => known.has(table))) return last;
    known = new Set(asking.tables);
    last = ask(asking);
    return last;
  };
}

/**
 * The rulings once an operator has allowed the statement, or its refusal. Rejects with an error of
 * the server or the pool.
 */
export async function askFor(
  { rulings, subject, tables, text, hints, facts, session, isNative = false }: Ruled,
  ask: AskOperator,
): Promise<readonly Ruling[] | UndropError> {
  const rule = rulings.find(({ asks }) => asks)?.refusedBy ?? null;
  // It is refused in any case.
  const isRefused = ({ refusedBy, asks, inUse = null }: Ruling) =>
    inUse !== null || (refusedBy !== null && !asks);
  if (rule === null || rulings.some(isRefused)) return rulings;
  const { user, account, schema } = facts;
  const { clientAddress: client, threadId } = session;
  const { program } = claimsIn(text, session);
  const said = await ask({
    ...{ subject, rule, account, schema, text, hints: [...hints] },
    who: { user, client, threadId, program },
    statement: `${loggedText(Buffer.from(text))}${isNative ? NOT_HELD : ''}`,
    tables: tables.map(writtenName).toSorted(),
  });
  if (said instanceof UndropError) return said;
  return rulings.map((ruling) => {
    const by = `${ruling.by}, allowed by ${said.by}`;
    return ruling.asks ? { ...ruling, refusedBy: null, asks: false, by } : ruling;
  });
}

// ── the requests ─────────────────────────────────────────────────────────────────────────────────
// Each is an event in the history.

/** A statement that a rule asks about. */
export interface Asking {
  /** "Table a was", the start of a sentence. */
  readonly subject: string;
  readonly rule: string;
  /** `name@host`, by the server. */
  readonly account: string;
  readonly schema: string | null;
  readonly hints: readonly string[];
  readonly text: Uint8Array;
  readonly who: ClientWho;
  /** For the operator: the text as the log has it, and all of its tables. */
  readonly statement: string;
  readonly tables: readonly string[];
}

export const ALLOWED_MINUTES = 10;
/** The details of an event have 65,535 bytes. */
const NAMES_MAX = 50;
const RULE_MAX = 1_000;
/** For one account, in a day. */
const WAITING_MAX = 50;
const SHOWN_MAX = 100;

/**
 * Takes the allowance, and resolves to who gave it; or to the refusal, with the id that an operator
 * can allow. Rejects with an error of the server or the pool.
 */
export async function askOperator(
  connection: ServiceConnection,
  asking: Asking,
  log: Log = silentLog,
): Promise<UndropError | { readonly by: string }> {
  const { subject, rule, account, who, statement, tables } = asking;
  const request = requestIdOf(asking);
  const [given] = await readIfAny(
    connection,
    sql`SELECT ${note('ask')} seq, who FROM ${HISTORY} WHERE ${isAllowed(request)} LIMIT 1`,
  );
  if (given !== undefined) {
    // Another statement may be faster.
    const [taken] = await connection.run(
      sql`UPDATE ${note('ask')} ${HISTORY} SET uses = 1
          WHERE seq = ${col.text(given, 'seq')} AND uses = 0`,
    );
    if (taken?.affectedRows === 1) return { by: col.text(given, 'who') };
  }
  const isOfAccount = sql`${IS_ASKED} AND ${has('account', account)}`;
  const known = await readIfAny(
    connection,
    sql`SELECT ${note('ask')} 1 AS one, ${has('request', request)} AS isKnown FROM ${HISTORY}
        WHERE ${isOfAccount} LIMIT ${WAITING_MAX}`,
  );
  const isNew = !known.some((row) => col.flag(row, 'isKnown'));
  if (isNew && known.length >= WAITING_MAX)
    return untilAllowed({ subject, rule, instead: TOO_MANY });
  const named = [...tables.slice(0, NAMES_MAX)];
  if (tables.length > NAMES_MAX) named.push(`and ${tables.length - NAMES_MAX} more`);
  const what = { request, tables: named, statement, because: rule.slice(0, RULE_MAX), account };
  const asked = { event: 'asked', ...what } as const;
  if (isNew) await reportAndKeep({ connection, log }, [{ ...asked, ...who }]);
  const within = `within ${ALLOWED_MINUTES} minutes of it`;
  const instead = `Ask an operator for \`undrop allow ${request}\`, and send the same statement again ${within}.`;
  return untilAllowed({ subject, rule, instead });
}

const TOO_MANY = `${WAITING_MAX} statements of this account wait for an operator; ask for one of them.`;

const IS_ASKED = sql`event = 'asked' AND at > UTC_TIMESTAMP() - INTERVAL 1 DAY`;

function isAllowed(request: string): SQLQuery {
  return sql`event = 'allowed' AND uses = 0 AND ${has('request', request)}
    AND at > UTC_TIMESTAMP() - INTERVAL ${ALLOWED_MINUTES} MINUTE`;
}

/** In the JSON of an event; within a text its quotes would be escaped. */
function has(key: string, value: string): SQLQuery {
  return sql`details LIKE ${`%${asLike(`"${key}":${JSON.stringify(value)}`)}%`}`;
}

/** 128 bits, so that nobody finds another statement with the id of one that is allowed. */
function requestIdOf({ account, schema, tables, hints, text }: Asking): string {
  const what = JSON.stringify([account, schema, tables, hints.toSorted()]);
  return createHash('sha256').update(what).update('\0').update(text).digest('hex').slice(0, 32);
}

export type Request = ReturnType<typeof requestOf>;

function requestOf(row: Row) {
  const { request, tables, statement, because } = JSON.parse(col.text(row, 'details')) as Readonly<
    Record<'request' | 'statement' | 'because', string>
  > & { readonly tables: readonly string[] };
  return {
    ...{ id: request, askedAt: col.date(row, 'at'), who: col.text(row, 'who') },
    ...{ tables, statement, rule: because },
  };
}

/** The last day's, newest first. `digits`: with which the id begins or ends; default: all. */
export async function readRequests(
  connection: ServiceConnection,
  digits = '',
): Promise<readonly Request[]> {
  const rows = await readIfAny(
    connection,
    sql`SELECT ${note('ask')} at, who, details FROM ${HISTORY}
        WHERE ${IS_ASKED} AND INSTR(details, ${digits}) > 0 ORDER BY seq DESC LIMIT ${SHOWN_MAX}`,
  );
  return rows.map(requestOf).filter(({ id }) => id.startsWith(digits) || id.endsWith(digits));
}

/** It may be sent again, once. */
export async function allowRequest(
  to: { readonly connection: ServiceConnection; readonly log: Log },
  { id: request, tables, statement }: Request,
  who: Partial<Who>,
): Promise<void> {
  await reportAndKeep(to, [{ event: 'allowed', request, tables, statement, ...who }]);
}
