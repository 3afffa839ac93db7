/** How the two legs of a session are protected, and with which keys a password crosses over. */
import type { KeyObject } from 'node:crypto';
import type { ServerKeyPolicy } from '../../service/login/server-key.js';

/** Over a unix socket nobody else listens either. */
export type LegSecurity = 'plain' | 'socket' | 'tls';

export interface LegPair {
  readonly client: LegSecurity;
  readonly upstream: LegSecurity;
}

/** The key that clients without TLS encrypt their passwords with. */
export interface ProxyKey {
  readonly privateKey: KeyObject;
  /** The public half as the protocol sends it. */
  readonly publicPem: Buffer;
  readonly modulusBytes: number;
}

export interface BridgeKeys {
  /** Null where no leg to a server is ever more secure than the client's. */
  readonly own: ProxyKey | null;
  readonly server: ServerKeyPolicy;
}

/** How the legs of one session may be protected. */
export interface LoginSecurity {
  /** What the sockets are before any TLS. */
  readonly sockets: LegPair;
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
  /** Whether the upstream leg is to be in TLS; throws where it has to be and can't. */
  wantsTls(about: { readonly client: LegSecurity; readonly isOffered: boolean }): boolean;
}

/** Neither leg has TLS, nor may it. */
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
