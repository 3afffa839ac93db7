/**
 * Who owns an intent: a user session, by its id in the processlist and the port from which the
 * server sees it come (not the one that we dialled from: there may be an address translation or a
 * relay between). Ids start again from 1 when the server does; id and port together don't come
 * back, so an owner is never taken for gone because of a clock.
 */
import type { ServerFacts } from '../service/server-facts.js';
import { type SQLQuery, serverIdentity, sql } from '../service/sql.js';

/**
 * For a row's `proxy_id`: which proxy, and on which server it wrote the row; by the server's own
 * words, as a pool may lead to another one behind the same name by now.
 */
export function proxyAt(
  proxyId: string,
  server: Pick<ServerFacts, 'flavour' | 'versionId'>,
): SQLQuery {
  return sql`CONCAT(${proxyId}, ${AT}, CRC32(${serverIdentity(server)}))`;
}

const AT = '@';

/** What `proxyAt` says of the server; null in a row of a version that didn't. */
export function serverOf(proxyId: string): string | null {
  const at = proxyId.indexOf(AT);
  return at < 0 ? null : proxyId.slice(at + AT.length);
}

/** The processlist that costs the server least. Others' rows need PROCESS. */
export function processlistOf(
  server: Pick<ServerFacts, 'flavour' | 'versionId' | 'performanceSchema'>,
): SQLQuery {
  const { flavour, versionId, performanceSchema } = server;
  return flavour === 'mysql' && versionId >= 80_022 && performanceSchema
    ? sql`performance_schema.processlist`
    : sql`information_schema.PROCESSLIST`;
}
