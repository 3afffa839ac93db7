/**
 * The part of V8's heap where new objects are made. V8 lets it grow to 16 MiB each half when many
 * objects outlive a scavenge, as those of logins do, and gives that back late or never: a proxy
 * that served one burst would be 35 MB larger for good. It stays as small as it starts (1 MiB a
 * half), which costs point selects nothing that could be measured (docs/decisions/raw-handles.md).
 */
import { setFlagsFromString } from 'node:v8';

/** To be called as early as possible: what has grown stays. Unknown flags are ignored by V8. */
export function keepYoungGenerationSmall(): void {
  setFlagsFromString('--semi-space-growth-factor=1');
}
