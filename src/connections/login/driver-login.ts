/**
 * Opens one service connection with the driver: TLS or none by the server's offer, the present
 * password, and replacements for the plugins that would reveal the password. The driver's own
 * plugins trust any key.
 *
 * Invariant: the plain password goes to the server only by TLS that was required or verified, over
 * a unix socket, or encrypted with a key that UNDROP_UPSTREAM_PUBLIC_KEY allows. If a server
 * requests it otherwise, undrop sends an empty response, so that the server refuses the login: an
 * aborted login would count against the proxy's address.
 */
import { TLSSocket } from 'node:tls';
import type { AuthPlugin, Connection as CoreConnection } from 'mysql2';
import { authPlugins, createConnection } from 'mysql2';
import type { Connection, ConnectionOptions, SslOptions } from 'mysql2/promise';
import { UndropError } from '../../errors.js';
import * as caps from '../../wire/capabilities.js';
import { decodeHandshakeV10 } from '../../wire/connection/handshake-v10.js';
import { PacketAssembler } from '../../wire/framing.js';
import { driverStreamOf, goOnWithoutTls } from '../pool/lease.js';
import type { ServerAddress } from '../server-address.js';
import * as keys from './server-key.js';

/** TLS of service connections. */
export interface ServiceTls {
  /** If the server doesn't offer TLS, continue without. */
  readonly isOptional: boolean;
  /** Whether the certificate is checked, and the name in it. */
  readonly verifies: boolean;
  readonly verifiesName: boolean;
  /** Authorities in PEM; null for those of Node.js. */
  readonly ca: string | null;
  /** The client certificate, in PEM; null for none. */
  readonly identity: { readonly cert: string; readonly key: string } | null;
}

export interface ServiceLogin {
  readonly address: ServerAddress;
  readonly user: string;
  /** Null: none. `ssl` is the driver's form of it, the same object for the same TLS. */
  readonly tls: { readonly wanted: ServiceTls; readonly ssl: SslOptions } | null;
  readonly serverKey: keys.ServerKeySetting;
  readonly connectTimeoutMs: number;
  /** Called for each connection. */
  password(): string;
  /** Whether the server offers optional TLS; if it doesn't, the connection goes without. */
  onOffer(offersTls: boolean): void;
}

/** The longest greeting; the driver refuses longer ones. */
const GREETING_BYTES_MAX = 64 * 1024;
const KEEP_ALIVE_MS = 30_000;

/** Resolves after the login. `options`: further options for the driver. */
export async function logIn(options: ConnectionOptions, login: ServiceLogin): Promise<Connection> {
  const { address, tls } = login;
  const password = login.password();
  const gate = new PasswordGate(password, login);
  const core = createConnection({
    ...options,
    ...('socketPath' in address
      ? { socketPath: address.socketPath }
      : { host: hostOf(address, tls?.wanted ?? null), port: address.port }),
    user: login.user,
    password,
    connectTimeout: login.connectTimeoutMs,
    keepAliveInitialDelay: KEEP_ALIVE_MS,
    // A stack for each statement, which no error of undrop shows.
    trace: false,
    ...(tls === null ? {} : { ssl: tls.ssl }),
    authPlugins: gate.plugins,
  });
  gate.connection = core;
  if (tls?.wanted.isOptional === true) {
    onGreeting(core, (offersTls) => {
      if (!offersTls) goOnWithoutTls(core);
      login.onOffer(offersTls);
    });
  }
  try {
    await new Promise<void>((resolve, reject) => {
      core.once('connect', () => resolve());
      core.once('error', reject);
    });
    if (gate.refusal !== null) throw gate.refusal;
    return core.promise();
  } catch (error) {
    core.on('error', () => undefined);
    core.destroy();
    throw gate.refusal ?? error;
  }
}

/** Optional TLS isn't used on a unix socket (as with ssl-mode=PREFERRED). */
export function loginTls(tls: ServiceTls | null, address: ServerAddress): ServiceLogin['tls'] {
  if (tls === null || (tls.isOptional && 'socketPath' in address)) return null;
  const { verifies, verifiesName, ca, identity } = tls;
  const ssl = {
    rejectUnauthorized: verifies,
    verifyIdentity: verifiesName,
    ...(ca === null ? {} : { ca }),
    ...identity,
  };
  return { wanted: tls, ssl };
}

/** The driver compares the certificate with the name that it dials. */
function hostOf(address: Exclude<ServerAddress, { socketPath: string }>, tls: ServiceTls | null) {
  return tls?.verifiesName === true ? (address.name ?? address.host) : address.host;
}

/** Called before the driver reads the greeting; not called without one. */
function onGreeting(core: CoreConnection, tell: (offersTls: boolean) => void): void {
  const stream = driverStreamOf(core);
  const packets = new PacketAssembler(GREETING_BYTES_MAX);
  const onData = (chunk: Buffer) => {
    try {
      packets.push(chunk);
      const packet = packets.next();
      if (packet === null) return;
      tell(caps.hasFlag(decodeHandshakeV10(packet.payload).capabilities, caps.CLIENT_SSL));
    } catch {
      // Not a greeting: the driver reports the error.
    }
    stream.off('data', onData);
  };
  stream.prependListener('data', onData);
}

/** caching_sha2_password: the server requests the password, and undrop requests its key. */
const PERFORM_FULL_AUTHENTICATION = Buffer.of(0x04);
const KEY_REQUEST = Buffer.of(0x02);
const NONCE_BYTES = 20;

/** The plugins of one login, and the reason if the password was not sent. */
class PasswordGate {
  readonly #password: string;
  readonly #login: ServiceLogin;
  readonly #policy: keys.ServerKeyPolicy;
  connection: CoreConnection | null = null;
  refusal: UndropError | null = null;

  constructor(password: string, login: ServiceLogin) {
    this.#password = password;
    this.#login = login;
    this.#policy = keys.keyPolicyFor(login.serverKey, login.address);
  }

  get plugins(): Record<string, AuthPlugin> {
    return {
      caching_sha2_password: (context) => this.#cachingSha2(context),
      // For an unknown user MySQL picks any plugin, so that clients can't find out which users
      // exist.
      sha256_password: () => () => this.#refuse('it requested the password by sha256_password'),
      mysql_clear_password: () => () => this.#refuse('it requested the password in clear'),
    };
  }

  /** The driver's plugin until the server requests the password itself. */
  #cachingSha2(context: Parameters<AuthPlugin>[0]): ReturnType<AuthPlugin> {
    const scramble = authPlugins.caching_sha2_password({})(context);
    let nonce: Buffer | null = null;
    let isKeyNext = false;
    return (data) => {
      if (nonce === null) {
        nonce = Buffer.from(data.subarray(0, NONCE_BYTES));
      } else if (isKeyNext) {
        return this.#encrypted({ sent: data, nonce, policy: this.#policy });
      } else if (data.equals(PERFORM_FULL_AUTHENTICATION)) {
        const answer = this.#inFull();
        isKeyNext = answer === KEY_REQUEST;
        return answer;
      }
      return scramble(data);
    };
  }

  /**
   * The password if it may be sent plainly, nothing if it may not be sent, else the request for the
   * key.
   */
  #inFull(): Buffer {
    if (this.#password === '') return Buffer.of(0);
    const { address, tls } = this.#login;
    if (this.connection !== null && driverStreamOf(this.connection) instanceof TLSSocket) {
      const isAskedFor = tls !== null && (tls.wanted.verifies || !tls.wanted.isOptional);
      if (isAskedFor || this.#policy === 'ask') return this.#inClear();
      return this.#refuse('UNDROP_UPSTREAM_TLS neither requires TLS nor checks the certificate');
    }
    if ('socketPath' in address) return this.#inClear();
    return this.#policy === 'refuse' ? this.#refuse(keys.KEY_AS_IT_COMES) : KEY_REQUEST;
  }

  #encrypted(key: keys.SentKey): Buffer {
    try {
      return keys.encryptPassword(this.#inClear(), key);
    } catch (error) {
      if (!(error instanceof UndropError)) throw error;
      this.refusal ??= error;
      return Buffer.alloc(0);
    }
  }

  #inClear(): Buffer {
    return Buffer.from(`${this.#password}\0`);
  }

  #refuse(problem: string): Buffer {
    this.refusal ??= new UndropError('UNDROP_SERVER_KEY', { problem });
    return Buffer.alloc(0);
  }
}
