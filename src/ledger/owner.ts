/**
 * Who owns an intent: a user session, by its id in the processlist and the port from which the
 * server sees it come (not the one that we dialled from: there may be an address translation or a
 * relay between). Ids start again from 1 when the server does; id and port together don't come
 * back, so an owner is never taken for gone because of a clock.
 */
import type { ServerFacts } from '../service/server-facts.js';
import { type SQLQuery, sql } from '../service/sql.js';

/** The processlist that costs the server least. Others' rows need PROCESS. */
export function processlistOf(
  server: Pick<ServerFacts, 'flavour' | 'versionId' | 'performanceSchema'>,
): SQLQuery {
  const { flavour, versionId, performanceSchema } = server;
  return flavour === 'mysql' && versionId >= 80_022 && performanceSchema
    ? sql`performance_schema.processlist`
    : sql`information_schema.PROCESSLIST`;
}
