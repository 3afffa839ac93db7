/**
 * The file of UNDROP_AUDIT_FILE: undrop appends lines to it, one by one and at once, so that
 * several processes may share it and nothing needs to be flushed at the end.
 *
 * Invariant: an error of the file never reaches the caller. It is reported once, and the next line
 * tries again.
 */
import { closeSync, constants, openSync, writeSync } from 'node:fs';

/** Without NONBLOCK a pipe without a reader would stop the process. */
const APPEND = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK;
/** Readable by its owner and group only. */
const MODE = 0o640;
const NEWLINE = 0x0a;

export class AuditFile {
  readonly #onBroken: (error: unknown) => void;
  #path = '';
  #fd: number | null = null;
  #isBroken = false;
  /** The last line is incomplete. */
  #isCut = false;

  constructor(onBroken: (error: unknown) => void) {
    this.#onBroken = onBroken;
  }

  /** Switches to that file (empty: none), which may be a new file of the same name. */
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

  /** Null: no file is configured. */
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
