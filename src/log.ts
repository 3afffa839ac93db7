/**
 * The one door to pino. JSON lines on standard output, or readable ones on a terminal. Invariant:
 * no password, no auth payload and no row of a user ever gets here; statement texts are bounded by
 * whoever logs them.
 */
import { createRequire } from 'node:module';
import { pino } from 'pino';
import type { PinoPretty } from 'pino-pretty';
import { readableLine } from './readable-log.js';

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
  setLevel(level: LogLevel): void;
}

/** A log that says nothing; for tests and for commands whose output is their answer. */
export const silentLog: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

/**
 * Opens the log. `pretty` prints one readable line an event; otherwise JSON with ISO times. Errors
 * are written by name, code and message alone: drivers put whole statements into theirs.
 */
export function openLog(options: {
  level: LogLevel;
  pretty: boolean;
  stderr?: boolean;
  /** Fields of every line. */
  base?: object;
}): LeveledLog {
  const destination = options.stderr ? 2 : 1;
  const settings = {
    level: options.level,
    base: options.base ?? null,
    timestamp: pino.stdTimeFunctions.isoTime,
    serializers: { err: describeError },
  };
  const log = options.pretty
    ? pino(
        settings,
        loadPretty()({
          destination,
          sync: true,
          ignore: 'pid,hostname',
          translateTime: 'SYS:HH:MM:ss',
          hideObject: true,
          errorLikeObjectKeys: [],
          messageFormat: readableLine,
        }),
      )
    : pino(settings, pino.destination({ dest: destination, sync: true }));
  return Object.assign(log, {
    setLevel: (level: LogLevel) => {
      log.level = level;
    },
  });
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
