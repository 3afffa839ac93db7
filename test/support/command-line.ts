/** The command line of undrop in this process: a process costs more than most commands do. */

import type { Shell } from '../../src/faces/cli/settings.js';
import { runCommandLine } from '../../src/runtime/command-line.js';
import { reportFailure } from '../../src/runtime/report-failure.js';

export async function runInProcess(
  args: readonly string[],
  env: Shell['env'] = {},
  ask?: Shell['ask'],
): Promise<{ readonly code: number; readonly stdout: string; readonly stderr: string }> {
  const said = { stdout: '', stderr: '' };
  const shell = {
    args,
    env,
    stdout: { write: (text: string) => (said.stdout += text) },
    stderr: { write: (text: string) => (said.stderr += text) },
    leaveSignals: () => undefined,
    ...(ask && { ask }),
  };
  const code = await runCommandLine(shell).catch((error) => reportFailure(error, shell.stderr));
  return { code, ...said };
}
