/**
 * The TLS sessions of servers, by which later connections save both sides a handshake with
 * certificates. A session keeps the result of the check of its certificate.
 *
 * Invariant: only sessions of trusted servers are kept.
 */
import type { TLSSocket } from 'node:tls';
import { describeAddress, type ServerAddress } from '../../service/server-address.js';

/** MySQL keeps them for 300 s (ssl_session_cache_timeout). */
const SESSION_MS = 240_000;
/** After that a server is taken to keep none. */
const MISSES_MAX = 3;
/** Addresses of servers. */
const SESSIONS_MAX = 64;

export class UpstreamSessions {
  readonly #kept = new Map<string, { readonly session: Buffer; readonly untilMs: number }>();
  /** How often a server has not resumed one, since it last did. */
  readonly #misses = new Map<string, number>();

  /** Null: a whole handshake is needed. */
  at(upstream: ServerAddress): Buffer | null {
    const key = keyOf(upstream);
    const kept = this.#kept.get(key);
    if (kept === undefined || performance.now() < kept.untilMs) return kept?.session ?? null;
    this.#kept.delete(key);
    return null;
  }

  /** A server that was started again has forgotten it; MariaDB keeps none. */
  note(upstream: ServerAddress, { isReused }: { readonly isReused: boolean }): void {
    const key = keyOf(upstream);
    if (isReused) {
      this.#misses.delete(key);
    } else {
      this.#kept.delete(key);
      this.#misses.set(key, (this.#misses.get(key) ?? 0) + 1);
    }
  }

  useNone(upstream: ServerAddress): void {
    const key = keyOf(upstream);
    this.#kept.delete(key);
    this.#misses.set(key, MISSES_MAX);
  }

  awaitFrom(secured: TLSSocket): { keepFor(upstream: ServerAddress): void } {
    let offered: Buffer | null = null;
    let key: string | null = null;
    secured.once('session', (session: Buffer) => {
      offered = session;
      if (key !== null) this.#keep(key, session);
    });
    return {
      keepFor: (upstream) => {
        key = keyOf(upstream);
        if (offered !== null) this.#keep(key, offered);
      },
    };
  }

  #keep(key: string, session: Buffer): void {
    if ((this.#misses.get(key) ?? 0) >= MISSES_MAX) return;
    if (this.#kept.size >= SESSIONS_MAX) this.#kept.clear();
    this.#kept.set(key, { session, untilMs: performance.now() + SESSION_MS });
  }
}

function keyOf(upstream: ServerAddress): string {
  return `${describeAddress(upstream)} ${nameOf(upstream)}`;
}

/** The configured name, before it was resolved. */
export function nameOf(upstream: ServerAddress): string {
  if ('socketPath' in upstream) return 'localhost';
  return upstream.name ?? upstream.host;
}
