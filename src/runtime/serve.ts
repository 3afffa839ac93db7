/**
 * `undrop serve` runs a service until a signal ends it; SIGHUP reloads its program and settings.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { UndropError } from '../errors.js';
import type { Flags, Shell } from '../faces/cli/settings.js';
import { type Log, openLog } from '../log.js';
import { takeSignals } from './signals.js';
import { ProcessFailedError } from './supervisor/child.js';
import { Supervisor } from './supervisor/supervisor.js';

/** The time that the processes have for their own connections when all must end at once. */
const HURRY_MS = 1_000;

/**
 * Runs until SIGTERM or SIGINT, then drains; a second signal ends it at once. Resolves to the exit
 * code.
 */
export async function runServe(flags: Flags, shell: Shell): Promise<number> {
  // The processes read the settings, and the first thing that is logged comes after that.
  const pretty = shell.stdout.isTTY === true;
  const log = await openLog({ logLevel: 'info', auditFile: '' }, { pretty });
  const signals = new Signals(log);
  const supervisor = new Supervisor({ flags, log });
  try {
    const started = supervisor.start().then(() => true);
    // No client was served, and a cancelled start leaves no more behind than a killed one.
    if (!(await Promise.race([started, signals.ending.then(() => false)]))) process.exit(0);
  } catch (error) {
    const { text, exitCode = 1 } = error instanceof ProcessFailedError ? error.about : {};
    if (text === undefined) throw error;
    shell.stderr.write(text);
    return exitCode;
  }
  notifySystemd('READY=1');
  answerWatchdog();
  let reloading = Promise.resolve();
  signals.serve(() => {
    reloading = reloading.then(async () => {
      notifySystemd('RELOADING=1');
      await supervisor.reload();
      notifySystemd('READY=1');
    });
  });
  const hurry = await Promise.race([signals.ending, supervisor.failed]);
  notifySystemd('STOPPING=1');
  if (hurry instanceof UndropError) {
    log.error({ event: 'worker', err: hurry }, 'worker processes keep dying; ending the proxy');
    await Promise.race([supervisor.stop(new AbortController().signal), signals.ending]);
    process.exit(1);
  }
  const late = once(hurry, 'abort').then(() => sleep(HURRY_MS, undefined, { ref: false }));
  await Promise.race([supervisor.stop(hurry), late]);
  // Open connections end with their processes, as for a killed proxy.
  if (hurry.aborted) process.exit(0);
  log.info({ event: 'stopped', ...supervisor.totals.sum() }, 'stopped');
  return 0;
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

  #onSignal(signal: NodeJS.Signals): void {
    const fields = { event: 'signal', signal };
    if (signal === 'SIGTERM' || signal === 'SIGINT') return this.#onEnding(fields);
    if (signal !== 'SIGHUP') return this.#log.info(fields, 'ignored a signal');
    if (this.#onHangup !== null) return this.#onHangup();
    this.#hungUp = true;
    this.#log.info(fields, 'will reload the settings once clients are served');
  }

  #onEnding(fields: { readonly event: string; readonly signal: NodeJS.Signals }): void {
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

// ── systemd ──────────────────────────────────────────────────────────────────────────────────────
// The state of the service for systemd (`Type=notify`). Node has no datagrams on unix sockets, so
// systemd-notify sends it; the unit has NotifyAccess=all for that (sd_notify(3)).

function notifySystemd(state: 'READY=1' | 'RELOADING=1' | 'STOPPING=1' | 'WATCHDOG=1'): void {
  if (process.env['NOTIFY_SOCKET'] === undefined) return;
  const notifier = spawn('systemd-notify', [`--pid=${process.pid}`, state], { stdio: 'ignore' });
  // The service runs all the same; systemd says that it waits.
  notifier.on('error', () => undefined);
}

/** With WatchdogSec, systemd starts a service anew that doesn't say in time that it works. */
function answerWatchdog(): void {
  const periodUs = Number(process.env['WATCHDOG_USEC'] ?? '0');
  if (periodUs > 0) setInterval(() => notifySystemd('WATCHDOG=1'), periodUs / 2_000).unref();
}
