/**
 * The file of UNDROP_AUDIT_FILE: lines are appended to it, one by one and at once, so that several
 * processes may share it and nothing is left to be flushed at the end of one.
 *
 * Invariant: nothing that is wrong with the file is thrown at whoever writes. It is said once, and
 * tried again with the next line.
 */
import { closeSync, constants, openSync, writeSync } from 'node:fs';

/** Without NONBLOCK a pipe that nobody reads would stop the process. */
const APPEND = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK;
/** Nobody but its owner and the group reads who did what. */
const MODE = 0o640;
const NEWLINE = 0x0a;

export class AuditFile {
  readonly #onBroken: (error: unknown) => void;
  #path = '';
  #fd: number | null = null;
  #isBroken = false;
  /** The last line is there in part. */
  #isCut = false;

  constructor(onBroken: (error: unknown) => void) {
    this.#onBroken = onBroken;
  }

  /** From now on that file (empty: none), which may be another one by the same name. */
  reopen(path: string): void {
    this.#close();
    this.#path = path;
    this.#isBroken = false;
    this.#isCut = false;
    this.#try(() => this.#open());
  }

  write(line: object): void {
    this.#try(() => {
      const fd = this.#open();
      if (fd === null) return;
      const text = Buffer.from(`${this.#isCut ? '\n' : ''}${JSON.stringify(line)}\n`);
      for (let at = 0; at < text.length; ) {
        at += writeSync(fd, text, at);
        this.#isCut = text[at - 1] !== NEWLINE;
      }
      this.#isBroken = false;
    });
  }

  /** Null: there is to be none. */
  #open(): number | null {
    if (this.#path === '') return null;
    this.#fd ??= openSync(this.#path, APPEND, MODE);
    return this.#fd;
  }

  #try(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#close();
      if (!this.#isBroken) this.#onBroken(error);
      this.#isBroken = true;
    }
  }

  #close(): void {
    const fd = this.#fd;
    if (fd === null) return;
    this.#fd = null;
    try {
      closeSync(fd);
    } catch (error) {
      this.#onBroken(error);
    }
  }
}
