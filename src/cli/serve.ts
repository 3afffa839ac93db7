/**
 * `undrop serve` runs a proxy until a signal ends it; SIGHUP reloads the settings.
 *
 * Invariant: wrong settings stop the start; at a reload they change nothing.
 */
import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { UndropError } from '../errors.js';
import { changeLog, type LeveledLog, type Log, openLog } from '../log.js';
import {
  autoWorkers,
  keepYoungGenerationSmall,
  openFilesFor,
  openFilesMax,
  sessionsByOpenFiles,
} from './proxy/limits.js';
import { type RunningProxy, startProxy, warnUnprotected } from './proxy/proxy.js';
import { type ProxySettings, proxySettingsOf } from './settings.js';
import type { Flags, Shell } from './shell.js';
import { type ReceivedSignal, takeSignals } from './signals.js';

/** The time that a proxy has for its own connections when it must end at once. */
const HURRY_MS = 1_000;

/**
 * Runs until SIGTERM or SIGINT, then drains; a second signal ends it at once. SIGHUP reloads the
 * settings. Resolves to the exit code.
 */
export async function runServe(flags: Flags, shell: Shell): Promise<number> {
  keepYoungGenerationSmall();
  const load = () => proxySettingsOf(shell, flags);
  const settings = load();
  const log = openLog(settings, { pretty: shell.stdout.isTTY === true });
  const count = workersOf(settings, log);
  const signals = new Signals(log);
  checkOpenFiles(settings, count, log);
  const proxy = await Promise.race([
    startProxy(settings, log, count),
    signals.ending.then(() => null),
  ]);
  // No client was served, and a cancelled start leaves no more behind than a killed one.
  if (proxy === null) process.exit(0);
  let reloading = Promise.resolve();
  signals.serve(() => {
    reloading = reloading.then(() => reload(proxy, load, log));
  });
  const hurry = await Promise.race([signals.ending, proxy.failed]);
  if (hurry instanceof UndropError) {
    log.error({ event: 'worker', err: hurry }, 'worker processes keep dying; ending the proxy');
    await Promise.race([proxy.stop(), signals.ending]);
    process.exit(1);
  }
  const late = once(hurry, 'abort').then(() => sleep(HURRY_MS, undefined, { ref: false }));
  await Promise.race([proxy.stop({ signal: hurry }), late]);
  // Open connections end with the process, as for a killed proxy.
  if (hurry.aborted) process.exit(0);
  return 0;
}

/** The processes that serve clients. */
export function workersOf({ workers }: ProxySettings, log: Log): number {
  const cores = availableParallelism();
  const auto = autoWorkers(cores);
  if (workers === 'auto') return auto;
  if (workers < auto) {
    const fields = { event: 'workers', cores, workers, auto };
    log.info(fields, 'UNDROP_WORKERS leaves cores unused; auto would use more processes');
  }
  return workers;
}

/** Warns if the system's limit of open files is too low for UNDROP_MAX_CONNECTIONS. */
export function checkOpenFiles(
  { maxConnections }: ProxySettings,
  processes: number,
  log: Log,
): void {
  const fitting = sessionsByOpenFiles() * processes;
  if (fitting >= maxConnections) return;
  const fields = {
    event: 'open-files',
    openFilesMax: openFilesMax(),
    openFilesNeeded: openFilesFor(Math.ceil(maxConnections / processes)),
    connectionsMax: fitting,
  };
  log.warn(
    fields,
    'open files limit clients to fewer than UNDROP_MAX_CONNECTIONS; raise the limit of open files',
  );
}

/** Never rejects: wrong settings change nothing. */
async function reload(proxy: RunningProxy, load: () => ProxySettings, log: LeveledLog) {
  try {
    const next = load();
    const { settings, changed, fixed } = await proxy.change(next);
    changeLog(log, next);
    warnUnprotected(log, settings);
    log.info({ event: 'reload', changed }, 'reloaded the settings');
    if (fixed.length > 0) {
      log.warn(
        { event: 'reload', settings: fixed },
        'ignored changed settings; they need a restart',
      );
    }
  } catch (error) {
    log.error(
      { event: 'reload', err: error },
      'cannot reload the settings; keeping the previous ones',
    );
  }
}

/** Signals this close together are one, because they can't be two intended ones. */
const ECHO_MS = 500;

/** Handles signals, before the proxy serves and after. */
class Signals {
  /** Resolves at the first ending signal, to an `AbortSignal` that the second one aborts. */
  readonly ending: Promise<AbortSignal>;
  readonly #log: Log;
  readonly #hurry = new AbortController();
  #end: (hurry: AbortSignal) => void = () => undefined;
  #onHangup: (() => void) | null = null;
  #hungUp = false;
  #ended = 0;
  #lastAt = Number.NEGATIVE_INFINITY;

  constructor(log: Log) {
    this.#log = log;
    this.ending = new Promise((resolve) => {
      this.#end = resolve;
    });
    takeSignals((signal) => this.#onSignal(signal));
  }

  /** The proxy serves: `onHangup` is called for each SIGHUP, also for an earlier one. */
  serve(onHangup: () => void): void {
    this.#onHangup = onHangup;
    if (this.#hungUp) onHangup();
  }

  #onSignal(signal: ReceivedSignal): void {
    const fields = { event: 'signal', signal };
    if (signal === 'SIGTERM' || signal === 'SIGINT') return this.#onEnding(fields);
    if (signal !== 'SIGHUP') return this.#log.info(fields, 'ignored a signal');
    if (this.#onHangup !== null) return this.#onHangup();
    this.#hungUp = true;
    this.#log.info(fields, 'will reload the settings once clients are served');
  }

  #onEnding(fields: { readonly event: string; readonly signal: ReceivedSignal }): void {
    // npm forwards a signal that the process group got already: one signal, received twice.
    const isEcho = performance.now() - this.#lastAt < ECHO_MS;
    this.#lastAt = performance.now();
    if (isEcho) return;
    this.#ended++;
    const first = this.#onHangup === null ? 'ending before clients are served' : 'draining';
    this.#log.info(fields, this.#ended === 1 ? first : 'ending at once');
    if (this.#ended === 1) this.#end(this.#hurry.signal);
    else if (this.#ended === 2) this.#hurry.abort();
    else process.exit(1);
  }
}
