/** `npm start`: installs and builds what is missing, then becomes `undrop start`. */
import { constants } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ensureBundled, ensureInstalled, root } from './ensure.mjs';

ensureInstalled();
ensureBundled();

// npm passes signals on, but not its own sudden death: then nobody is left who could stop us. Where
// a signal came first, npm is gone because of it, and the process is ending already.
const parent = process.ppid;
let isEnding = false;
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) {
  process.on(signal, () => {
    if (signal === 'SIGHUP') return;
    isEnding = true;
    // Before anything runs that would clean up, it ends the process, as it would without us.
    if (process.listenerCount(signal) === 1) process.exit(128 + constants.signals[signal]);
  });
}
const watch = setInterval(() => {
  if (process.ppid === parent) return;
  clearInterval(watch);
  if (!isEnding) process.kill(process.pid, 'SIGTERM');
}, 1_000);
watch.unref();

// In this process, not in a child: a signal reaches the one that has to clean up.
const main = join(root, 'build/undrop.mjs');
process.argv.splice(1, 1, main, 'start');
await import(pathToFileURL(main).href);
