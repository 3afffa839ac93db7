/**
 * The log: JSON lines on standard output by pino, or a readable line for each event on a terminal.
 * Invariant: no password, no auth payload and no row of a user ever gets here; the caller bounds
 * statement texts.
 */
import { accessSync, closeSync, constants, openSync, statSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { pino } from 'pino';
import { AUDIT_EVENTS, type AuditEvent } from './audit.js';

type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';

/** The log as other modules use it: an event with its fields, then a sentence. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
  /** Whether lines of that level are written now; default: all may be. */
  isLevelEnabled?(level: 'debug'): boolean;
  /** A second destination for audit lines; default: none. */
  readonly auditFile?: AuditFile;
  /** Called with the audit lines of one statement, or of one look. */
  onAudit?(events: readonly AuditEvent[]): void;
}

/** The settings that may change while the log is open. */
interface LogSettings {
  readonly logLevel: LogLevel;
  /** A path; empty: none. */
  readonly auditFile: string;
}

/** An open log whose settings can change. */
export interface LeveledLog extends Log {
  level: string;
  readonly auditFile: AuditFile;
}

/**
 * Reports events to the log, the audit file and the counters; `reportAndKeep` in ledger/history.ts
 * to the ledger's history as well. Default: the level and the message of the event.
 */
export function report(
  log: Log,
  events: readonly AuditEvent[],
  how: { readonly level?: 'warn' | 'error'; readonly message?: string } = {},
): void {
  for (const event of events) {
    const { level, message } = { ...AUDIT_EVENTS[event.event], ...how };
    const line = { at: new Date().toISOString(), ...event };
    log[level](line, message);
    log.auditFile?.write({ ...line, message });
  }
  log.onAudit?.(events);
}

/** The same log; calls `onAudit` with audit lines. */
export function withAudit(log: Log, onAudit: NonNullable<Log['onAudit']>): Log {
  return { ...withWarn(log, (fields, message) => log.warn(fields, message)), onAudit };
}

/**
 * The same log, with one of the warnings that `isRepeated` in each `everyMs` of the monotonic
 * clock; it has the number of those that were left out before it.
 */
export function withSeldom(
  log: Log,
  isRepeated: (fields: object) => boolean,
  { everyMs, nowMs }: { readonly everyMs: number; readonly nowMs: () => number },
): Log {
  let [nextMs, leftOut] = [Number.NEGATIVE_INFINITY, 0];
  return withWarn(log, (fields, message) => {
    if (!isRepeated(fields)) return log.warn(fields, message);
    if (nowMs() < nextMs) {
      leftOut++;
      return;
    }
    log.warn(leftOut === 0 ? fields : { ...fields, leftOut }, message);
    [nextMs, leftOut] = [nowMs() + everyMs, 0];
  });
}

function withWarn(log: Log, warn: Log['warn']): Log {
  return {
    debug: (fields, message) => log.debug(fields, message),
    info: (fields, message) => log.info(fields, message),
    warn,
    error: (fields, message) => log.error(fields, message),
    isLevelEnabled: (level) => log.isLevelEnabled?.(level) ?? true,
    ...(log.auditFile === undefined ? {} : { auditFile: log.auditFile }),
    onAudit: (events) => log.onAudit?.(events),
  };
}

/** Discards all lines; for tests and for commands whose output is their result. */
export const silentLog: Log = pino<never>({ enabled: false });

const STDOUT = 1;

/**
 * Opens the log. `pretty` prints one readable line an event; otherwise JSON with ISO times, in each
 * line with the fields of `base`. Errors are written by name, code and message alone, because
 * drivers put whole statements into theirs.
 */
export async function openLog(
  { logLevel: level, auditFile: path }: LogSettings,
  { pretty, base = null }: { readonly pretty: boolean; readonly base?: object | null },
): Promise<LeveledLog> {
  const settings = {
    level,
    base,
    timestamp: pino.stdTimeFunctions.isoTime,
    serializers: { err: describeError },
  };
  const target = pretty ? await openPretty() : pino.destination({ dest: STDOUT, sync: true });
  const lines: Omit<LeveledLog, 'auditFile'> = pino(settings, target);
  const auditFile = new AuditFile((err) => {
    lines.error(
      { event: 'audit-file', err },
      'cannot write UNDROP_AUDIT_FILE; the log still has the lines',
    );
  });
  auditFile.reopen(path);
  return Object.assign(lines, { auditFile });
}

/** Loaded on demand, because most logs aren't on a terminal. */
async function openPretty() {
  const { default: prettyLines } = await import('pino-pretty');
  return prettyLines({
    destination: STDOUT,
    sync: true,
    ignore: 'pid,hostname',
    translateTime: 'SYS:HH:MM:ss',
    hideObject: true,
    errorLikeObjectKeys: [],
    messageFormat: readableLine,
  });
}

function describeError(error: unknown): object {
  if (!(error instanceof Error)) return { message: String(error) };
  const { code, errno } = error as { code?: unknown; errno?: unknown };
  const cause = error.cause === undefined ? {} : { cause: describeError(error.cause) };
  return { name: error.name, code, errno, message: error.message, ...cause };
}

type LogRecord = Readonly<Record<string, unknown>>;

/** Fields at the start of a line, and fields without meaning for people. */
const NOT_SHOWN = new Set([
  ...['level', 'time', 'msg', 'event', 'proxyId', 'threadId', 'relay', 'worker', 'pid'],
  ...['dropId', 'client', 'user', 'statement', 'at'],
]);

/** The sentence of a record: for a drop the table, the user and the due time. */
export function readableLine(record: LogRecord): string {
  const { event, msg } = record;
  if (event === 'held') {
    const { schema, table, until } = record;
    return `held ${schema}.${table} ${by(record)} until ${localTime(until)}`;
  }
  const facts = Object.entries(record).flatMap(([key, value]) => {
    const text = NOT_SHOWN.has(key) ? '' : shown(value);
    return text === '' ? [] : [`${key} ${text}`];
  });
  const details = [by(record), ...facts].filter((text) => text !== '').join(', ');
  return details === '' ? String(msg) : `${msg} (${details})`;
}

function by({ user, client }: LogRecord): string {
  if (typeof user === 'string' && user !== '') return `by ${user}`;
  return typeof client === 'string' ? `from ${client}` : '';
}

/** Empty for counters that are 0 and for missing values. */
function shown(value: unknown): string {
  if (value === null || value === undefined || value === 0 || value === '') return '';
  if (Array.isArray(value)) return value.map(String).join(', ');
  if (typeof value !== 'object') return String(value);
  const { message } = value as { message?: unknown };
  return typeof message === 'string' ? message : JSON.stringify(value);
}

/** A time by this machine's clock; other values unchanged. */
function localTime(iso: unknown): string {
  const time = new Date(String(iso));
  if (Number.isNaN(time.getTime())) return String(iso);
  return time.toLocaleString('sv-SE', { dateStyle: 'short', timeStyle: 'short' });
}

// ── the file of audit lines ─────────────────────────────────────────────────────────────────────

/** Without NONBLOCK a pipe without a reader would stop the process. */
const APPEND = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK;

/** Why lines can't be appended to that file; null: they can. Creates and writes nothing. */
export function auditFileProblem(path: string): string | null {
  try {
    const found = statSync(path, { throwIfNoEntry: false });
    if (found === undefined) accessSync(dirname(path), constants.W_OK | constants.X_OK);
    // The reader of a pipe would take the close for the end of the lines.
    else if (found.isFIFO()) accessSync(path, constants.W_OK);
    else closeSync(openSync(path, APPEND & ~constants.O_CREAT));
    return null;
  } catch (error) {
    return (error as NodeJS.ErrnoException).message;
  }
}

/** Readable by its owner and group only. */
const MODE = 0o640;
const NEWLINE = 0x0a;

/**
 * The file of UNDROP_AUDIT_FILE: undrop appends lines to it, one by one and at once, so that
 * several processes may share it and nothing needs to be flushed at the end.
 *
 * Invariant: an error of the file never reaches the caller. It is reported once, and the next line
 * tries again.
 */
export class AuditFile {
  readonly #onBroken: (error: unknown) => void;
  #path = '';
  #fd: number | null = null;
  #isBroken = false;
  /** The last line is incomplete. */
  #isCut = false;

  constructor(onBroken: (error: unknown) => void) {
    this.#onBroken = onBroken;
  }

  /** Switches to that file (empty: none), which may be a new file of the same name. */
  reopen(path: string): void {
    this.#close();
    this.#path = path;
    this.#isBroken = false;
    this.#isCut = false;
    this.#try(() => this.#open());
  }

  write(line: object): void {
    this.#try(() => {
      const fd = this.#open();
      if (fd === null) return;
      const text = Buffer.from(`${this.#isCut ? '\n' : ''}${JSON.stringify(line)}\n`);
      for (let at = 0; at < text.length; ) {
        at += writeSync(fd, text, at);
        this.#isCut = text[at - 1] !== NEWLINE;
      }
      this.#isBroken = false;
    });
  }

  /** Null: no file is configured. */
  #open(): number | null {
    if (this.#path === '') return null;
    this.#fd ??= openSync(this.#path, APPEND, MODE);
    return this.#fd;
  }

  #try(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#close();
      if (!this.#isBroken) this.#onBroken(error);
      this.#isBroken = true;
    }
  }

  #close(): void {
    const fd = this.#fd;
    if (fd === null) return;
    this.#fd = null;
    try {
      closeSync(fd);
    } catch (error) {
      this.#onBroken(error);
    }
  }
}
