/**
 * Lets into the console, by its pages or by its API: requests to this listener by its name, of
 * its own origin, and accounts that the server lets in. Failed sign-ins are limited
 * (sign-in-tries.ts) and logged.
 */
import type http from 'node:http';
import { isIP } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { type Log, report } from '../../log.js';
import * as ER from '../../wire/server-errors.js';
import type { ConsoleSession, ProxyAddress, SignIn, TableFinder } from './session.js';
import { errnoOf, openSession } from './session.js';

export interface ConsoleGateOptions {
  readonly door: ProxyAddress;
  /** UNDROP_ADMIN_HOSTS: names by which this listener is reached, beside those of the machine. */
  readonly hosts: readonly string[];
  readonly operator: TableFinder;
  readonly log: Log;
  readonly monotonicMs: () => number;
}

/** The foreign part of a request: what was expected, and what came. */
export type Foreign = readonly [name: string, expected: string, found: unknown];

const LOCAL_NAMES = ['localhost', '127.0.0.1', '[::1]'];
const SHOWN_CHARACTERS_MAX = 100;
/** Errors of a login that say nothing of the account; 0: the network. */
const NOT_THE_ACCOUNT = new Set([0, ER.CON_COUNT_ERROR, ER.UNKNOWN_ERROR]);
/** Without TLS the driver encrypts a password by RSA, and no longer one than 213 bytes. */
const PASSWORD_TOO_LONG = 'ERR_OSSL_RSA_DATA_TOO_LARGE_FOR_KEY_SIZE';

export class Gate {
  readonly #options: ConsoleGateOptions;
  readonly #tries: SignInTries;

  constructor(options: ConsoleGateOptions) {
    this.#options = options;
    this.#tries = new SignInTries(options.monotonicMs);
  }

  /** Null: the request comes from here. */
  whyForeign({ headers, socket }: http.IncomingMessage): Foreign | null {
    const { host = '', origin } = headers;
    const name = host.replace(/:\d+$/, '').toLowerCase();
    const local = (socket.localAddress ?? '').replace(/^::ffff:(?=\d+\.)/, '');
    const { hosts } = this.#options;
    const names = [...LOCAL_NAMES, ...hosts, isIP(local) === 6 ? `[${local}]` : local];
    if (name === '' || !names.includes(name))
      return ['Host', 'a name in UNDROP_ADMIN_HOSTS, or localhost', host];
    const own = `${isSecure(socket) ? 'https' : 'http'}://${host.toLowerCase()}`;
    const isForeign = origin !== undefined && origin.toLowerCase() !== own;
    return isForeign ? ['Origin', 'the console itself', origin] : null;
  }

  /** Rejects with an error of the driver that says nothing of the account. */
  async signIn(
    { socket: { remoteAddress: address = '' } }: http.IncomingMessage,
    account: SignIn,
  ): Promise<ConsoleSession | 'refused' | 'too many'> {
    // The server reads these names in another way than they are written: as another account.
    if (/[\0'"`]/.test(account.user)) return 'refused';
    const one = await this.#tries.begin(address, account.user);
    const user = account.user.slice(0, SHOWN_CHARACTERS_MAX);
    const refuse = (because: string) => {
      const who = { user, client: address, threadId: null };
      report(this.#options.log, [{ event: 'sign-in-refused', ...who, because }]);
    };
    if (one === null) {
      refuse('too many have failed');
      return 'too many';
    }
    try {
      const session = await openSession(this.#options, account);
      one.end('let in');
      return session;
    } catch (error) {
      const isTooLong = (error as { readonly code?: unknown }).code === PASSWORD_TOO_LONG;
      const isRefused = isTooLong || !NOT_THE_ACCOUNT.has(errnoOf(error));
      one.end(isRefused ? 'refused' : 'unknown');
      if (!isRefused) throw error;
      refuse('the server refuses the account');
      return 'refused';
    }
  }
}

export function isSecure(socket: http.IncomingMessage['socket']): boolean {
  return (socket as Partial<TLSSocket>).encrypted === true;
}

// ── tries to sign in ─────────────────────────────────────────────────────────────────────────────
// Limits the tries to sign in that reach the server: 5 failed ones a minute for one account from an
// address, and 20 from an address. The rest is refused here, so that nobody locks an account of the
// server, or guesses its password, through undrop. For accounts that were let in from an address
// it takes 60: behind an HTTP proxy all people come from one.
//
// Invariant: while tries are under way, no more than could fail within the limit are begun; others
// wait for the outcome of these, and of one address so many that they can't take all places.

const WINDOW_MS = 60_000;
const OF_ACCOUNT_MAX = 5;
const OF_ADDRESS_MAX = 20;
/** For accounts that were let in from there before. */
const OF_KNOWN_MAX = 60;
const WAITING_OF_ADDRESS_MAX = 24;
/** More addresses than this are forgotten, the oldest first. */
const ADDRESSES_MAX = 10_000;
/** The accounts that are known of an address. */
const KNOWN_MAX = 1_000;
/** The first groups of an IPv6 address: one network has all addresses below. */
const NETWORK_GROUPS = 4;

interface Try {
  readonly account: string;
  readonly atMs: number;
  hasFailed: boolean;
}

type Outcome = 'let in' | 'refused' | 'unknown';

export class SignInTries {
  readonly #nowMs: () => number;
  /** Failed ones, and those under way, by the address. */
  readonly #tries = new Map<string, Try[]>();
  /** Accounts that were let in, by the address. */
  readonly #known = new Map<string, Set<string>>();
  #waiting: { readonly key: string; readonly resolve: () => void }[] = [];

  /** `nowMs`: a clock that doesn't go back. */
  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /**
   * Resolves when the try may begin; to null if too many have failed, or wait. `end` is called with
   * its outcome, exactly once.
   */
  async begin(address: string, account: string) {
    const key = networkOf(address);
    for (;;) {
      const atMs = this.#nowMs();
      const recent = (this.#tries.get(key) ?? []).filter(
        (one) => !one.hasFailed || atMs - one.atMs < WINDOW_MS,
      );
      const ofAccount = recent.filter((one) => one.account === account);
      const isKnown = this.#known.get(key)?.has(account) === true;
      const ofAddressMax = isKnown ? OF_KNOWN_MAX : OF_ADDRESS_MAX;
      if (ofAccount.length < OF_ACCOUNT_MAX && recent.length < ofAddressMax) {
        const mine = { account, atMs, hasFailed: false };
        keepNewest(this.#tries, key, [...recent, mine]);
        return { end: (outcome: Outcome) => this.#end(key, mine, outcome) };
      }
      const failed = (tries: readonly Try[]) => tries.filter(({ hasFailed }) => hasFailed).length;
      if (failed(ofAccount) >= OF_ACCOUNT_MAX || failed(recent) >= ofAddressMax) return null;
      const before = this.#waiting.filter((one) => one.key === key).length;
      if (before >= WAITING_OF_ADDRESS_MAX) return null;
      await new Promise<void>((resolve) => this.#waiting.push({ key, resolve }));
    }
  }

  #end(key: string, mine: Try, outcome: Outcome): void {
    mine.hasFailed = outcome === 'refused';
    if (outcome === 'let in') this.#know(key, mine.account);
    const tries = this.#tries.get(key) ?? [];
    const left = mine.hasFailed ? tries : tries.filter((one) => one !== mine);
    if (left.length === 0) this.#tries.delete(key);
    else keepNewest(this.#tries, key, left);
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { resolve } of waiting) resolve();
  }

  #know(key: string, account: string): void {
    const known = this.#known.get(key) ?? new Set();
    keepNewest(this.#known, key, known.size < KNOWN_MAX ? known.add(account) : known);
  }
}

/** The newest key is the last in the map; the oldest goes where there are too many. */
function keepNewest<T>(map: Map<string, T>, key: string, value: T): void {
  map.delete(key);
  map.set(key, value);
  const [oldest] = map.keys();
  if (map.size > ADDRESSES_MAX && oldest !== undefined) map.delete(oldest);
}

function networkOf(address: string): string {
  const plain = address.replace(/^::ffff:(?=\d+\.)/, '');
  if (!plain.includes(':')) return plain;
  const [start = '', end] = plain.split('::');
  const [first, last] = [start, end ?? ''].map((part) => part.split(':').filter(Boolean));
  const zeros = 8 - (first?.length ?? 0) - (last?.length ?? 0);
  const groups = [...(first ?? []), ...Array.from({ length: zeros }, () => '0'), ...(last ?? [])];
  return groups.slice(0, NETWORK_GROUPS).join(':');
}
