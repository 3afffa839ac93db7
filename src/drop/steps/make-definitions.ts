/**
 * Makes the user's own session create what the service account may not create again: triggers of a
 * restored table, and views and programs of a restored schema. The server decides whether this user
 * may. Pure.
 *
 * Invariant: the session has its own settings afterwards, and waits for a lock for a moment only.
 * Created ones are on the server, and the next check finds them there.
 */

import { quoteIdentifier } from '../../connections/sql.js';
import { assert } from '../../errors.js';
import * as ER from '../../wire/server-errors.js';
import { factText } from './session/facts.js';
import { ask, type UserFacts, type UserSession } from './world.js';

export interface DefinitionToMake {
  /** After one that failed, no other of its group is created. */
  readonly group: string;
  /** The settings under which it was created. */
  readonly set: Buffer;
  readonly create: Buffer;
  /** Statements that the server must answer with `ER_SP_DOES_NOT_EXIST` before. */
  readonly probes?: readonly Buffer[];
}

const WAIT_S = 1;
/** The same in each charset of a client. */
const ASCII = /^[ -~]+$/;
const SETTINGS = Buffer.from(
  `SELECT /*+ MAX_EXECUTION_TIME(0) */ /* undrop settings */
   CAST(@@collation_connection AS BINARY), CAST(@@time_zone AS BINARY),
   CAST(@@lock_wait_timeout AS BINARY) LIMIT 1`,
);

/**
 * True: some were created. Refused ones are still missing. `within`: their schema, which is the
 * default one meanwhile: servers print functions in views without theirs. A session without a
 * default schema can't get rid of one, and keeps none.
 */
export async function makeDefinitions(
  session: UserSession,
  definitions: readonly DefinitionToMake[],
  { charset, sqlMode, schema }: UserFacts,
  within: string | null = null,
): Promise<boolean> {
  if (definitions.length === 0) return false;
  const [read] = await ask(session, SETTINGS);
  const row = read?.kind === 'rows' ? (read.rows[0] ?? []) : [];
  const [collation = '', zone = '', wait = ''] = row.map(factText);
  if (!/^\d+$/.test(wait)) return false;
  const words = [charset, sqlMode, collation, zone];
  assert(
    words.every((word) => /^[\w,:/+-]*$/.test(word)),
    'settings of a session are words',
  );
  const back = Buffer.from(
    `SET character_set_client = '${charset}', sql_mode = '${sqlMode}', time_zone = '${zone}',
     collation_connection = '${collation}', lock_wait_timeout = ${wait}`,
  );
  const isMovable =
    within !== null && schema !== null && [within, schema].every((name) => ASCII.test(name));
  // It may be gone.
  const isMoved = isMovable && (await isDone(session, useText(schema)));
  const failed = new Set<string>();
  let hasMade = false;
  try {
    await ask(session, Buffer.from(`SET lock_wait_timeout = ${WAIT_S}`));
    if (isMoved) await ask(session, useText(within));
    for (const { group, set, create, probes = [] } of definitions) {
      if (failed.has(group)) continue;
      const isAlone = (await isDone(session, set)) && (await isSingle(session, create));
      const isReady = isAlone && (await isAllowed(session, probes));
      if (isReady && (await isDone(session, create))) hasMade = true;
      else failed.add(group);
    }
  } finally {
    // Twice, because a late KILL may hit one.
    const said = await ask(session, back, back);
    assert(
      said.some(({ kind }) => kind === 'ok'),
      'a session takes its own settings',
    );
    if (isMoved) await ask(session, useText(schema), useText(schema));
  }
  return hasMade;
}

function useText(schema: string): Buffer {
  return Buffer.from(`USE ${quoteIdentifier(schema)}`);
}

async function isDone(session: UserSession, text: Buffer): Promise<boolean> {
  const [said] = await ask(session, text);
  return said?.kind === 'ok';
}

/**
 * Others have written it: under its settings it may be read as several statements, and this session
 * may run several in a text. A PREPARE takes one, of any kind.
 */
async function isSingle(session: UserSession, text: Buffer): Promise<boolean> {
  const [said] = await session.run([{ kind: 'prepare', text }]);
  if (said?.kind === 'err') return said.errno === ER.UNSUPPORTED_PS;
  assert(said?.kind === 'prepared', 'PREPARE is answered');
  await session.run([{ kind: 'close', statementId: said.statementId }]);
  return true;
}

async function isAllowed(session: UserSession, probes: readonly Buffer[]): Promise<boolean> {
  for (const probe of probes) {
    const [said] = await ask(session, probe);
    if (said?.kind !== 'err' || said.errno !== ER.SP_DOES_NOT_EXIST) return false;
  }
  return true;
}
