/**
 * Receives signals from the first moment of a process: it is imported before anything else, so that
 * no signal ends the process or opens a debugger while the rest is still being loaded. Signals wait
 * until they are taken.
 *
 * Invariant: SIGUSR1 never opens Node's inspector, with which any user of the machine could run
 * code here, and SIGUSR2 doesn't end the process.
 */
const ENDING = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;
const SIGNALS = [...ENDING, 'SIGUSR1', 'SIGUSR2'] as const;

const waiting: NodeJS.Signals[] = [];
let handle: (signal: NodeJS.Signals) => void = (signal) => waiting.push(signal);

function onSignal(signal: NodeJS.Signals): void {
  handle(signal);
}

for (const signal of SIGNALS) process.on(signal, onSignal);

/** Calls `on` for waiting signals, and for all later ones. */
export function takeSignals(on: (signal: NodeJS.Signals) => void): void {
  handle = on;
  for (const signal of waiting.splice(0)) on(signal);
}

/**
 * For commands that a signal may end: from now on signals end the process, including waiting ones.
 */
export function leaveSignals(): void {
  for (const signal of ENDING) process.off(signal, onSignal);
  const [first] = waiting.splice(0).filter((signal) => !signal.startsWith('SIGUSR'));
  handle = () => undefined;
  if (first !== undefined) process.kill(process.pid, first);
}
