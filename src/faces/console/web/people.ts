/**
 * The people who are signed in: each has a session with the proxy, by the person's own account,
 * which lives here alone, until sign-out, 15 minutes without a request, or 8 hours.
 */
import { randomBytes, timingSafeEqual } from 'node:crypto';
import type { ConsoleSession } from '../session.js';

const UNUSED_MS = 15 * 60_000;
const WHOLE_MS = 8 * 3_600_000;
const CHECK_MS = 30_000;
/** Each holds a connection of the server. */
const PEOPLE_MAX = 64;
/** Above it, the first session of an account ends with the next sign-in. */
const OF_ACCOUNT_MAX = 8;
const SECRET_BYTES = 24;

/** Work on many tables that goes on while its page is looked at. */
export interface Job {
  readonly id: string;
  readonly title: string;
  readonly back: string;
  readonly total: number;
  done: number;
  readonly messages: string[];
  readonly failed: string[];
  isOver: boolean;
}

export interface Person {
  readonly user: string;
  /** The address of the browser. */
  readonly client: string;
  readonly session: ConsoleSession;
  /** In each form, so that no other page can send one. */
  readonly token: string;
  /** May UPDATE the ledger, as the server has answered. */
  isOperator: boolean;
  /** Requests that wait for an answer. */
  open: number;
  readonly jobs: Map<string, Job>;
  /** The outcome of the last form: the next page shows it, once. */
  flash: { readonly text: string; readonly tone: 'good' | 'warn' | 'bad' } | null;
}

interface SignedIn {
  readonly person: Person;
  readonly sinceMs: number;
  usedMs: number;
}

export class People {
  readonly #nowMs: () => number;
  readonly #all = new Map<string, SignedIn>();
  readonly #checking: NodeJS.Timeout;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
    this.#checking = setInterval(() => this.#endOld(), CHECK_MS).unref();
  }

  get isFull(): boolean {
    this.#endOld();
    return this.#all.size >= PEOPLE_MAX;
  }

  /** Returns the secret of the person's cookie. */
  add(who: Pick<Person, 'user' | 'client' | 'session' | 'isOperator'>): string {
    const person: Person = { ...who, token: newSecret(), open: 0, jobs: new Map(), flash: null };
    const mine = [...this.#all].filter(([, one]) => one.person.user === who.user);
    const [oldest] = mine;
    if (mine.length >= OF_ACCOUNT_MAX && oldest !== undefined) this.#end(...oldest);
    const [secret, nowMs] = [newSecret(), this.#nowMs()];
    this.#all.set(secret, { person, sinceMs: nowMs, usedMs: nowMs });
    return secret;
  }

  /** Null: nobody is signed in by this secret, or no longer. `isUse`: by the person's own act. */
  find(secret: string, { isUse = true }: { readonly isUse?: boolean } = {}): Person | null {
    this.#endOld();
    const found = this.#all.get(secret);
    if (found === undefined) return null;
    if (isUse) found.usedMs = this.#nowMs();
    return found.person;
  }

  end(person: Person): void {
    for (const [secret, one] of this.#all) if (one.person === person) this.#end(secret, one);
  }

  stop(): void {
    clearInterval(this.#checking);
    for (const [secret, one] of this.#all) this.#end(secret, one);
  }

  #endOld(): void {
    const nowMs = this.#nowMs();
    for (const [secret, one] of this.#all) {
      const { person, sinceMs, usedMs } = one;
      const isIdle = nowMs - usedMs >= UNUSED_MS && !isAtWork(person);
      const isOld = isIdle || nowMs - sinceMs >= WHOLE_MS;
      if (!person.session.isOpen || isOld) this.#end(secret, one);
    }
  }

  #end(secret: string, { person }: SignedIn): void {
    this.#all.delete(secret);
    person.session.end();
  }
}

/** Whether work of this person is under way: one at a time. */
export function isAtWork({ jobs }: Pick<Person, 'jobs'>): boolean {
  return [...jobs.values()].some(({ isOver }) => !isOver);
}

export function newSecret(): string {
  return randomBytes(SECRET_BYTES).toString('base64url');
}

/** In a time that doesn't depend on where they differ. */
export function isSameSecret(one: string, other: string): boolean {
  const [a, b] = [Buffer.from(one), Buffer.from(other)];
  return a.length === b.length && timingSafeEqual(a, b);
}
