/**
 * Gives the files of removed tables back to the file system in small steps, where undrop sees the
 * server's data folder (UNDROP_DATADIR): to unlink a file of a terabyte at once stalls some file
 * systems for seconds. Before a DROP each file gets a second name in its folder; the DROP then
 * takes away a name alone, and the rest is cut off here, piece by piece.
 *
 * Invariant: a file is cut only when its second name is its last. So what a crash left between both
 * steps, or a DROP that failed, costs no table a byte.
 */
import { link, open, readdir, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../clock.js';
import type { Log } from '../log.js';
import { isRecycleSchema, parseHoldName } from '../names/names.js';
import { isSystemError } from './limits/limits.js';
import type { LifecycleSettings } from './next-step.js';

/** No server reads such a file, and none minds it in a schema that isn't dropped. */
const SUFFIX = '.undrop';
/** `name.ibd`, and of partitions `name#P#p0.ibd`; what other engines keep is small or rare. */
const FILE = /^(_vt_[a-z]+_[0-9a-f]{32}_[0-9]{14})(#.*)?\.ibd$/i;
/** Between two steps others have the disk for as long as a step took, and at least so long. */
const PAUSE_MS_MIN = 20;

interface FileStepsOptions {
  readonly settings: Pick<LifecycleSettings, 'fileStepBytes' | 'limits'>;
  readonly clock: Clock;
  readonly log: Log;
  readonly monotonicMs: () => number;
  readonly signal: AbortSignal;
}

export class FileSteps {
  readonly #options: FileStepsOptions;
  /** Files that are to be given back; those whose last name it is have bytes. */
  #left: readonly { readonly path: string; readonly bytes: number }[] = [];

  constructor(options: FileStepsOptions) {
    this.#options = options;
  }

  /**
   * Before the DROP of that table. Whatever the system says, the table can be dropped. Not in a
   * user's schema: a DROP DATABASE fails while its folder has a file that the server doesn't know.
   */
  async keep({ schema, name }: { readonly schema: string; readonly name: string }): Promise<void> {
    if (!isRecycleSchema(schema)) return;
    await this.#unlessRefused(async (dataFolder) => {
      const folder = join(dataFolder, schema);
      const there = new Set(await readdir(folder));
      for (const file of there) {
        // A DROP that failed may be tried again.
        if (tableOf(file) !== name.toLowerCase() || there.has(`${file}${SUFFIX}`)) continue;
        const { size } = await stat(join(folder, file));
        // One step would not be noticed.
        if (size <= this.#options.settings.fileStepBytes) continue;
        await link(join(folder, file), join(folder, `${file}${SUFFIX}`));
      }
    });
  }

  /** Finds what is to be given back, also what an ended process has left. */
  async look(): Promise<void> {
    await this.#unlessRefused(async (dataFolder) => {
      const found: string[] = [];
      const sizeOf = async (path: string) => {
        const { nlink, size } = await stat(path);
        return { path, bytes: nlink === 1 ? size : 0 };
      };
      for (const schema of (await readdir(dataFolder)).filter(isRecycleSchema)) {
        const files = await readdir(join(dataFolder, schema));
        const kept = files.filter((file) => file.endsWith(SUFFIX) && isOurs(file));
        found.push(...kept.map((file) => join(dataFolder, schema, file)));
      }
      this.#left = await Promise.all(found.map(sizeOf));
    });
  }

  get isUnderWay(): boolean {
    return this.#left.length > 0;
  }

  /** What is still to be given back, as it was when they were found. */
  get bytes(): number {
    return this.#left.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** Goes on until `untilMs` of the monotonic clock, but for at least one step. */
  async work(untilMs: number): Promise<void> {
    const { clock, monotonicMs, signal } = this.#options;
    do {
      const path = this.#left[0]?.path;
      if (path === undefined) return;
      const beganMs = monotonicMs();
      let isOver = true;
      await this.#unlessRefused(async () => {
        isOver = await this.#cut(path);
      });
      if (isOver) this.#left = this.#left.slice(1);
      await clock.sleep(Math.max(monotonicMs() - beganMs, PAUSE_MS_MIN), signal);
    } while (!signal.aborted && monotonicMs() < untilMs);
  }

  /** One step; true: nothing is left of it. */
  async #cut(path: string): Promise<boolean> {
    const { settings, log } = this.#options;
    const file = await open(path, 'r+');
    try {
      const { nlink, size } = await file.stat();
      const rest = size - settings.fileStepBytes;
      if (nlink === 1 && rest > 0) {
        await file.truncate(rest);
        return false;
      }
      await unlink(path);
      if (nlink === 1) log.info({ event: 'file', path }, 'a file was given back');
      return true;
    } finally {
      await file.close();
    }
  }

  async #unlessRefused(work: (dataFolder: string) => Promise<void>): Promise<void> {
    const { settings, log } = this.#options;
    const { dataFolder } = settings.limits;
    if (dataFolder === null) return;
    try {
      await work(dataFolder);
    } catch (error) {
      if (!isSystemError(error)) throw error;
      log.warn({ event: 'file', err: error }, 'files can not be given back in steps');
    }
  }
}

function tableOf(file: string): string | null {
  return FILE.exec(file)?.[1]?.toLowerCase() ?? null;
}

function isOurs(file: string): boolean {
  const name = tableOf(file.slice(0, -SUFFIX.length));
  return name !== null && parseHoldName(name)?.state === 'DROP';
}
