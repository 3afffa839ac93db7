/** Point selects at a steady rate on `live.t`, in a process of its own: what they feel. */
import { spawn } from 'node:child_process';
import { constants, setPriority } from 'node:os';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Target } from '../test/support/servers.js';

/** Of the table that is read. */
export const LIVE_ROWS = 100_000;

/** Each latency counts from when the query was due. */
export interface Felt {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly worstMs: number;
  readonly over30: number;
}

interface PacedReads {
  /** What was felt since it began or was asked last. */
  felt(): Promise<Felt>;
  end(): Promise<Felt>;
}

/** `rate`: a second. Resolves when they have begun. */
export async function startReads(server: Target, rate: number): Promise<PacedReads> {
  const script = fileURLToPath(new URL('paced-reads.js', import.meta.url));
  const args = [server.host, String(server.port), String(rate), '16', String(LIVE_ROWS)];
  const child = spawn(process.execPath, [script, ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
  preferReads(child.pid);
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const next = async () => String((await lines.next()).value);
  await next();
  return {
    felt: async () => {
      child.stdin.write('?');
      return JSON.parse(await next()) as Felt;
    },
    end: async () => {
      child.stdin.end();
      return JSON.parse(await next()) as Felt;
    },
  };
}

/** Clients are on other machines: on this one they don't wait for a core. It needs root. */
function preferReads(pid: number | undefined): void {
  try {
    if (pid !== undefined) setPriority(pid, constants.priority.PRIORITY_HIGHEST);
  } catch (error) {
    process.stdout.write(`The reads wait for a core like all others: ${String(error)}\n`);
  }
}
