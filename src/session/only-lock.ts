/**
 * Whether a table that the session has locked by LOCK TABLES is the only one, and nobody waits for
 * one: then its lock can be given up and taken again. MariaDB alone.
 *
 * Invariant: where nobody can say it is false.
 */
import { askAliasSql, askReadSql } from '../drop/lock-words.js';
import { readTablesInUse } from '../ledger/session-locks.js';
import type { ClientCharset } from '../sql/lex-mode.js';
import type { Result } from '../wire/result-reader.js';
import { type InterceptOptions, newId } from './intercept.js';

const NOT_LOCKED = 1100;

interface Locked {
  readonly table: { readonly schema: string; readonly table: string };
  readonly charset: ClientCharset;
}

/** `table`: in UTF-8. Only for a session that is under LOCK TABLES. */
export async function isOnlyLock(
  { table, charset }: Locked,
  { userSession, service, session }: InterceptOptions,
): Promise<boolean> {
  const said = { groupId: newId(), charset };
  const used = await readTablesInUse(service.pool, session.threadId);
  const { tables, isWaitedFor, ownInnodb } = used;
  if (tables === null || isWaitedFor || (ownInnodb ?? 1) > 1) return false;
  const others = tables.filter((one) => one.schema !== table.schema || one.table !== table.table);
  // Who doesn't see this one may not see others either.
  if (others.length === tables.length) return false;
  const isPlain = (text: string) => Buffer.from(text).every((byte) => byte < 0x80);
  const mayAsk = charset === 'utf8' || others.every((one) => isPlain(one.schema + one.table));
  if (!mayAsk || !others.every(({ isBase }) => isBase)) return false;
  const names = others.map((one) => {
    return { schema: Buffer.from(one.schema), table: Buffer.from(one.table) };
  });
  const asked = names.flatMap((other) => [askReadSql(other, said), askAliasSql(other, said)]);
  const results = await userSession.run(asked.map((text) => ({ kind: 'query', text })));
  return names.every((_name, index) => {
    const [own, alias] = [results[2 * index], results[2 * index + 1]];
    return isError(own, NOT_LOCKED) && isError(alias, NOT_LOCKED);
  });
}

function isError(result: Result | undefined, errno: number): boolean {
  return result?.kind === 'err' && result.errno === errno;
}
