/**
 * TLS of a proxy: its certificate for clients, TLS with the server, and the keys with which
 * passwords cross from one connection to the other (session/login/auth-bridge.ts). Files are read
 * at the start of a process.
 *
 * Invariant: the modes are those of MySQL's ssl-mode, and no mode ever falls back to less than its
 * name promises.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import net, { type Socket } from 'node:net';
import tls, { type SecureContext, TLSSocket } from 'node:tls';
import { causeText } from '../../connections/errors.js';
import type { ServiceTls } from '../../connections/login/driver-login.js';
import { keyPolicyFor } from '../../connections/login/server-key.js';
import type { ServiceSecurity } from '../../connections/pool/open-pool.js';
import { describeAddress, type ServerAddress } from '../../connections/server-address.js';
import { UndropError } from '../../errors.js';
import * as certificates from './certificates.js';
import type { ConnectionSecurity, LoginSecurity, ProxyKey } from './login-check.js';

/**
 * The upstream connection: never; for clients with TLS if the server offers it; whenever it offers
 * it; always; and also with its certificate checked, and its name too.
 */
export type UpstreamTlsMode =
  | 'disabled'
  | 'as-client'
  | 'preferred'
  | 'required'
  | 'verify-ca'
  | 'verify-identity';

export interface TlsSettings {
  /** The names in a certificate that is created at the start. */
  readonly listen: readonly ServerAddress[];
  readonly upstream: readonly ServerAddress[];
  /** TLS of clients; those on a unix socket are never required to have it. */
  readonly tls: 'off' | 'offered' | 'required';
  /** Paths of PEM files; empty for a certificate that is created at the start. */
  readonly tlsCert: string;
  readonly tlsKey: string;
  readonly upstreamTls: UpstreamTlsMode;
  /** Path of a PEM file; empty for the authorities of Node.js. */
  readonly upstreamCa: string;
  /** Paths of PEM files of the client certificate; empty for none. */
  readonly upstreamCert: string;
  readonly upstreamKey: string;
  /**
   * `auto`: requested from a server on this machine; `ask`: from any; or the path of a PEM file.
   */
  readonly upstreamPublicKey: string;
}

export type ServiceTlsSettings = Omit<TlsSettings, 'listen' | 'upstream' | 'tlsCert' | 'tlsKey'>;

/** Milliseconds for a TLS handshake. */
const HANDSHAKE_MS = 10_000;

/** The contents of the files, or created ones. */
interface Material {
  /** Null if clients are offered no TLS. */
  readonly forClients: SecureContext | null;
  /** The certificates, in PEM, by what they are for. */
  readonly certificates: Readonly<Record<string, string>>;
  /** The source of it, if no files were given. */
  readonly ownCertificate: certificates.CertificateAndKey | null;
  readonly forServers: SecureContext;
  readonly service: ServiceSecurity;
  /** The key of the certificate, if it is an RSA key; else a created one, if one is needed. */
  readonly passwordKey: ProxyKey | null;
}

/** TLS with the server, and the reason why logins there are refused; null if it is trusted. */
export interface UpstreamTls {
  readonly socket: TLSSocket;
  readonly distrust: UndropError | null;
}

export class ProxyTls {
  readonly #settings: TlsSettings;
  readonly #material: Material;
  readonly #sessions = new UpstreamSessions();

  /** Created by `openProxyTls`. */
  constructor(settings: TlsSettings, material: Material) {
    this.#settings = settings;
    this.#material = material;
  }

  /** The certificate for clients, if no files were given: for the other processes of this proxy. */
  get ownCertificate(): certificates.CertificateAndKey | null {
    return this.#material.ownCertificate;
  }

  /** The security of service connections. */
  get service(): ServiceSecurity {
    return this.#material.service;
  }

  /** The allowed protection of a session, by its two sockets. */
  securityFor(client: ConnectionSecurity, upstream: ServerAddress): LoginSecurity {
    const { forClients, passwordKey, service } = this.#material;
    return {
      sockets: {
        client: client === 'socket' ? 'socket' : 'plain',
        upstream: 'socketPath' in upstream ? 'socket' : 'plain',
      },
      offersTls: forClients !== null,
      requiresTls: this.#settings.tls === 'required',
      keys: {
        own: passwordKey,
        server: keyPolicyFor(service.serverKey, upstream),
      },
      showsCertificate: this.#settings.upstreamCert !== '',
      wantsTls: (about) => wantsTls(this.#settings.upstreamTls, { ...about, upstream }),
    };
  }

  /**
   * TLS with a client. `clientHello`: the bytes that were read already. Rejects if the client gives
   * up, or doesn't use TLS.
   */
  accept(socket: Socket, clientHello: Buffer): Promise<TLSSocket> {
    const { forClients } = this.#material;
    if (forClients === null) throw new UndropError('UNDROP_TLS_NOT_OFFERED');
    if (clientHello.length > 0) socket.unshift(clientHello);
    const secured = new TLSSocket(socket, { isServer: true, secureContext: forClients });
    secured.disableRenegotiation();
    return handshake(secured, 'secure');
  }

  /** The purposes of the certificates of this proxy, and the ends of their validity. */
  get validity(): readonly { readonly name: string; readonly validTo: string }[] {
    return Object.entries(this.#material.certificates).map(([name, pem]) => {
      return { name, validTo: new X509Certificate(pem).validTo };
    });
  }

  /**
   * TLS with the server; UNDROP_UPSTREAM_TLS if that fails. A certificate that isn't trusted is
   * reported in `distrust`: a handshake that breaks would count against the proxy's address
   * (session/dial/abandon-login.ts).
   */
  async connect(socket: Socket, upstream: ServerAddress): Promise<UpstreamTls> {
    const mode = this.#settings.upstreamTls;
    const name = nameOf(upstream);
    const resumed = this.#sessions.at(upstream);
    const secured = tls.connect({
      socket,
      ...(resumed === null ? {} : { session: resumed }),
      secureContext: this.#material.forServers,
      ...(net.isIP(name) === 0 ? { servername: name } : {}),
      rejectUnauthorized: false,
      checkServerIdentity: () => undefined,
    });
    secured.disableRenegotiation();
    // It may come within the handshake, or after it.
    const offered = resumed === null ? this.#sessions.awaitFrom(secured) : null;
    try {
      await handshake(secured, 'secureConnect');
    } catch (error) {
      if (resumed !== null) this.#sessions.useNone(upstream);
      throw upstreamTlsError(upstream, causeText(error));
    }
    const cause = distrustOf(secured, mode, name);
    if (cause === null) offered?.keepFor(upstream);
    if (resumed !== null) this.#sessions.note(upstream, { isReused: secured.isSessionReused() });
    return { socket: secured, distrust: cause === null ? null : upstreamTlsError(upstream, cause) };
  }
}

/** Why the server isn't trusted; null if it is, or needn't be. */
function distrustOf(secured: TLSSocket, mode: UpstreamTlsMode, name: string): string | null {
  if (mode !== 'verify-ca' && mode !== 'verify-identity') return null;
  // It has no certificate; that of its first handshake was checked (upstream-sessions.ts).
  if (secured.isSessionReused()) return null;
  if (!secured.authorized) return `its certificate is not trusted: ${secured.authorizationError}`;
  if (mode === 'verify-ca') return null;
  const problem = tls.checkServerIdentity(name, secured.getPeerCertificate());
  return problem === undefined ? null : causeText(problem);
}

/** Secrets that the processes of a service share, and that outlive them. */
export interface SharedTls {
  /** The certificate for clients, if no files were given. */
  readonly ownCertificate?: certificates.CertificateAndKey | null;
  /** The keys of session tickets, in base64: by them a client resumes its TLS with any process. */
  readonly ticketKeys?: string;
}

/** Reads the files of `settings`; UNDROP_CONFIG lists all problems. */
export async function openProxyTls(
  settings: TlsSettings,
  shared: SharedTls = {},
): Promise<ProxyTls> {
  return new ProxyTls(settings, await readMaterial(settings, shared));
}

/** The upstream connection of a session may be secure while the client's isn't. */
function needsKey({ upstream, upstreamTls }: TlsSettings): boolean {
  const isAlwaysLess = upstreamTls === 'disabled' || upstreamTls === 'as-client';
  return !isAlwaysLess || upstream.some((address) => 'socketPath' in address);
}

/** TLS of a command that has service connections alone. */
export function readServiceTls(settings: ServiceTlsSettings): ServiceSecurity {
  const problems: string[] = [];
  const { service } = readTowardsServers(settings, problems);
  if (problems.length > 0)
    throw new UndropError('UNDROP_CONFIG', { problems: problems.join('\n') });
  return service;
}

/** If clients have no TLS, `as-client` means none for the service either. */
function serviceTlsOf(
  { upstreamTls: mode, tls: ofClients }: ServiceTlsSettings,
  { ca, identity }: Pick<ServiceTls, 'ca' | 'identity'>,
): ServiceTls | null {
  if (mode === 'disabled' || (mode === 'as-client' && ofClients === 'off')) return null;
  return {
    isOptional: mode === 'as-client' || mode === 'preferred',
    verifies: mode === 'verify-ca' || mode === 'verify-identity',
    verifiesName: mode === 'verify-identity',
    ca,
    identity,
  };
}

function wantsTls(
  mode: UpstreamTlsMode,
  about: Parameters<LoginSecurity['wantsTls']>[0] & { readonly upstream: ServerAddress },
): boolean {
  switch (mode) {
    case 'disabled':
      return false;
    case 'as-client':
      return about.client === 'tls' && about.isOffered && !('socketPath' in about.upstream);
    case 'preferred':
      return about.isOffered && !('socketPath' in about.upstream);
    default:
      if (about.isOffered) return true;
      throw upstreamTlsError(about.upstream, 'it does not offer TLS');
  }
}

function upstreamTlsError(upstream: ServerAddress, cause: string): UndropError {
  const params = { upstream: describeAddress(upstream), cause };
  return new UndropError('UNDROP_UPSTREAM_TLS', params);
}

/** Resolves with the socket when it is secure; destroys it if the handshake fails. */
function handshake(socket: TLSSocket, event: 'secure' | 'secureConnect'): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const onFailure = (error?: Error) => {
      clearTimeout(timer);
      reject(error ?? new Error('the connection ended during the TLS handshake'));
      socket.destroy();
    };
    const onEnd = () => onFailure();
    const timer = setTimeout(() => {
      onFailure(new Error(`no TLS handshake within ${HANDSHAKE_MS} ms`));
    }, HANDSHAKE_MS);
    socket.once('error', onFailure);
    socket.once('end', onEnd);
    socket.once('close', onEnd);
    socket.once(event, () => {
      clearTimeout(timer);
      socket.off('end', onEnd);
      socket.off('close', onEnd);
      resolve(socket);
    });
  });
}

// ── files ──────────────────────────────────────────────────────────────────────────────────────

async function readMaterial(settings: TlsSettings, shared: SharedTls): Promise<Material> {
  const problems: string[] = [];
  const { listen, tlsCert, tlsKey } = settings;
  const hasFiles = tlsCert !== '' || tlsKey !== '';
  const isOff = settings.tls === 'off';
  const given = shared.ownCertificate ?? null;
  const ownCertificate =
    isOff || hasFiles ? null : (given ?? (await certificates.selfSigned(listen)));
  const { ticketKeys: encoded } = shared;
  const ticketKeys = encoded === undefined ? null : Buffer.from(encoded, 'base64');
  const files = { cert: tlsCert, key: tlsKey, prefix: 'UNDROP_TLS', ticketKeys };
  const ofFiles = () => (isOff ? null : certificates.readIdentity(files, problems));
  const identity =
    ownCertificate === null ? ofFiles() : certificates.loadIdentity(ownCertificate, ticketKeys);
  const towardsServers = readTowardsServers(settings, problems);
  if (problems.length > 0)
    throw new UndropError('UNDROP_CONFIG', { problems: problems.join('\n') });
  const shown = towardsServers.service.tls?.identity?.cert;
  let key = identity?.key ?? null;
  if (key?.asymmetricKeyType !== 'rsa') {
    key = needsKey(settings) ? createPrivateKey((await certificates.selfSigned(listen)).key) : null;
  }
  return {
    forClients: identity?.context ?? null,
    certificates: {
      ...(identity !== null && { clients: identity.pem.cert }),
      ...(shown !== undefined && { upstream: shown }),
    },
    ownCertificate,
    ...towardsServers,
    passwordKey: key && certificates.proxyKeyOf(key),
  };
}

function readTowardsServers(
  settings: ServiceTlsSettings,
  problems: string[],
): Pick<Material, 'forServers' | 'service'> {
  const { upstreamCert: cert, upstreamKey: key, upstreamTls } = settings;
  const ca = certificates.readCa(settings, problems);
  const serverKey = certificates.readServerKey(settings, problems);
  const hasFiles = cert !== '' || key !== '';
  const ofFiles = () =>
    certificates.readIdentity({ cert, key, prefix: 'UNDROP_UPSTREAM' }, problems);
  const identity = hasFiles ? (ofFiles()?.pem ?? null) : null;
  if (hasFiles && upstreamTls === 'disabled') {
    problems.push(
      'UNDROP_UPSTREAM_CERT: expected UNDROP_UPSTREAM_TLS other than disabled with it, found disabled.',
    );
  }
  return {
    forServers: tls.createSecureContext({ ...(ca === null ? {} : { ca }), ...identity }),
    service: { tls: serviceTlsOf(settings, { ca, identity }), serverKey },
  };
}

// ── TLS sessions of the server ───────────────────────────────────────────────────────────────────
// The TLS sessions of servers, by which later connections save both sides a handshake with
// certificates. A session keeps the result of the check of its certificate.
//
// Invariant: only sessions of trusted servers are kept.

/** MySQL keeps them for 300 s (ssl_session_cache_timeout). */
const SESSION_MS = 240_000;
/** After that a server is taken to keep none. */
const MISSES_MAX = 3;
/** Addresses of servers. */
const SESSIONS_MAX = 64;

class UpstreamSessions {
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
      offered = withoutCertificate(session);
      if (key !== null) this.#keep(key, offered);
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

/** The certificate in OpenSSL's SSL_SESSION (ssl/ssl_asn1.c). */
const PEER_TAG = 0xa3;

/**
 * A session of OpenSSL in DER, without the server's certificate: it was checked, and would be
 * decoded again for each connection, for a seventh of a login's CPU.
 */
function withoutCertificate(session: Buffer): Buffer {
  const [{ content } = { content: session }] = elementsOf(session);
  const parts = elementsOf(content).filter(({ tag }) => tag !== PEER_TAG);
  const left = Buffer.concat(parts.map(({ whole }) => whole));
  return Buffer.concat([Buffer.from([0x30, 0x82, left.length >> 8, left.length & 0xff]), left]);
}

/** The elements of a SEQUENCE in DER. */
function elementsOf(der: Buffer) {
  const elements: { readonly tag: number; readonly whole: Buffer; readonly content: Buffer }[] = [];
  for (let at = 0; at + 1 < der.length; ) {
    const [tag = 0, short = 0] = der.subarray(at);
    const bytes = short < 0x80 ? 0 : short & 0x7f;
    const from = at + 2 + bytes;
    const end = from + (bytes === 0 ? short : der.readUIntBE(at + 2, bytes));
    elements.push({ tag, whole: der.subarray(at, end), content: der.subarray(from, end) });
    at = end;
  }
  return elements;
}

function keyOf(upstream: ServerAddress): string {
  return `${describeAddress(upstream)} ${nameOf(upstream)}`;
}

/** The configured name, before it was resolved. */
function nameOf(upstream: ServerAddress): string {
  if ('socketPath' in upstream) return 'localhost';
  return upstream.name ?? upstream.host;
}
