/** Lists the tables that have a hold name, by schema. Names only: no table is opened for it. */
import type { HoldName } from '../names/hold-name.js';
import type { ServiceConnection } from './pools.js';

export interface HoldTable extends HoldName {
  readonly schema: string;
  /** As the server stores it. */
  readonly name: string;
}

/** Every held table in `schemas`, ordered by schema and name; schemas that aren't there have none. */
export function listHoldTables(
  _connection: ServiceConnection,
  _schemas: readonly string[],
): Promise<readonly HoldTable[]> {
  throw new Error('not built yet');
}
