/** A foreign key whose parent is held, as it was before: to the parent's own name. */
import type { ForeignKey } from '../../ledger/detached/detached.js';
import { findRows } from '../../ledger/read.js';
import { parseHoldName } from '../../names/hold-name.js';
import type { ServiceConnection } from '../../service/pool/pools.js';

/** As it is, where its parent isn't held, or the ledger doesn't know it. */
export async function toOriginalParent(
  connection: ServiceConnection,
  key: ForeignKey,
): Promise<ForeignKey> {
  const parent = parseHoldName(key.parentTable);
  if (parent === null) return key;
  const [row] = await findRows(connection, { by: 'id', prefix: parent.id }, { texts: false });
  if (row === undefined) return key;
  return { ...key, parentSchema: row.schema, parentTable: row.table };
}
