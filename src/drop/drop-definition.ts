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
import { silentLog } from '../log.js';
import { inGroups, type QualifiedTable } from '../names/names.js';
import { showPart } from '../recycle/schema/schema-parts.js';
import type { DropDefinition } from '../sql/verdict.js';
import * as drops from './intercepted.js';
import { newId } from './steps/intents.js';
import { serviceNames } from './steps/names/client-names.js';
import { NO_NAMES, type UserFacts } from './steps/world.js';

const UNREAD = 'cannot record the definition of a dropped object; UNDROP will not find it';

/** The others of a longer list aren't read. */
const NAMES_MAX = 100;

/** `known`: the facts of the session, if they were read already. */
export async function dropDefinition(
  taken: drops.Intercepted,
  { object, names }: DropDefinition,
  known: UserFacts | null,
  options: drops.InterceptOptions,
): Promise<drops.Interception> {
  const facts = known ?? (await drops.readUserFacts(options));
  if ('errno' in facts) return drops.answeredWith(facts);
  const { log = silentLog } = options.service;
  const found = serviceNames({ statement: { ...NO_NAMES, names } }, facts);
  const tables = 'error' in found ? [] : found.tables.slice(0, NAMES_MAX);
  const pool = options.service.pool.logging(facts.logged);
  const { value: read } = await tolerantly(() => readAll(pool, object, tables));
  const unread = tables.filter((name) => !read.some(({ of }) => of === name));
  if (unread.length > 0 || 'error' in found) {
    const what = { object, names: unread.map(({ schema, table }) => `${schema}.${table}`) };
    log.warn({ event: 'unrecorded', ...what }, UNREAD);
  }
  const { proxyId, holdMs } = options.service;
  const { threadId, clientAddress } = options.session;
  const statementText = taken.text.subarray(0, STATEMENT_BYTES_MAX).toString();
  const statement = { proxyId, threadId, clientAddress, user: facts.user, statementText };
  const dropId = newId();
  for (const same of inGroups(read, ({ of }) => of.schema)) {
    const schema = same[0]?.of.schema ?? '';
    const parts = same.map(({ part }) => ({ id: newId(), part }));
    const drop = { ...statement, dropId, schema, parts, hold: holdMs };
    // Beside the statement itself.
    recordDefinitions(pool, drop).catch((error: unknown) => {
      log.warn({ event: 'unrecorded', object, err: error }, UNREAD);
    });
  }
  return { kind: 'forward', facts };
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
