/**
 * What the lines with an `event` mean: those of the audit (who did what to which table), and those
 * of the log alone (how undrop itself is). docs/events.md is made of these tables
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

/** What each field means, for people. */
export const FIELDS: Readonly<Record<AuditField, string>> = {
  user: 'the user of the client’s session, without the host',
  client: 'the client’s address, as `host:port`',
  threadId: 'the session on the server, as in `SHOW PROCESSLIST`',
  osUser: 'who ran the command, by the system’s name',
  host: 'the machine on which the command ran',
  account: 'the database account (`UNDROP_USER`) of the command',
  proxyId: 'the process of undrop, which has another id after each start',
  id: 'the id of the held table, in its hold name and in the ledger',
  dropId: 'the id that all tables of one statement have in common (`group_id` in the ledger)',
  schema: 'the schema that the table was dropped from',
  table: 'its name there; `t#p1` are the rows of a partition',
  holdSchema: 'where it is held',
  holdName: 'its hold name there',
  how: '`DROP TABLE`, `DROP DATABASE`, `TRUNCATE`, `PARTITION`, `REPLACE` or `SWAP`',
  until: 'when its state ends, or `pinned`; of a pause: its end, null if it has none',
  because: 'the rule or the hint that decided; of a step: why now',
  from: 'the state before',
  to: 'the state now',
  restoredAs: 'the name that it has now, `schema.table`',
  hints: 'what the statement and the session hinted at',
  code: 'the error that the client got (errors.md)',
  statement: 'the beginning of the statement, without literals',
  tables: 'what it names, as far as it was read; `schema.*`: all of a schema',
  by: 'the rule or the hint for each of `tables`',
  count: 'how many statements have failed, since the line before',
};

type Level = 'info' | 'warn' | 'error';

interface Described {
  readonly level: Level;
  /** `history`: also in the table `_undrop.history`; `file`: in the log and UNDROP_AUDIT_FILE. */
  readonly kept: 'history' | 'file';
  readonly by: 'a client' | 'a command' | 'a client or a command' | 'a proxy';
  /** The sentence of the line, if nothing more is said. */
  readonly message: string;
  /** When to alert somebody; null: never. */
  readonly alert: string | null;
  readonly fields: readonly (keyof What)[];
}

const TABLE = ['id', 'dropId', 'schema', 'table'] as const;
const HELD = [...TABLE, 'holdSchema', 'holdName'] as const;

/** The audit. Whatever any client could write without end is kept out of the history. */
export const AUDIT_EVENTS = {
  held: {
    level: 'info',
    kept: 'history',
    by: 'a client or a command',
    message: 'a table is held',
    alert: null,
    fields: [...HELD, 'how', 'until', 'because'],
  },
  recovered: {
    level: 'info',
    kept: 'history',
    by: 'a client',
    message: 'an interrupted drop was completed',
    alert: null,
    fields: HELD,
  },
  hint: {
    level: 'info',
    kept: 'file',
    by: 'a client',
    message: 'a drop came with a hint',
    alert: null,
    fields: ['hints', 'code', 'statement'],
  },
  native: {
    level: 'warn',
    kept: 'file',
    by: 'a client',
    message: 'not held: the server is to drop it',
    alert: 'if no rule `native` is meant',
    fields: ['tables', 'by', 'statement'],
  },
  destroyed: {
    level: 'warn',
    kept: 'file',
    by: 'a client',
    message: 'not held: the server is to drop it',
    alert: 'yes: it can not be taken back',
    fields: ['tables', 'by', 'statement'],
  },
  observed: {
    level: 'warn',
    kept: 'file',
    by: 'a client',
    message: 'not held: the server drops it',
    alert: 'if `UNDROP_MODE=observe` is not meant',
    fields: ['tables', 'statement'],
  },
  refused: {
    level: 'warn',
    kept: 'file',
    by: 'a client',
    message: 'a statement was refused',
    alert: 'at level error, and for many of one code',
    fields: ['code', 'statement'],
  },
  transition: {
    level: 'info',
    kept: 'history',
    by: 'a proxy',
    message: 'table moved on',
    alert: null,
    fields: [...HELD, 'from', 'to', 'because', 'until'],
  },
  removal: {
    level: 'info',
    kept: 'history',
    by: 'a proxy',
    message: 'table removed for good',
    alert: null,
    fields: HELD,
  },
  restored: {
    level: 'info',
    kept: 'history',
    by: 'a client or a command',
    message: 'a table was restored',
    alert: null,
    fields: [...TABLE, 'restoredAs'],
  },
  'hold-changed': {
    level: 'info',
    kept: 'history',
    by: 'a command',
    message: 'the hold of a table was changed',
    alert: null,
    fields: [...TABLE, 'until'],
  },
  'remove-asked': {
    level: 'info',
    kept: 'history',
    by: 'a command',
    message: 'the hold of a table was ended',
    alert: null,
    fields: TABLE,
  },
  paused: {
    level: 'info',
    kept: 'history',
    by: 'a command',
    message: 'nothing is collected',
    alert: null,
    fields: ['until'],
  },
  resumed: {
    level: 'info',
    kept: 'history',
    by: 'a command',
    message: 'the pause was ended',
    alert: null,
    fields: [],
  },
  'used-while-held': {
    level: 'warn',
    kept: 'history',
    by: 'a client',
    message: 'statements fail, because they use a table that is held',
    alert: 'yes: the application still uses a dropped table',
    fields: [...TABLE, 'count'],
  },
} as const satisfies Readonly<Record<string, Described>>;

export type AuditName = keyof typeof AUDIT_EVENTS;
type EventsKept<K> = {
  [E in AuditName]: (typeof AUDIT_EVENTS)[E]['kept'] extends K ? E : never;
}[AuditName];

/** One line, without its time and level. */
export type AuditEvent<E extends AuditName = AuditName> = {
  [N in E]: { readonly event: N } & Pick<What, (typeof AUDIT_EVENTS)[N]['fields'][number]> &
    Partial<Who>;
}[E];

/** One that the ledger's history has, too. */
export type HistoryEvent = AuditEvent<EventsKept<'history'>>;

/** Lines of the log alone. Their fields may change; their names don't. */
export const LOG_EVENTS: Readonly<
  Record<string, { readonly levels: string; readonly alert: string | null; readonly what: string }>
> = {
  ready: { levels: 'info', alert: null, what: 'clients are served' },
  waiting: { levels: 'warn', alert: 'if `ready` does not follow', what: 'no server answers yet' },
  unprotected: { levels: 'warn', alert: 'if it is not meant', what: 'settings let tables go' },
  ledger: { levels: 'info', alert: null, what: 'the ledger is ready, or left alone' },
  'ledger-server': {
    levels: 'info, warn',
    alert: null,
    what: 'which server has the ledger, after a failover',
  },
  'upstream-plain': {
    levels: 'warn',
    alert: 'if TLS is meant',
    what: 'the service connects without TLS',
  },
  workers: { levels: 'info', alert: null, what: 'how many processes serve' },
  worker: { levels: 'info, error', alert: 'at level error', what: 'a process serves, or died' },
  'open-files': {
    levels: 'warn',
    alert: 'yes: fewer clients than are allowed',
    what: 'the limit of open files is too low',
  },
  reload: {
    levels: 'info, warn, error',
    alert: 'at level error',
    what: 'the settings were read anew, or not',
  },
  signal: { levels: 'info', alert: null, what: 'a signal came' },
  draining: { levels: 'info', alert: null, what: 'how far the end of a proxy is' },
  stopped: { levels: 'info', alert: null, what: 'the end, with all counters' },
  collector: {
    levels: 'debug, info, warn, error',
    alert: 'at level error',
    what: 'who collects, and why nothing is collected',
  },
  grace: { levels: 'warn', alert: null, what: 'nothing is collected until then' },
  purge: { levels: 'info, warn', alert: null, what: 'how far the deleting of rows is' },
  left: { levels: 'warn', alert: 'if it stays so', what: 'a table can not go on' },
  torn: { levels: 'warn', alert: 'yes: what-if.md says how to mend it', what: 'a table in pieces' },
  schema_drop_unchecked: {
    levels: 'error',
    alert: 'yes',
    what: 'a schema was dropped, and its last look has failed',
  },
  'audit-file': {
    levels: 'error',
    alert: 'yes: the log still has the lines',
    what: 'UNDROP_AUDIT_FILE can not be written',
  },
  history: {
    levels: 'warn',
    alert: null,
    what: 'lines that the ledger’s history lacks; the log has them',
  },
};

/** By whom, in words. */
export function describeWho(who: Partial<Who>): string {
  const { user, client, osUser, host, account, proxyId } = who;
  if (osUser !== undefined) return `${osUser}@${host ?? '?'} as ${account ?? '?'}`;
  if (user !== undefined) return `${user} from ${client ?? '?'}`;
  return proxyId === undefined ? 'undrop' : `undrop ${proxyId}`;
}
