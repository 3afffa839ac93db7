/**
 * Finds processes by a variable of their environment, which children inherit however deep, waits a
 * while for them to end by themselves, and ends the rest. Only where there is a /proc.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const GRACE_MS = 30_000;
const POLL_MS = 100;

/** Ends what is left; returns a line on each: its number, its state and its command. */
export async function endLeftBehind(variable) {
  const deadline = Date.now() + GRACE_MS;
  while (processesWith(variable).length > 0 && Date.now() < deadline) await sleep(POLL_MS);
  const left = processesWith(variable);
  const lines = left.map(describe);
  for (const pid of left) tryKill(pid);
  return lines;
}

function processesWith(variable) {
  return pids().filter((pid) => read(`/proc/${pid}/environ`).split('\0').includes(variable));
}

function pids() {
  try {
    return readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  } catch {
    return [];
  }
}

function describe(pid) {
  const state = /^State:\s*(.*)$/m.exec(read(`/proc/${pid}/status`))?.[1] ?? 'unknown';
  const command = read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim();
  return `${pid} [${state}] ${command}`;
}

function tryKill(pid) {
  try {
    process.kill(Number(pid), 'SIGKILL');
  } catch {
    // Ended by itself meanwhile.
  }
}

/** Empty for a process that is gone, or is none of ours. */
function read(file) {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
