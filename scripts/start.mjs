/** `npm start`: installs and builds what is missing, then becomes `undrop start`. */
import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ensureBundled, ensureInstalled, root } from './ensure.mjs';

// npm passes signals on, but not its own sudden death: then nobody is left who could stop us. Where
// a signal came first, npm is gone because of it, and the process is ending already.
const parent = process.ppid;

endIfAlone();
ensureInstalled();
endIfAlone();
ensureBundled();
endIfAlone();

/** npm is gone already, by a signal that came before we could hear of it. */
function endIfAlone() {
  const isOrphan = process.env.npm_lifecycle_event === 'start' && parent === 1 && !isNpmFirst();
  if (process.ppid !== parent || isOrphan) process.exit(128 + constants.signals.SIGTERM);
}

/** As in a container: there npm may be the first of all processes. */
function isNpmFirst() {
  try {
    return readFileSync('/proc/1/comm', 'utf8').startsWith('npm');
  } catch {
    return false;
  }
}

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
