/**
 * The events of the audit, each with its fields: who did what to which table.
 * docs/reference/events.md has them all (test/events.test.ts). Pure.
 *
 * Invariant: an audit line has every field of its event, null if it isn't known, and its actor.
 */

/** The actor: a client of the proxy, the user of a command, or the proxy itself. */
export interface Who {
  readonly user: string;
  readonly client: string;
  readonly threadId: number | null;
  /** The name that the client gives itself; null: it gives none. */
  readonly program: string | null;
  readonly osUser: string;
  readonly host: string;
  readonly account: string;
  readonly proxyId: string;
}

/** A client of the proxy. */
export type ClientWho = Pick<Who, 'user' | 'client' | 'threadId' | 'program'>;

/** The table and its change; times are in ISO 8601, UTC. */
interface What {
  readonly id: string;
  readonly dropId: string | null;
  readonly schema: string | null;
  readonly table: string | null;
  readonly holdSchema: string;
  readonly holdName: string;
  readonly how: string | null;
  readonly bytes: number | null;
  readonly tags: Readonly<Record<string, string>> | null;
  /** The attributes that its connection came with. */
  readonly attributes: Readonly<Record<string, string>>;
  readonly until: string | null;
  readonly because: string | null;
  readonly from: string;
  readonly to: string;
  readonly restoredAs: string;
  readonly hints: readonly string[];
  readonly code: string | null;
  readonly statement: string;
  /** The id of a refused statement. */
  readonly request: string;
  readonly tables: readonly string[];
  readonly by: readonly (string | null)[];
  readonly count: number;
}

type Level = 'info' | 'warn';

/** Also in the ledger's history. `message`: the default sentence of the line. */
function inHistory<const F extends keyof What>(
  level: Level,
  message: string,
  fields: readonly F[],
) {
  return { level, message, fields, isKept: true } as const;
}

/** In the log and UNDROP_AUDIT_FILE alone, because any client could cause any number of these. */
function logOnly<const F extends keyof What>(level: Level, message: string, fields: readonly F[]) {
  return { level, message, fields, isKept: false } as const;
}

const TABLE = ['id', 'dropId', 'schema', 'table'] as const;
const HELD = [...TABLE, 'holdSchema', 'holdName'] as const;
const DROPPED = ['how', 'bytes', 'until', 'because', 'tags', 'attributes'] as const;
const MOVED = ['from', 'to', 'because', 'until'] as const;
const REQUEST = ['request', 'tables', 'statement'] as const;
const PASSED = ['tables', 'by', 'statement'] as const;

const NATIVE = 'passed a drop to the server; the table is not held';

export const AUDIT_EVENTS = {
  held: inHistory('info', 'held a dropped table', [...HELD, ...DROPPED]),
  recovered: inHistory('info', 'completed an interrupted drop; the table is held', HELD),
  transition: inHistory('info', 'moved a held table to its next state', [...HELD, ...MOVED]),
  removal: inHistory('info', 'removed a held table for good', HELD),
  restored: inHistory('info', 'restored a table', [...TABLE, 'restoredAs']),
  'hold-changed': inHistory('info', 'changed the hold of a table', [...TABLE, 'until']),
  'remove-asked': inHistory('info', 'ended the hold of a table', TABLE),
  asked: inHistory('warn', 'refused a statement until an operator allows it', [
    ...REQUEST,
    'because',
  ]),
  allowed: inHistory('info', 'allowed a refused statement once', REQUEST),
  paused: inHistory('info', 'paused the collector', ['until', 'because']),
  resumed: inHistory('info', 'ended the pause of the collector', []),
  'rows-shown': inHistory('info', 'showed rows of a held table in the console', TABLE),
  'used-while-held': inHistory('warn', 'statements failed, because they use a held table', [
    ...TABLE,
    'count',
  ]),
  'signed-in': logOnly('info', 'signed in to the console', []),
  'sign-in-refused': logOnly('warn', 'refused a sign-in to the console', ['because']),
  hint: logOnly('info', 'received a drop with a hint', ['hints', 'code', 'statement']),
  native: logOnly('warn', NATIVE, PASSED),
  destroyed: logOnly('warn', NATIVE, PASSED),
  observed: logOnly('warn', 'observed a drop; the server drops the table, and it is not held', [
    'tables',
    'statement',
  ]),
  refused: logOnly('warn', 'refused a statement', ['code', 'statement']),
} as const;

export type AuditName = keyof typeof AUDIT_EVENTS;
type KeptName = {
  [E in AuditName]: (typeof AUDIT_EVENTS)[E]['isKept'] extends true ? E : never;
}[AuditName];

/** A line without its time and level. */
export type AuditEvent<E extends AuditName = AuditName> = {
  [N in E]: { readonly event: N } & Pick<What, (typeof AUDIT_EVENTS)[N]['fields'][number]> &
    Partial<Who>;
}[E];

/** An event that the ledger's history has, too. */
export type HistoryEvent = AuditEvent<KeptName>;
