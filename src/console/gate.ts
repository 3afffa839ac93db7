/**
 * Lets into the console, by its pages or by its API: requests to this listener by its name, of
 * its own origin, and accounts that the server lets in. Failed sign-ins are limited
 * (sign-in-tries.ts) and logged.
 */
import type http from 'node:http';
import { isIP } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { type Log, report } from '../log.js';
import { ER_CON_COUNT_ERROR, ER_UNKNOWN_ERROR } from '../wire/server-errors.js';
import type { FindTables } from './operator.js';
import {
  type ConsoleSession,
  errnoOf,
  openSession,
  type ProxyDoor,
  type SignIn,
} from './session.js';
import { SignInTries } from './sign-in-tries.js';

export interface ConsoleGateOptions {
  readonly door: ProxyDoor;
  /** UNDROP_ADMIN_HOSTS: names by which this listener is reached, beside those of the machine. */
  readonly hosts: readonly string[];
  readonly find: FindTables;
  readonly log: Log;
  readonly monotonicMs: () => number;
}

/** The foreign part of a request: what was expected, and what came. */
export type Foreign = readonly [name: string, expected: string, found: unknown];

const LOCAL_NAMES = ['localhost', '127.0.0.1', '[::1]'];
const SHOWN_CHARACTERS_MAX = 100;
/** Errors of a login that say nothing of the account; 0: the network. */
const NOT_THE_ACCOUNT = new Set([0, ER_CON_COUNT_ERROR, ER_UNKNOWN_ERROR]);

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
      const isRefused = !NOT_THE_ACCOUNT.has(errnoOf(error));
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
