/** Writes into the ledger's history what a command has done to a table, and who ran the command. */
import { hostname, userInfo } from 'node:os';
import type { HistoryEvent } from '../../audit.js';
import { recordHistory } from '../../ledger/history.js';
import { silentLog } from '../../log.js';
import type { ServicePool } from '../../service/pool/pools.js';
import type { DroppedTable } from '../../undo/list.js';
import type { AccountSettings } from '../settings.js';

type Told = Pick<DroppedTable, 'id' | 'groupId' | 'origin'> & {
  /** Whether its ledger row is in the binary log; null: no row. */
  readonly rowLogged: boolean | null;
};

/** Which table an event is about. */
export function whatOf({ id, groupId: dropId, origin }: Told) {
  return { id, dropId, schema: origin?.schema ?? null, table: origin?.table ?? null };
}

/** What is done stays so, whatever comes of this. */
export async function tellHistory(
  pool: ServicePool,
  settings: AccountSettings,
  { table: { rowLogged }, event }: { readonly table: Told; readonly event: HistoryEvent },
): Promise<void> {
  const line = { ...event, ...whoIs(settings) };
  await recordHistory(pool, silentLog, [line], rowLogged === null ? {} : { rowLogged });
}

/** The same of several tables, in one go. */
export async function tellAll(
  pool: ServicePool,
  settings: AccountSettings,
  events: readonly HistoryEvent[],
): Promise<void> {
  const lines = events.map((event) => ({ ...event, ...whoIs(settings) }));
  if (lines.length > 0) await recordHistory(pool, silentLog, lines);
}

/** Who runs the command, where, and by which database account. */
export function whoIs({ user: account }: AccountSettings) {
  return { osUser: osUser(), host: hostname(), account };
}

/** In a container the account may have no name. */
function osUser(): string {
  try {
    return userInfo().username;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === undefined) throw error;
    return `uid ${process.getuid?.()}`;
  }
}
