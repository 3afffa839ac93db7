/**
 * The protection of the two connections of a session, and the keys with which a password crosses
 * over.
 */
import type { KeyObject } from 'node:crypto';
import type { ServerKeyPolicy } from '../../service/login/server-key.js';

/** Traffic over a unix socket can't be intercepted. */
export type ConnectionSecurity = 'plain' | 'socket' | 'tls';

export interface ConnectionPair {
  readonly client: ConnectionSecurity;
  readonly upstream: ConnectionSecurity;
}

/** The key with which clients without TLS encrypt their passwords. */
export interface ProxyKey {
  readonly privateKey: KeyObject;
  /** The public half as the protocol sends it. */
  readonly publicPem: Buffer;
  readonly modulusBytes: number;
}

export interface BridgeKeys {
  /** Null if no connection to a server is ever more secure than the client's. */
  readonly own: ProxyKey | null;
  readonly server: ServerKeyPolicy;
}

/** The allowed protection of the connections of one session. */
export interface LoginSecurity {
  /** The sockets before any TLS. */
  readonly sockets: ConnectionPair;
  /** Whether clients are offered TLS. */
  readonly offersTls: boolean;
  /** Whether clients without TLS and without a unix socket are refused. */
  readonly requiresTls: boolean;
  readonly keys: BridgeKeys;
  /** Whether clients must not log in as the OS user of this process (login-check.ts). */
  readonly checksOsUser: boolean;
  /** Nor by its TLS with the server, or by its client certificate. */
  readonly checksTls: boolean;
  readonly showsCertificate: boolean;
  /** Whether the upstream connection uses TLS; throws if it must and can't. */
  wantsTls(about: { readonly client: ConnectionSecurity; readonly isOffered: boolean }): boolean;
}

/** Neither connection has TLS, or may have it. */
export const PLAIN: LoginSecurity = {
  sockets: { client: 'plain', upstream: 'plain' },
  offersTls: false,
  requiresTls: false,
  keys: { own: null, server: 'refuse' },
  checksOsUser: false,
  checksTls: false,
  showsCertificate: false,
  wantsTls: () => false,
};
