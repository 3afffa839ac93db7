/**
 * The log: JSON lines on standard output by pino, or a readable line for each event on a terminal.
 * Invariant: no password, no auth payload and no row of a user ever gets here; statement texts are
 * bounded by whoever logs them.
 */
import { createRequire } from 'node:module';
import { pino } from 'pino';
import type { PinoPretty } from 'pino-pretty';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';

/** What the other modules see of the log: an event with its fields, then a sentence. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** One whose level can be set while it is open. */
export interface LeveledLog extends Log {
  level: string;
}

/** A log that says nothing; for tests and for commands whose output is their answer. */
export const silentLog: Log = pino({ enabled: false });

const STDOUT = 1;

/**
 * Opens the log. `pretty` prints one readable line an event; otherwise JSON with ISO times. Errors
 * are written by name, code and message alone: drivers put whole statements into theirs.
 */
export function openLog(options: {
  level: LogLevel;
  pretty: boolean;
  /** Fields of every line. */
  base?: object;
}): LeveledLog {
  const settings = {
    level: options.level,
    base: options.base ?? null,
    timestamp: pino.stdTimeFunctions.isoTime,
    serializers: { err: describeError },
  };
  if (!options.pretty) return pino(settings, pino.destination({ dest: STDOUT, sync: true }));
  const lines = loadPretty()({
    destination: STDOUT,
    sync: true,
    ignore: 'pid,hostname',
    translateTime: 'SYS:HH:MM:ss',
    hideObject: true,
    errorLikeObjectKeys: [],
    messageFormat: readableLine,
  });
  return pino(settings, lines);
}

/** Most logs aren't on a terminal: they need not wait for it. */
function loadPretty(): typeof PinoPretty {
  return createRequire(import.meta.url)('pino-pretty') as typeof PinoPretty;
}

function describeError(error: unknown): object {
  if (!(error instanceof Error)) return { message: String(error) };
  const { code, errno } = error as { code?: unknown; errno?: unknown };
  const cause = error.cause === undefined ? {} : { cause: describeError(error.cause) };
  return { name: error.name, code, errno, message: error.message, ...cause };
}

type LogRecord = Readonly<Record<string, unknown>>;

/** What a line begins with, or what tells a person nothing. */
const NOT_SHOWN = new Set([
  ...['level', 'time', 'msg', 'event', 'proxyId', 'threadId', 'relay', 'worker', 'pid'],
  ...['groupId', 'client', 'user', 'statement'],
]);

/** The sentence of a record: for a drop what was held, by whom and until when. */
export function readableLine(record: LogRecord): string {
  const { event, msg } = record;
  if (event === 'held') {
    const until = dueTime(record['held']);
    return `held ${listed(record['tables'])} ${by(record)}${until === null ? '' : ` until ${until}`}`;
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

/** Counters that are 0 and what is not there say nothing. */
function shown(value: unknown): string {
  if (value === null || value === undefined || value === 0 || value === '') return '';
  if (Array.isArray(value)) return listed(value);
  if (typeof value !== 'object') return String(value);
  const { message } = value as { message?: unknown };
  return typeof message === 'string' ? message : JSON.stringify(value);
}

function listed(value: unknown): string {
  return Array.isArray(value) ? value.map(String).join(', ') : '';
}

/** The first due time in hold names, by this machine's clock. */
function dueTime(held: unknown): string | null {
  const [digits] = /(?<=_)\d{14}$/.exec(Array.isArray(held) ? String(held[0]) : '') ?? [];
  if (digits === undefined) return null;
  const iso = digits.replace(/(....)(..)(..)(..)(..)(..)/, '$1-$2-$3T$4:$5:$6Z');
  return new Date(iso).toLocaleString('sv-SE', { dateStyle: 'short', timeStyle: 'short' });
}
