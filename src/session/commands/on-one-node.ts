/**
 * Statements of a session in a Galera cluster that stay on its own node: the server would run its
 * RENAME there, while the service account's go to all nodes, so undrop holds nothing for it.
 * https://mariadb.com/docs/galera-cluster/reference/galera-cluster-system-variables
 */
import type { UndropError } from '../../errors.js';
import { knownShape } from '../../ledger/write.js';
import type { InterceptOptions } from '../../statements/intercepted.js';
import { notDone } from '../../steps/refusals/refusals.js';
import { factText } from '../../steps/session/facts.js';

/** `wsrep_on` and `wsrep_OSU_method` of the session; other servers lack these variables. */
const CLUSTER = Buffer.from(
  `SELECT /*+ MAX_EXECUTION_TIME(0) */ /* undrop node */ CAST(@@wsrep_on + 0 AS BINARY),
   CAST(@@wsrep_OSU_method AS BINARY) LIMIT 1`,
);

export async function isOnOneNode({ service, userSession }: InterceptOptions): Promise<boolean> {
  // The service isn't waited for: most statements need no more than a refusal.
  if (!knownShape(service.pool)?.cluster) return false;
  const [said] = await userSession.run([{ kind: 'query', text: CLUSTER }]);
  const [on, method] = said?.kind === 'rows' ? (said.rows[0] ?? []).map(factText) : [];
  return on === '0' || method === 'RSU';
}

/** `tables`: the start of a sentence. */
export function notOnOneNode(tables: string): UndropError {
  const how = 'on one node of a cluster (wsrep_OSU_method=RSU, wsrep_on=OFF)';
  return notDone(how, tables, INSTEAD);
}

const INSTEAD =
  "SET SESSION wsrep_on = ON, wsrep_OSU_method = 'TOI' for it, or use a direct connection.";
