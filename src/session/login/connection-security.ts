/**
 * How the two connections of a session are protected, and with which keys a password crosses over.
 */
import type { KeyObject } from 'node:crypto';
import type { ServerKeyPolicy } from '../../service/login/server-key.js';

/** Over a unix socket nobody else listens either. */
export type ConnectionSecurity = 'plain' | 'socket' | 'tls';

export interface ConnectionPair {
  readonly client: ConnectionSecurity;
  readonly upstream: ConnectionSecurity;
}

/** The key that clients without TLS encrypt their passwords with. */
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

/** How the connections of one session may be protected. */
export interface LoginSecurity {
  /** What the sockets are before any TLS. */
  readonly sockets: ConnectionPair;
  /** Whether clients are offered TLS. */
  readonly offersTls: boolean;
  /** Whether those that come neither in TLS nor by a unix socket are refused. */
  readonly requiresTls: boolean;
  readonly keys: BridgeKeys;
  /** Whether the OS user of this process is not to be lent to clients (login-check.ts). */
  readonly checksOsUser: boolean;
  /** Nor its TLS with the server, with the certificate that it may show there. */
  readonly checksTls: boolean;
  readonly showsCertificate: boolean;
  /** Whether the upstream connection is to be in TLS; throws if it has to be and can't. */
  wantsTls(about: { readonly client: ConnectionSecurity; readonly isOffered: boolean }): boolean;
}

/** Neither connection has TLS, nor may it. */
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
