/** The folders of the project, seen from build/test/support. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const projectFolder = join(fileURLToPath(import.meta.url), '../../../..');

/** Of the compiled tests. */
export const testFolder = join(projectFolder, 'build/test');
