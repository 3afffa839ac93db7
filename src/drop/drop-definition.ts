/**
 * A DROP of views, routines, triggers or events, and a CREATE OR REPLACE of one: their definitions
 * are recorded, and the statement goes to the server.
 *
 * Invariant: the statement is neither refused nor changed, and waits for one read at most.
 */

import { tolerantly } from '../connections/errors.js';
import type { ServicePool } from '../connections/sql.js';
import { recordDefinitions } from '../ledger/definitions.js';
import { STATEMENT_BYTES_MAX } from '../ledger/entry.js';
import type { SchemaPart } from '../ledger/schema-details.js';
import { silentLog } from '../log.js';
import { inGroups, keyOf, type QualifiedTable, writtenName } from '../names/names.js';
import { showPart } from '../recycle/schema/schema-parts.js';
import type { DropDefinition } from '../sql/verdict.js';
import * as drops from './intercepted.js';
import { newId } from './steps/intents.js';
import { serviceNames } from './steps/names/client-names.js';
import { answerWith, askText, claimsIn, NO_NAMES, type UserFacts } from './steps/world.js';

const UNREAD = 'cannot record the definition of a dropped object; UNDROP will not find it';

/** The others of a longer list aren't read. */
const NAMES_MAX = 100;

/** `known`: the facts of the session, if they were read already. */
export async function dropDefinition(
  taken: drops.Intercepted,
  drop: DropDefinition,
  known: UserFacts | null,
  options: drops.InterceptOptions,
): Promise<drops.Interception> {
  const facts = known ?? (await drops.readUserFacts(options));
  if ('errno' in facts) return drops.answeredWith(facts);
  const all: Recorded[] = [];
  for (const one of [drop, ...(drop.more ?? [])]) all.push(...(await read(one, facts, options)));
  const write = () => record(all, { text: taken.text, facts }, options);
  // Otherwise the server's answer is not seen.
  const isAlone = drop.more === undefined && options.moreResults !== true;
  if (taken.packetKind !== 'query' || !isAlone) {
    write();
    return { kind: 'forward', facts };
  }
  const said = await askText(options.userSession, taken.text);
  if (said.kind === 'ok') write();
  return { ...drops.answeredWith(answerWith(said)), facts };
}

/** A definition, and its schema. */
interface Recorded {
  readonly schema: string;
  readonly part: SchemaPart;
}

/** The readable ones of a statement. */
async function read(
  { object, names }: DropDefinition,
  facts: UserFacts,
  { service }: drops.InterceptOptions,
): Promise<readonly Recorded[]> {
  const { log = silentLog, pool } = service;
  const found = serviceNames({ statement: { ...NO_NAMES, names } }, facts);
  const all = 'error' in found ? [] : found.tables.slice(0, NAMES_MAX);
  const tables = [...new Map(all.map((name) => [keyOf(name), name])).values()];
  const { value } = await tolerantly(() => readAll(pool, object, tables));
  const unread = tables.filter((name) => !value.some(({ of }) => of === name));
  if (unread.length > 0 || 'error' in found) {
    const what = { object, names: unread.map(writtenName) };
    log.warn({ event: 'unrecorded', ...what }, UNREAD);
  }
  return value.map(({ of: { schema }, part }) => ({ schema, part }));
}

/** Beside what follows. */
function record(
  all: readonly Recorded[],
  { text, facts }: { readonly text: Buffer; readonly facts: UserFacts },
  { service, session }: drops.InterceptOptions,
): void {
  const { proxyId, holdMs, log = silentLog } = service;
  const { threadId, clientAddress } = session;
  const statementText = text.subarray(0, STATEMENT_BYTES_MAX).toString();
  const claims = claimsIn(text, session);
  const who = { proxyId, threadId, clientAddress, user: facts.user, statementText, claims };
  const dropId = newId();
  const pool = service.pool.logging(facts.logged);
  for (const same of inGroups(all, ({ schema }) => schema)) {
    const schema = same[0]?.schema ?? '';
    const each = same.map(({ part }) => ({ id: newId(), part }));
    const drop = { ...who, dropId, schema, parts: each, hold: holdMs };
    recordDefinitions(pool, drop).catch((error: unknown) => {
      log.warn({ event: 'unrecorded', err: error }, UNREAD);
    });
  }
}

/** The readable ones. */
async function readAll(pool: ServicePool, kind: string, names: readonly QualifiedTable[]) {
  const read = await Promise.all(
    names.map(async (of) => {
      const shown = await showPart(pool, of.schema, { kind, name: of.table });
      const hasAll = shown !== null && shown.statement !== null;
      return hasAll ? [{ of, part: { kind, name: of.table, ...shown } }] : [];
    }),
  );
  return read.flat();
}
