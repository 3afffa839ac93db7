/** The folders of the project, seen from build/test/support, and temporary ones. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const projectFolder = join(fileURLToPath(import.meta.url), '../../../..');

/** Of the compiled tests. */
export const testFolder = join(projectFolder, 'build/test');

/** A new one, which is removed when it is disposed of. */
export async function temporaryFolder(
  name: string,
): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), `undrop-${name}-`));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}
