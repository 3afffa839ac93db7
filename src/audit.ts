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
  readonly osUser: string;
  readonly host: string;
  readonly account: string;
  readonly proxyId: string;
}

/** A client of the proxy. */
export type ClientWho = Pick<Who, 'user' | 'client' | 'threadId'>;

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
  readonly until: string | null;
  readonly because: string | null;
  readonly from: string;
  readonly to: string;
  readonly restoredAs: string;
  readonly hints: readonly string[];
  readonly code: string | null;
  readonly statement: string;
  readonly tables: readonly string[];
  readonly by: readonly (string | null)[];
  readonly count: number;
}

interface Described<F extends keyof What> {
  readonly level: 'info' | 'warn';
  /** The default sentence of the line. */
  readonly message: string;
  readonly fields: readonly F[];
}

/** Also in the ledger's history. */
function inHistory<const F extends keyof What>(event: Described<F>) {
  return { ...event, isKept: true } as const;
}

/** In the log and UNDROP_AUDIT_FILE alone, because any client could cause any number of these. */
function logOnly<const F extends keyof What>(event: Described<F>) {
  return { ...event, isKept: false } as const;
}

const TABLE = ['id', 'dropId', 'schema', 'table'] as const;
const HELD = [...TABLE, 'holdSchema', 'holdName'] as const;
const PASSED = ['tables', 'by', 'statement'] as const;

const NATIVE = 'passed a drop to the server; the table is not held';
const OBSERVED = 'observed a drop; the server drops the table, and it is not held';
const RECOVERED = 'completed an interrupted drop; the table is held';
const HOLD = 'changed the hold of a table';
const ROWS = 'showed rows of a held table in the console';
const USED = 'statements failed, because they use a held table';

export const AUDIT_EVENTS = {
  held: inHistory({
    level: 'info',
    message: 'held a dropped table',
    fields: [...HELD, 'how', 'bytes', 'until', 'because', 'tags'],
  }),
  recovered: inHistory({ level: 'info', message: RECOVERED, fields: HELD }),
  transition: inHistory({
    level: 'info',
    message: 'moved a held table to its next state',
    fields: [...HELD, 'from', 'to', 'because', 'until'],
  }),
  removal: inHistory({ level: 'info', message: 'removed a held table for good', fields: HELD }),
  restored: inHistory({
    level: 'info',
    message: 'restored a table',
    fields: [...TABLE, 'restoredAs'],
  }),
  'hold-changed': inHistory({ level: 'info', message: HOLD, fields: [...TABLE, 'until'] }),
  'remove-asked': inHistory({ level: 'info', message: 'ended the hold of a table', fields: TABLE }),
  paused: inHistory({
    level: 'info',
    message: 'paused the collector',
    fields: ['until', 'because'],
  }),
  resumed: inHistory({ level: 'info', message: 'ended the pause of the collector', fields: [] }),
  'rows-shown': inHistory({ level: 'info', message: ROWS, fields: TABLE }),
  'used-while-held': inHistory({ level: 'warn', message: USED, fields: [...TABLE, 'count'] }),
  'signed-in': logOnly({ level: 'info', message: 'signed in to the console', fields: [] }),
  'sign-in-refused': logOnly({
    level: 'warn',
    message: 'refused a sign-in to the console',
    fields: ['because'],
  }),
  hint: logOnly({
    level: 'info',
    message: 'received a drop with a hint',
    fields: ['hints', 'code', 'statement'],
  }),
  native: logOnly({ level: 'warn', message: NATIVE, fields: PASSED }),
  destroyed: logOnly({ level: 'warn', message: NATIVE, fields: PASSED }),
  observed: logOnly({ level: 'warn', message: OBSERVED, fields: ['tables', 'statement'] }),
  refused: logOnly({
    level: 'warn',
    message: 'refused a statement',
    fields: ['code', 'statement'],
  }),
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
