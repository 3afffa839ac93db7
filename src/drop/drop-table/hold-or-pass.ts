/**
 * Decides about a DROP TABLE, a TRUNCATE or a drop of partitions that came as a query: it is held,
 * or refused if it drops partitions, unless an operator allows it to pass to the server (a rule
 * `native` for all its tables, or `ask`, for partitions) or its user hints `destroy` and may.
 *
 * Invariant: a statement passes only by the facts of the session at that moment, not by a guess,
 * and the log has a line for it before it goes. A rule that refuses wins over any hint, and one
 * that may refuse wins over `destroy`.
 */

import { assert, rootCause, UndropError } from '../../errors.js';
import { report, silentLog } from '../../log.js';
import { bars, mayBeNative, type Ruling } from '../../policy/decide.js';
import { crossCheck } from '../../sql/cross-check.js';
import { clientCharsetOf } from '../../sql/lex/client-charset.js';
import type { DropTableStatement } from '../../sql/verdict.js';
import type { ErrPacket } from '../../wire/response.js';
import * as ER from '../../wire/server-errors.js';
import * as drops from '../intercepted.js';
import { refusalOfDestroying, refusalOfRecycled } from '../steps/inspect-names.js';
import { newId } from '../steps/intents.js';
import { qualify, serviceNames } from '../steps/names/client-names.js';
import { loggedText, notUnderstood } from '../steps/refusals/refusals.js';
import { askFor, operatorOf } from '../steps/rules/ask.js';
import {
  allHints,
  FORGET_HINT,
  hintsIn,
  insists,
  mayHint,
  notAllowed,
  readHints,
} from '../steps/rules/hints.js';
import { type Ruled, ruleTables } from '../steps/rules/rules.js';
import { waitForLockSql } from '../steps/session/user-session.js';
import { askText, claimsIn, sentenceStart, type UserFacts } from '../steps/world.js';

/** `known`: the facts of the session, if they were read already. */
export async function dropOrPass(
  taken: drops.Intercepted,
  statement: DropTableStatement,
  known: UserFacts | null,
  options: drops.InterceptOptions,
): Promise<drops.Interception> {
  const { text } = taken;
  const { partitions = false } = statement;
  const mayPass = partitions || mayBePassed(statement, options.guess, options);
  const isAsked = known === null && (mayPass || mayHint(text));
  const facts = isAsked ? await drops.readUserFacts(options) : known;
  if (facts !== null && 'errno' in facts) return drops.answeredWith(facts);
  const written = facts === null ? [] : hintsIn(text, facts, options.server);
  if (written === null) return drops.refused(notUnderstood('its hints'), options);
  const hints = facts === null ? [] : allHints(written, facts);
  const drop = { taken, statement };
  const hint = readHints(hints, drop, options.service);
  if (hint instanceof UndropError || partitions) await forgetHint(facts, options);
  if (hint instanceof UndropError) return drops.refused(hint, options);
  const passed = facts === null || hint !== null ? null : await passByRule(drop, facts, options);
  if (passed !== null) return passed;
  const charset = clientCharsetOf((facts ?? options.guess).charset) ?? 'plain';
  return drops.dropAndHold({ text, statement, charset }, options, {
    hints,
    destroy: (seen) => destroy(drop, seen ?? facts, hints, options),
  });
}

async function forgetHint(facts: UserFacts | null, { userSession }: drops.InterceptOptions) {
  if (facts !== null && facts.hint !== null) await userSession.run([FORGET_HINT]);
}

interface Drop {
  readonly taken: drops.Intercepted;
  readonly statement: DropTableStatement;
}

/** Whether a check is worthwhile: the session's state may differ from the guess. */
function mayBePassed(
  statement: DropTableStatement,
  guess: drops.InterceptOptions['guess'],
  { service: { rules = [] } }: drops.InterceptOptions,
): boolean {
  if (statement.isDoubtful || rules.length === 0) return false;
  const names = serviceNames({ statement }, guess);
  if ('error' in names) return false;
  // A user is the account of that name, but for anonymous ones, which only the facts show.
  const { account = `${guess.user}@` } = guess;
  return names.tables.every((name) =>
    mayBeNative(rules, { ...name, account }, { foldsCase: true }),
  );
}

/** Null: it is held, or refused as what can't be held. */
async function passByRule(
  drop: Drop,
  facts: UserFacts,
  options: drops.InterceptOptions,
): Promise<drops.Interception | null> {
  if (!mayBePassed(drop.statement, facts, options)) return null;
  const denied = await deniedOf(drop, facts, options);
  if (denied !== null) return drops.answeredWith(denied);
  const ruled = await rulingsOf(drop, facts, { ...options, requireIdleMs: null });
  if (ruled instanceof UndropError) return null;
  const { partitions = false } = drop.statement;
  const isAsked = partitions && ruled.every(({ isNative, asks }) => isNative || asks);
  if (!isAsked && !ruled.every(({ isNative }) => isNative)) return null;
  const now = isAsked ? await askAbout(drop, { facts, hints: [], rulings: ruled }, options) : ruled;
  if (now instanceof UndropError) return drops.refused(now, options);
  return pass(drop, facts, { event: 'native', by: now.map(({ by }) => by) }, options);
}

/**
 * The server's error for a user who may not drop one of them, where a rule's answer would tell of
 * it; null: the server decides when it passes.
 */
async function deniedOf(
  { statement }: Drop,
  facts: UserFacts,
  { service: { rules = [] }, userSession }: drops.InterceptOptions,
): Promise<ErrPacket | null> {
  const charset = clientCharsetOf(facts.charset) ?? 'plain';
  for (const name of rules.some(bars) ? statement.names : []) {
    const look = waitForLockSql(qualify(name, facts), { dropId: newId(), charset });
    const said = await askText(userSession, look);
    if (said.kind === 'err' && ER.ACCESS_DENIED.includes(said.errno)) return said;
  }
  return null;
}

/** The rulings once an operator has allowed the statement, or its refusal. */
async function askAbout(
  { taken: { text }, statement }: Drop,
  asked: Pick<Parameters<typeof askFor>[0], 'facts' | 'hints' | 'rulings'>,
  { service, session }: drops.InterceptOptions,
): Promise<readonly Ruling[] | UndropError> {
  const subject = sentenceStart({ statement });
  const names = serviceNames({ statement }, asked.facts);
  const tables = 'error' in names ? [] : names.tables;
  try {
    const about = { ...asked, subject, tables, text, session, isNative: true };
    return await askFor(about, operatorOf(service));
  } catch (error) {
    const params = { tables: subject, cause: rootCause(error) };
    return new UndropError('UNDROP_NOT_RECORDED', params, error);
  }
}

/** The hint `destroy`; `facts` were read, because there is a hint. */
async function destroy(
  drop: Drop,
  facts: UserFacts | null,
  hints: readonly string[],
  options: drops.InterceptOptions,
): Promise<drops.Interception> {
  assert(facts !== null, 'a hint was read with the facts of the session');
  const { service } = options;
  await forgetHint(facts, options);
  if (service.allowDestroy !== 'users') return drops.refused(notAllowed(drop), options);
  const { empties, partitions } = drop.statement;
  const mayBeUsed = insists(allHints(hints, facts)) || empties || partitions;
  const requireIdleMs = mayBeUsed ? null : (service.requireIdleMs ?? null);
  const denied = await deniedOf(drop, facts, options);
  if (denied !== null) return drops.answeredWith(denied);
  const ruled = await rulingsOf(drop, facts, { ...options, requireIdleMs });
  const asked = { facts, hints: allHints(hints, facts) };
  const now =
    ruled instanceof UndropError
      ? ruled
      : await askAbout(drop, { ...asked, rulings: ruled }, options);
  const refusal = now instanceof UndropError ? now : refusalOfDestroying(drop, now);
  if (refusal !== null) return drops.refused(refusal, options);
  return pass(drop, facts, { event: 'destroyed', by: ['hint destroy'] }, options);
}

/** The rulings by rules alone; an error if the tables can't be named, or are undrop's. */
async function rulingsOf(
  { statement, taken: { text } }: Drop,
  facts: UserFacts,
  options: Pick<drops.InterceptOptions, 'service' | 'session'> & Pick<Ruled, 'requireIdleMs'>,
): Promise<readonly Ruling[] | UndropError> {
  const { service, session, requireIdleMs } = options;
  const { pool, holdMs, rules = [] } = service;
  const names = serviceNames({ statement }, facts);
  if ('error' in names) return names.error;
  const recycled = refusalOfRecycled(names.tables);
  if (recycled !== null) return recycled;
  const { account } = facts;
  try {
    const claims = claimsIn(text, session);
    const ruled = { rules, hint: null, holdMs, account, claims, requireIdleMs };
    return await ruleTables(pool, names.tables, ruled);
  } catch (error) {
    const params = { tables: sentenceStart({ statement }), cause: rootCause(error) };
    return new UndropError('UNDROP_NOT_RECORDED', params, error);
  }
}

/** Sends the client's packet; the server checks the privileges of the user, and responds. */
async function pass(
  { taken, statement }: Drop,
  facts: UserFacts,
  why: { readonly event: 'native' | 'destroyed'; readonly by: readonly (string | null)[] },
  options: drops.InterceptOptions,
): Promise<drops.Interception> {
  const { service, session } = options;
  const difference = await crossCheck(statement, taken.text);
  if (difference !== null) return drops.refuseUnclear(taken, difference, options);
  const names = serviceNames({ statement }, facts);
  const tables = 'error' in names ? [] : names.tables;
  const passed = {
    ...why,
    user: facts.user,
    client: session.clientAddress,
    threadId: session.threadId,
    program: claimsIn(taken.text, session).program,
    tables: tables.map(({ schema, table }) => `${schema}.${table}`),
    statement: loggedText(taken.text),
  };
  report(service.log ?? silentLog, [passed]);
  return { kind: 'forward', facts };
}
