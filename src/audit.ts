/**
 * The events of the audit, each with its fields: who did what to which table. docs/events.md is
 * made of this table, and of what test/events.test.ts says of them to people
 * (`UPDATE_GOLDEN=1 npm test -- events`). Pure.
 *
 * Invariant: an audit line has every field of its event, null if it isn't known, and who it was.
 */

/** Who it was: a client of the proxy, somebody at a command line, or a proxy by itself. */
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

/** What happened to which table; times are texts in ISO 8601, UTC. */
interface What {
  readonly id: string;
  readonly dropId: string | null;
  readonly schema: string | null;
  readonly table: string | null;
  readonly holdSchema: string;
  readonly holdName: string;
  readonly how: string | null;
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

export type AuditField = keyof Who | keyof What;

interface Described<F extends keyof What> {
  readonly level: 'info' | 'warn';
  /** The sentence of the line, if nothing more is said. */
  readonly message: string;
  readonly fields: readonly F[];
}

/** Also in the ledger's history. */
function kept<const F extends keyof What>(event: Described<F>) {
  return { ...event, isKept: true } as const;
}

/** In the log and UNDROP_AUDIT_FILE alone: any client could write as many as it likes. */
function told<const F extends keyof What>(event: Described<F>) {
  return { ...event, isKept: false } as const;
}

const TABLE = ['id', 'dropId', 'schema', 'table'] as const;
const HELD = [...TABLE, 'holdSchema', 'holdName'] as const;
const PASSED = ['tables', 'by', 'statement'] as const;

const NATIVE = 'not held: the server is to drop it';
const OBSERVED = 'not held: the server drops it';
const RECOVERED = 'an interrupted drop was completed';
const HOLD = 'the hold of a table was changed';
const USED = 'statements fail, because they use a table that is held';

export const AUDIT_EVENTS = {
  held: kept({
    level: 'info',
    message: 'a table is held',
    fields: [...HELD, 'how', 'until', 'because'],
  }),
  recovered: kept({ level: 'info', message: RECOVERED, fields: HELD }),
  transition: kept({
    level: 'info',
    message: 'table moved on',
    fields: [...HELD, 'from', 'to', 'because', 'until'],
  }),
  removal: kept({ level: 'info', message: 'table removed for good', fields: HELD }),
  restored: kept({
    level: 'info',
    message: 'a table was restored',
    fields: [...TABLE, 'restoredAs'],
  }),
  'hold-changed': kept({ level: 'info', message: HOLD, fields: [...TABLE, 'until'] }),
  'remove-asked': kept({ level: 'info', message: 'the hold of a table was ended', fields: TABLE }),
  paused: kept({ level: 'info', message: 'nothing is collected', fields: ['until'] }),
  resumed: kept({ level: 'info', message: 'the pause was ended', fields: [] }),
  'used-while-held': kept({ level: 'warn', message: USED, fields: [...TABLE, 'count'] }),
  hint: told({
    level: 'info',
    message: 'a drop came with a hint',
    fields: ['hints', 'code', 'statement'],
  }),
  native: told({ level: 'warn', message: NATIVE, fields: PASSED }),
  destroyed: told({ level: 'warn', message: NATIVE, fields: PASSED }),
  observed: told({ level: 'warn', message: OBSERVED, fields: ['tables', 'statement'] }),
  refused: told({
    level: 'warn',
    message: 'a statement was refused',
    fields: ['code', 'statement'],
  }),
} as const;

export type AuditName = keyof typeof AUDIT_EVENTS;
type KeptName = {
  [E in AuditName]: (typeof AUDIT_EVENTS)[E]['isKept'] extends true ? E : never;
}[AuditName];

/** One line, without its time and level. */
export type AuditEvent<E extends AuditName = AuditName> = {
  [N in E]: { readonly event: N } & Pick<What, (typeof AUDIT_EVENTS)[N]['fields'][number]> &
    Partial<Who>;
}[E];

/** One that the ledger's history has, too. */
export type HistoryEvent = AuditEvent<KeptName>;
