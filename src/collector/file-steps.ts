/**
 * Frees the files of removed tables in small steps, if undrop can access the server's data folder
 * (UNDROP_DATADIR), because unlinking a file of a terabyte at once stalls some file systems for
 * seconds. Before a DROP each file gets a second name in its folder; the DROP then removes one
 * name, and this class truncates the rest, piece by piece.
 *
 * Invariant: a file is truncated only when its second name is its last. A crash between the two
 * steps, or a DROP that failed, costs no table a byte.
 */
import { link, open, readdir, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../clock.js';
import { isSystemError } from '../connections/errors.js';
import type { Log } from '../log.js';
import { isRecycleSchema, parseHoldName } from '../names/names.js';
import type { LifecycleSettings } from './next-step.js';

/** No server reads such a file, or fails because of it in a schema that isn't dropped. */
const SUFFIX = '.undrop';
/** `name.ibd`, and for partitions `name#P#p0.ibd`; files of other engines are small or rare. */
const FILE = /^(_vt_[a-z]+_[0-9a-f]{32}_[0-9]{14})(#.*)?\.ibd$/i;
/**
 * Between two steps other processes have the disk for as long as a step took, and at least this
 * long.
 */
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
  /** Files to free; those whose second name is their last have `bytes`. */
  #left: readonly { readonly path: string; readonly bytes: number }[] = [];

  constructor(options: FileStepsOptions) {
    this.#options = options;
  }

  /**
   * Call it before the DROP of these tables, which are in one schema. After any error of the system
   * they can still be dropped. Not in a user's schema: a DROP DATABASE fails while its folder has a
   * file that the server doesn't know.
   */
  async keep(tables: readonly { readonly schema: string; readonly name: string }[]) {
    const schema = tables[0]?.schema ?? '';
    if (!isRecycleSchema(schema)) return;
    const names = new Set(tables.map(({ name }) => name.toLowerCase()));
    await this.#unlessRefused(async (dataFolder) => {
      const folder = join(dataFolder, schema);
      const there = new Set(await readdir(folder));
      for (const file of there) {
        // A DROP that failed may be tried again.
        if (!names.has(tableOf(file) ?? '') || there.has(`${file}${SUFFIX}`)) continue;
        const { size } = await stat(join(folder, file));
        // A single step is enough.
        if (size <= this.#options.settings.fileStepBytes) continue;
        await link(join(folder, file), join(folder, `${file}${SUFFIX}`));
      }
    });
  }

  /** Finds files to free, including those that an ended process has left. */
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

  /** The bytes still to be freed, as of the last search. */
  get bytes(): number {
    return this.#left.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** Works until `untilMs` of the monotonic clock, but for at least one step. */
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

  /** A single step; true: the file is gone. */
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
      if (nlink === 1) log.info({ event: 'file', path }, 'freed the file of a removed table');
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
      log.warn(
        { event: 'file', err: error },
        'cannot free files of removed tables in steps; the server deletes them at once',
      );
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
