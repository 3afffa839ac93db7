/**
 * Writes the changes of a command, and its user, to UNDROP_AUDIT_FILE and into the ledger's
 * history. A failure here causes a warning; the changes stay.
 */
import { hostname, userInfo } from 'node:os';
import type { HistoryEvent } from '../../audit.js';
import type { ServicePool } from '../../connections/sql.js';
import { reportAndKeep } from '../../ledger/history.js';
import { AuditFile, type Log } from '../../log.js';
import type { AccountSettings } from './settings.js';

/** `rowLogged`: whether the ledger row of the one table is in the binary log. */
export async function reportEvents(
  { pool, settings }: { readonly pool: ServicePool; readonly settings: AccountSettings },
  events: readonly HistoryEvent[],
  how: { readonly rowLogged?: boolean } = {},
): Promise<void> {
  const lines = events.map((event) => ({ ...event, ...whoIs(settings) }));
  if (lines.length === 0) return;
  const log = commandLog(settings);
  await reportAndKeep({ connection: pool, log }, lines, how);
  log.auditFile?.reopen('');
}

/** The log of a command: warnings on standard error, and UNDROP_AUDIT_FILE. */
export function commandLog({ auditFile: path }: AccountSettings): Log {
  const auditFile = new AuditFile((err) => warn({ err }, 'cannot write UNDROP_AUDIT_FILE'));
  auditFile.reopen(path);
  return { debug: ignore, info: ignore, warn, error: warn, auditFile };
}

function ignore(): void {}

function warn(fields: object, what: string): void {
  const { err, because = err } = fields as { readonly err?: unknown; readonly because?: unknown };
  const why = because instanceof Error ? because.message : because;
  process.stderr.write(`undrop: warning: ${what}${why === undefined ? '' : `: ${why}`}\n`);
}

/** The OS user of the command, its host, and its database account. */
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
