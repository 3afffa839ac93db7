/** Runs sysbench and reads its report. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { sysbenchCommand } from '../test/support/clients.js';
import type { Target } from '../test/support/servers.js';

export interface SysbenchFigures {
  readonly transactionsPerSecond: number;
  readonly queriesPerSecond: number;
  /** Rounds of the script. */
  readonly eventsPerSecond: number;
  readonly p95Ms: number;
  /** Errors that sysbench ignored, and reconnects; both should be 0. */
  readonly errors: number;
}

interface SysbenchRun {
  readonly script: string;
  readonly schema: string;
  readonly threads: number;
  readonly seconds: number;
  readonly options?: readonly string[];
  /** Connects with TLS, with the certificates of this folder. */
  readonly tlsFolder?: string;
}

/** `prepare` or `run`. Rejects where sysbench fails, with its own words. */
export async function sysbench(
  target: Target,
  command: 'prepare' | 'run',
  run: SysbenchRun,
): Promise<SysbenchFigures> {
  const { argv, env } = await sysbenchCommand();
  const [program = '', ...args] = argv;
  const child = spawn(
    program,
    [
      ...args,
      run.script,
      `--mysql-host=${target.host}`,
      `--mysql-port=${target.port}`,
      `--mysql-user=${target.user}`,
      `--mysql-password=${target.password}`,
      `--mysql-db=${run.schema}`,
      `--mysql-ssl=${run.tlsFolder === undefined ? 'off' : 'on'}`,
      `--threads=${run.threads}`,
      `--time=${run.seconds}`,
      ...(run.options ?? []),
      command,
    ],
    { cwd: run.tlsFolder, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
  }
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`sysbench ${command} ended with ${code}:\n${output}`);
  return {
    transactionsPerSecond: figure(output, /transactions:\s+\d+\s+\(([\d.]+) per sec/),
    queriesPerSecond: figure(output, /queries:\s+\d+\s+\(([\d.]+) per sec/),
    eventsPerSecond: figure(output, /total number of events:\s+(\d+)/) / run.seconds,
    p95Ms: figure(output, /95th percentile:\s+([\d.]+)/),
    errors: figure(output, /ignored errors:\s+(\d+)/) + figure(output, /reconnects:\s+(\d+)/),
  };
}

function figure(output: string, pattern: RegExp): number {
  return Number(pattern.exec(output)?.[1] ?? 0);
}
