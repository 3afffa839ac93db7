/**
 * How the driver opens one service connection: TLS or none by what the server offers this time, the
 * password as it is now, and the plugins that would give the password itself away. The driver's own
 * believe whatever key comes.
 *
 * Invariant: the password itself goes to the server in TLS that was asked for or checked, over a
 * unix socket, or by a key that UNDROP_UPSTREAM_PUBLIC_KEY allows. If a server asks for it
 * otherwise, it is answered with nothing, so that it refuses by itself: a login that breaks off
 * would count against our address.
 */
import { TLSSocket } from 'node:tls';
import {
  type AuthPlugin,
  authPlugins,
  type Connection as CoreConnection,
  createConnection,
} from 'mysql2';
import type { Connection, ConnectionOptions, SslOptions } from 'mysql2/promise';
import { UndropError } from '../../errors.js';
import { CLIENT_SSL, hasFlag } from '../../wire/capabilities.js';
import { decodeHandshakeV10 } from '../../wire/connection/handshake-v10.js';
import { PacketAssembler } from '../../wire/framing.js';
import { driverStreamOf, goOnWithoutTls } from '../pool/lease.js';
import type { ServerAddress } from '../pool/pools.js';
import {
  encryptPassword,
  KEY_AS_IT_COMES,
  keyPolicyFor,
  type SentKey,
  type ServerKeyPolicy,
  type ServerKeySetting,
} from './server-key.js';

/** TLS of service connections. */
export interface ServiceTls {
  /** If the server offers none, go on without. */
  readonly isOptional: boolean;
  /** Whether its certificate is checked, and the name in it. */
  readonly verifies: boolean;
  readonly verifiesName: boolean;
  /** Authorities in PEM; null for those that Node knows. */
  readonly ca: string | null;
  /** What the server may know us by, in PEM; null for nothing. */
  readonly identity: { readonly cert: string; readonly key: string } | null;
}

export interface ServiceLogin {
  readonly address: ServerAddress;
  readonly user: string;
  /** Null: none. `ssl` is the driver's form of it, the same object for the same TLS. */
  readonly tls: { readonly wanted: ServiceTls; readonly ssl: SslOptions } | null;
  readonly serverKey: ServerKeySetting;
  readonly connectTimeoutMs: number;
  /** Asked for each connection. */
  password(): string;
  /** Whether the server offers TLS that isn't insisted on; if it doesn't, there is none. */
  onOffer(offersTls: boolean): void;
}

/** Bytes of a greeting; what is longer is for the driver to refuse. */
const GREETING_BYTES_MAX = 64 * 1024;
const KEEP_ALIVE_MS = 30_000;

/** Resolves when the server has let us in. `options`: what else the driver is to do. */
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

/** None on a unix socket if it is optional: nobody listens there (as with ssl-mode=PREFERRED). */
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

/** The driver looks for the name that it dials in the certificate. */
function hostOf(address: Exclude<ServerAddress, { socketPath: string }>, tls: ServiceTls | null) {
  return tls?.verifiesName === true ? (address.name ?? address.host) : address.host;
}

/** Told before the driver reads the greeting, and not if there is none. */
function onGreeting(core: CoreConnection, tell: (offersTls: boolean) => void): void {
  const stream = driverStreamOf(core);
  const packets = new PacketAssembler(GREETING_BYTES_MAX);
  const onData = (chunk: Buffer) => {
    try {
      packets.push(chunk);
      const packet = packets.next();
      if (packet === null) return;
      tell(hasFlag(decodeHandshakeV10(packet.payload).capabilities, CLIENT_SSL));
    } catch {
      // No greeting: the driver says what it is.
    }
    stream.off('data', onData);
  };
  stream.prependListener('data', onData);
}

/** caching_sha2_password: the server asks for the password itself; it is asked for its key. */
const PERFORM_FULL_AUTHENTICATION = Buffer.of(0x04);
const KEY_REQUEST = Buffer.of(0x02);
const NONCE_BYTES = 20;

/** The plugins of one login, and why the password was not sent. */
class PasswordGate {
  readonly #password: string;
  readonly #login: ServiceLogin;
  readonly #policy: ServerKeyPolicy;
  connection: CoreConnection | null = null;
  refusal: UndropError | null = null;

  constructor(password: string, login: ServiceLogin) {
    this.#password = password;
    this.#login = login;
    this.#policy = keyPolicyFor(login.serverKey, login.address);
  }

  get plugins(): Record<string, AuthPlugin> {
    return {
      caching_sha2_password: (context) => this.#cachingSha2(context),
      // MySQL asks an unknown user by any plugin, so that nobody learns which users it has.
      sha256_password: () => () => this.#refuse('it asked for it by sha256_password'),
      mysql_clear_password: () => () => this.#refuse('it asked for the password in clear'),
    };
  }

  /** The driver's plugin until the password itself is asked for. */
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

  /** The password if it may go as it is, nothing if it may not go, else what asks for the key. */
  #inFull(): Buffer {
    if (this.#password === '') return Buffer.of(0);
    const { address, tls } = this.#login;
    if (this.connection !== null && driverStreamOf(this.connection) instanceof TLSSocket) {
      const isAskedFor = tls !== null && (tls.wanted.verifies || !tls.wanted.isOptional);
      if (isAskedFor || this.#policy === 'ask') return this.#inClear();
      return this.#refuse(
        'UNDROP_UPSTREAM_TLS neither asks for TLS nor has its certificate checked',
      );
    }
    if ('socketPath' in address) return this.#inClear();
    return this.#policy === 'refuse' ? this.#refuse(KEY_AS_IT_COMES) : KEY_REQUEST;
  }

  #encrypted(key: SentKey): Buffer {
    try {
      return encryptPassword(this.#inClear(), key);
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
