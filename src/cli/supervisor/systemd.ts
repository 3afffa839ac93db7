/**
 * The state of the service for systemd (`Type=notify`). Node has no datagrams on unix sockets, so
 * systemd-notify sends it; the unit has NotifyAccess=all for that (sd_notify(3)).
 */
import { spawn } from 'node:child_process';

export function notifySystemd(
  state: 'READY=1' | 'RELOADING=1' | 'STOPPING=1' | 'WATCHDOG=1',
): void {
  if (process.env['NOTIFY_SOCKET'] === undefined) return;
  const notifier = spawn('systemd-notify', [`--pid=${process.pid}`, state], { stdio: 'ignore' });
  // The service runs all the same; systemd says that it waits.
  notifier.on('error', () => undefined);
}

/** With WatchdogSec, systemd starts a service anew that doesn't say in time that it works. */
export function answerWatchdog(): void {
  const periodUs = Number(process.env['WATCHDOG_USEC'] ?? '0');
  if (periodUs > 0) setInterval(() => notifySystemd('WATCHDOG=1'), periodUs / 2_000).unref();
}
