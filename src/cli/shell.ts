/** What a command gets from the shell that runs it; tests run commands with one of their own. */
export interface Out {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

export interface Shell {
  /** The command and its arguments. */
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly stdout: Out;
  readonly stderr: Out;
  /** From now on a signal ends the process. */
  leaveSignals(): void;
}
