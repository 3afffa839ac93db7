#!/usr/bin/env node
/** The program: a command, or a process of a service. */
import './signals.js';
import { ROLE_VARIABLE } from './supervisor/messages.js';
import { keepYoungGenerationSmall } from './young-generation.js';

keepYoungGenerationSmall();
// A process that a supervisor has forked needs nothing of the command line.
if (process.env[ROLE_VARIABLE] !== undefined) await import('./serve/process.js');
else await import('./run-main.js');
