/**
 * Writes what a command has done, and who ran the command, to UNDROP_AUDIT_FILE and into the
 * ledger's history. What was done stays so; what can't be written is a warning.
 */
import { hostname, userInfo } from 'node:os';
import type { HistoryEvent } from '../../audit.js';
import { AuditFile } from '../../audit-file.js';
import { reportAndKeep } from '../../ledger/history.js';
import type { Log } from '../../log.js';
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

/** Of one table. */
export async function tellHistory(
  pool: ServicePool,
  settings: AccountSettings,
  { table: { rowLogged }, event }: { readonly table: Told; readonly event: HistoryEvent },
): Promise<void> {
  await tellAll(pool, settings, [event], rowLogged === null ? {} : { rowLogged });
}

/** Of none, or of several in one go. */
export async function tellAll(
  pool: ServicePool,
  settings: AccountSettings,
  events: readonly HistoryEvent[],
  how: { readonly rowLogged?: boolean } = {},
): Promise<void> {
  const lines = events.map((event) => ({ ...event, ...whoIs(settings) }));
  if (lines.length === 0) return;
  const log = commandLog(settings);
  await reportAndKeep({ connection: pool, log }, lines, how);
  log.auditFile?.reopen('');
}

/** What a command has for a log: warnings on standard error, and UNDROP_AUDIT_FILE. */
export function commandLog({ auditFile: path }: AccountSettings): Log {
  const auditFile = new AuditFile((err) => warn({ err }, 'UNDROP_AUDIT_FILE can not be written'));
  auditFile.reopen(path);
  return { debug: nobody, info: nobody, warn, error: warn, auditFile };
}

function nobody(): void {}

function warn(fields: object, what: string): void {
  const { err } = fields as { readonly err?: unknown };
  process.stderr.write(`undrop: warning: ${what}: ${err instanceof Error ? err.message : err}\n`);
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
