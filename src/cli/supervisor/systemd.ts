/**
 * The state of the service for systemd (`Type=notify`). Node has no datagrams on unix sockets, so
 * systemd-notify sends it; the unit has NotifyAccess=all for that (sd_notify(3)).
 */
import { spawn } from 'node:child_process';

export function notifySystemd(state: 'READY=1' | 'RELOADING=1' | 'STOPPING=1'): void {
  if (process.env['NOTIFY_SOCKET'] === undefined) return;
  const notifier = spawn('systemd-notify', [`--pid=${process.pid}`, state], { stdio: 'ignore' });
  // The service runs all the same; systemd says that it waits.
  notifier.on('error', () => undefined);
}
