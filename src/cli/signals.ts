/**
 * Receives signals from the first moment of a process: it is imported before anything else, so that
 * no signal ends the process or opens a debugger while the rest is still being loaded. Signals wait
 * until they are taken.
 *
 * Invariant: SIGUSR1 never opens Node's inspector, with which any user of the machine could run
 * code here, and SIGUSR2 doesn't end the process.
 */
import { assert } from '../assert.js';

const ENDING = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;
const SIGNALS = [...ENDING, 'SIGUSR1', 'SIGUSR2'] as const;

export type HeardSignal = (typeof SIGNALS)[number];

const waiting: HeardSignal[] = [];
let heed: (signal: HeardSignal) => void = (signal) => waiting.push(signal);

function hear(signal: NodeJS.Signals): void {
  const heard = SIGNALS.find((name) => name === signal);
  assert(heard !== undefined, 'only those are listened for');
  heed(heard);
}

for (const signal of SIGNALS) process.on(signal, hear);

/** Calls `on` for waiting signals, and for all later ones. */
export function takeSignals(on: (signal: HeardSignal) => void): void {
  heed = on;
  for (const signal of waiting.splice(0)) on(signal);
}

/**
 * For commands that a signal may end: from now on signals end the process, including waiting ones.
 */
export function leaveSignals(): void {
  for (const signal of ENDING) process.off(signal, hear);
  const [first] = waiting.splice(0).filter((signal) => !signal.startsWith('SIGUSR'));
  heed = () => undefined;
  if (first !== undefined) process.kill(process.pid, first);
}
