/**
 * What an operator does and sees by the command line, with its answers as JSON: tests that speak it
 * know nothing of what is behind.
 */

import { runInProcess } from './command-line.js';
import { environment, runUndrop } from './proxy.js';
import type { Target } from './servers.js';

/** A row of `undrop list`. */
export interface Listed {
  readonly id: string;
  readonly schema: string | null;
  readonly table: string | null;
  readonly holdSchema: string;
  readonly holdName: string;
}

/** Something that belongs to a table; `problem`: why it is not back as it was. */
interface Reattached {
  readonly name: string;
  readonly table: string;
  readonly problem: string | null;
}

/** The answer of `undrop restore` of one table. */
export interface Restored {
  readonly id: string;
  readonly foreignKeys: readonly (Reattached & { readonly isParentMissing: boolean })[];
  readonly triggers: readonly Reattached[];
  readonly checks: readonly Reattached[];
}

/** All that is held, or what the arguments choose; rejects with what the command says. */
export async function listed(server: Target, ...args: readonly string[]): Promise<Listed[]> {
  return (await answerOf(server, ['list', ...args])) as Listed[];
}

/** By name or id; rejects with what the command says. */
export async function restored(server: Target, what: string, to?: string): Promise<Restored> {
  const under = to === undefined ? [] : ['--to', to];
  return (await answerOf(server, ['restore', what, ...under])) as Restored;
}

async function answerOf(server: Target, args: readonly string[]): Promise<unknown> {
  const { code, stdout, stderr } = await runUndrop(server, [...args, '--json']);
  // A restore that leaves a part out exits with 1, too.
  if (code !== 0 && stdout === '') throw new Error(stderr);
  return JSON.parse(stdout);
}

/** `done`, or the code of the error with which the command ended. */
export async function codeOf(server: Target, args: readonly string[]): Promise<string> {
  const { code, stderr } = await runUndrop(server, args);
  return code === 0 ? 'done' : (/UNDROP_\w+/.exec(stderr)?.[0] ?? stderr);
}

/** What a command prints and asks on a terminal on which `answer` is typed. */
export async function onTerminal(server: Target, args: readonly string[], answer: string) {
  const asked: string[] = [];
  const ask = async (question: string) => {
    asked.push(question);
    return answer;
  };
  const { code, stdout, stderr } = await runInProcess(args, environment(server, {}), ask);
  return { code, asked, said: `${stdout}${stderr}` };
}
