/**
 * Statements of a session in a Galera cluster that stay on its own node: the server would run its
 * RENAME there, while the service account's go to all nodes, so undrop holds nothing for it.
 * https://mariadb.com/docs/galera-cluster/reference/galera-cluster-system-variables
 */

import { tolerantly } from '../../connections/errors.js';
import type { InterceptOptions } from '../../drop/intercepted.js';
import { notDone } from '../../drop/steps/refusals/refusals.js';
import { factText } from '../../drop/steps/session/facts.js';
import { ask } from '../../drop/steps/world.js';
import type { UndropError } from '../../errors.js';
import { shapeOf } from '../../ledger/write.js';

/** `wsrep_on` and `wsrep_OSU_method` of the session; other servers lack these variables. */
const CLUSTER = Buffer.from(
  `SELECT /*+ MAX_EXECUTION_TIME(0) */ /* undrop node */ CAST(@@wsrep_on + 0 AS BINARY),
   CAST(@@wsrep_OSU_method AS BINARY) LIMIT 1`,
);

export async function isOnOneNode({ service, userSession }: InterceptOptions): Promise<boolean> {
  // Without the service nothing is held. It is read once for each pool.
  const { value } = await tolerantly(async () => [await shapeOf(service.pool)]);
  if (!value[0]?.cluster) return false;
  const [said] = await ask(userSession, CLUSTER);
  const [on, method] = said?.kind === 'rows' ? (said.rows[0] ?? []).map(factText) : [];
  return on === '0' || method === 'RSU';
}

/** `tables`: the start of a sentence. */
export function notOnOneNode(tables: string): UndropError {
  const how = 'on one node of a cluster (wsrep_OSU_method=RSU, wsrep_on=OFF)';
  return notDone(how, tables, INSTEAD);
}

const INSTEAD = "SET SESSION wsrep_on = ON, wsrep_OSU_method = 'TOI' for it.";
