#!/usr/bin/env node
/** The process of a command: its signals, its streams and its exit code. */
import './signals.js';
import { hideBin } from 'yargs/helpers';
import { runCommandLine, sayWhy } from './command-line.js';
import { leaveSignals } from './signals.js';

const { env, stdout, stderr } = process;

// Whoever reads what is printed may go, as `head` does; what was begun is done to its end.
stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});

runCommandLine({ args: hideBin(process.argv), env, stdout, stderr, leaveSignals })
  .then((code) => {
    process.exitCode = code;
  })
  .catch((error: unknown) => {
    process.exit(sayWhy(error, stderr));
  });
