/** The program that runs the demo: the folder that it lies in, and how its user types it. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const FILE = fileURLToPath(import.meta.url);

/** A clone of the project, or the installed package: both have this file in `build`. */
export const PROJECT = /^.*(?=\/build\/)/.exec(FILE)?.[0] ?? dirname(FILE);

/** The command line of undrop: npx in a clone of the project, the installed command elsewhere. */
export function commandName(): string {
  return existsSync(join(PROJECT, 'src')) ? 'npx undrop' : 'undrop';
}
