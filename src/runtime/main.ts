#!/usr/bin/env node
/** The program: a command, or a process of a service. */
import './signals.js';
import { setFlagsFromString } from 'node:v8';
import { ROLE_VARIABLE } from './supervisor/messages.js';

// Keeps the part of V8's heap where new objects are made as small as it starts (1 MiB a half),
// which costs point selects nothing that could be measured (docs/inside/decisions/processes.md).
// V8 lets it grow to 16 MiB each half when many objects outlive a scavenge, as those of logins do,
// and gives that back late or never: a proxy that served one burst would be 35 MB larger for good.
// This comes as early as possible, because what has grown stays. V8 ignores unknown flags.
setFlagsFromString('--semi-space-growth-factor=1');
// A process that a supervisor has forked needs nothing of the command line.
if (process.env[ROLE_VARIABLE] !== undefined) await import('./serve/process.js');
else await import('./run-main.js');
