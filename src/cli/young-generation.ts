/** The memory for new objects, for a process that runs for long. */
import { setFlagsFromString } from 'node:v8';

/**
 * Keeps the part of V8's heap where new objects are made as small as it starts (1 MiB a half),
 * which costs point selects nothing that could be measured (docs/inside/decisions/processes.md).
 * V8 lets it grow to 16 MiB each half when many objects outlive a scavenge, as those of logins do,
 * and gives that back late or never: a proxy that served one burst would be 35 MB larger for good.
 * To be called as early as possible, because what has grown stays. V8 ignores unknown flags.
 */
export function keepYoungGenerationSmall(): void {
  setFlagsFromString('--semi-space-growth-factor=1');
}
