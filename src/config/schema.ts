/**
 * Every setting, once: its variable, unit, range, default and meaning. The command line, the
 * checks and the page docs/settings.md are made of this table.
 */
import { parseDuration } from '../duration.js';
import { parseRules, RULES_EXPECTED, type Rule } from '../policy/rules.js';
import { type Address, type Network, parseAddress, parseNetwork } from './address.js';

export interface Setting<T> {
  /** Environment variable; the flag is the same in kebab case without the prefix. */
  readonly variable: string;
  /** As a person would write it; null where it must be given (by commands that need it). */
  readonly default: string | null;
  /** What values look like, for messages and docs. */
  readonly expected: string;
  readonly meaning: string;
  /** The value, or null where `text` is none. */
  parse(text: string): T | null;
  /** What is wrong with `text`, one by one; default: that it isn't what is expected. */
  problems?(text: string): readonly string[];
  /** What stands between the items of a list in the file; default a comma. */
  readonly separator?: string;
}

const STATES = ['hold', 'purge', 'evac', 'drop'] as const;
export type LifecycleState = (typeof STATES)[number];
const MODES = ['hold', 'observe', 'off', 'replay'] as const;
/** What `protect` has without being told. */
export const PROTECTED = ['drop-table', 'drop-database', 'create-or-replace'] as const;
const PROTECTIONS = [...PROTECTED, 'truncate', 'drop-partition'] as const;
const CLIENT_TLS = ['off', 'offered', 'required'] as const;
const UPSTREAM_TLS = [
  'disabled',
  'as-client',
  'preferred',
  'required',
  'verify-ca',
  'verify-identity',
] as const;
const ACCOUNT_TIERS = ['full', 'managed', 'least'] as const;
const LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;

function oneOf<T extends string>(values: readonly T[]): (text: string) => T | null {
  return (text) => values.find((value) => value === text.toLowerCase()) ?? null;
}

function listOf<T>(parse: (text: string) => T | null): (text: string) => readonly T[] | null {
  return (text) => {
    const items = text.split(',').map((item) => parse(item.trim()));
    return items.every((item): item is Exclude<typeof item, null> => item !== null) ? items : null;
  };
}

function integer(min: number, max: number): (text: string) => number | null {
  return (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    return value >= min && value <= max ? value : null;
  };
}

function duration(minMs: number, maxMs = 3_650 * 86_400_000): (text: string) => number | null {
  return (text) => {
    const ms = parseDuration(text);
    return ms !== null && ms >= minMs && ms <= maxMs ? ms : null;
  };
}

function setting<T>(entry: Setting<T>): Setting<T> {
  return entry;
}

const DURATION = 'a duration like 500ms, 20s, 1h30m or 7d';
const LONG_DURATION = `${DURATION}, up to 3650d`;

export const SETTINGS = {
  listen: setting<readonly Address[]>({
    variable: 'UNDROP_LISTEN',
    default: '127.0.0.1:3307',
    expected:
      'host:port (3307 where none is said) or the path of a unix socket; several with commas',
    meaning: 'where clients connect',
    parse: listOf((text) => parseAddress(text, { host: '127.0.0.1', port: 3307 })),
  }),
  listenMode: setting<number>({
    variable: 'UNDROP_LISTEN_MODE',
    default: '0660',
    expected: 'three or four octal digits',
    meaning: 'who may connect to the unix sockets of UNDROP_LISTEN: the mode of their files',
    parse: (text) => (/^0?[0-7]{3}$/.test(text) ? Number.parseInt(text, 8) : null),
  }),
  upstream: setting<readonly Address[]>({
    variable: 'UNDROP_UPSTREAM',
    default: null,
    expected:
      'host:port (3306 where none is said) or the path of a unix socket; several with commas, tried in order',
    meaning:
      'the MySQL or MariaDB server; over a unix socket accounts by unix_socket or auth_socket are refused (UNDROP_LEND_OS_USER)',
    parse: listOf((text) => parseAddress(text, { host: '127.0.0.1', port: 3306 })),
  }),
  user: setting<string>({
    variable: 'UNDROP_USER',
    default: null,
    expected: 'a user name',
    meaning: 'the service account: its own connections record, relocate, collect and restore',
    parse: (text) => (text === '' ? null : text),
  }),
  password: setting<string>({
    variable: 'UNDROP_PASSWORD',
    default: '',
    expected: 'a password',
    meaning: 'its password',
    parse: (text) => text,
  }),
  passwordFile: setting<string>({
    variable: 'UNDROP_PASSWORD_FILE',
    default: '',
    expected: 'the path of a file',
    meaning:
      'a file with its password (a newline at the end is cut), read anew for each connection; wins over UNDROP_PASSWORD',
    parse: (text) => text,
  }),
  tier: setting<(typeof ACCOUNT_TIERS)[number]>({
    variable: 'UNDROP_TIER',
    default: 'managed',
    expected: ACCOUNT_TIERS.join(', '),
    meaning:
      'which rights `undrop init` gives the service account: full everything, managed without what a managed server keeps for itself, least on UNDROP_SCHEMAS alone',
    parse: oneOf(ACCOUNT_TIERS),
  }),
  schemas: setting<readonly string[]>({
    variable: 'UNDROP_SCHEMAS',
    default: '',
    expected: 'a list of names of schemas',
    meaning: 'of the tier least: the schemas whose tables are held; drops in others are refused',
    parse: (text) => (text.trim() === '' ? [] : listOf((item) => item || null)(text)),
  }),
  accountHost: setting<string>({
    variable: 'UNDROP_ACCOUNT_HOST',
    default: '',
    expected: 'the host of an account, as the server writes it',
    meaning:
      'from where the service account may log in, when `undrop init` makes it; by default from where that runs, as the server sees it',
    parse: (text) => text,
  }),
  adminUser: setting<string>({
    variable: 'UNDROP_ADMIN_USER',
    default: 'root',
    expected: 'a user name',
    meaning: 'who makes the service account for `undrop init --apply`',
    parse: (text) => (text === '' ? null : text),
  }),
  adminPassword: setting<string>({
    variable: 'UNDROP_ADMIN_PASSWORD',
    default: '',
    expected: 'a password',
    meaning: 'the password of that account',
    parse: (text) => text,
  }),
  adminPasswordFile: setting<string>({
    variable: 'UNDROP_ADMIN_PASSWORD_FILE',
    default: '',
    expected: 'the path of a file',
    meaning: 'a file with it (a newline at the end is cut); wins over UNDROP_ADMIN_PASSWORD',
    parse: (text) => text,
  }),
  tls: setting<(typeof CLIENT_TLS)[number]>({
    variable: 'UNDROP_TLS',
    default: 'offered',
    expected: CLIENT_TLS.join(', '),
    meaning:
      'TLS with clients: off, offered to those that ask for it, required of all that do not come by a unix socket',
    parse: oneOf(CLIENT_TLS),
  }),
  tlsCert: setting<string>({
    variable: 'UNDROP_TLS_CERT',
    default: '',
    expected: 'the path of a PEM file, the certificate first, then its chain',
    meaning:
      'the certificate that clients see; without it a self-signed one is made at each start and kept in memory',
    parse: (text) => text,
  }),
  tlsKey: setting<string>({
    variable: 'UNDROP_TLS_KEY',
    default: '',
    expected: 'the path of a PEM file without a passphrase',
    meaning: 'the private key of that certificate',
    parse: (text) => text,
  }),
  upstreamTls: setting<(typeof UPSTREAM_TLS)[number]>({
    variable: 'UNDROP_UPSTREAM_TLS',
    default: 'as-client',
    expected: UPSTREAM_TLS.join(', '),
    meaning:
      'TLS with the server, by the words of ssl-mode: as-client where the client has it and the server offers it, preferred where the server offers it, required always, verify-ca with a certificate of UNDROP_UPSTREAM_CA, verify-identity with the name in UNDROP_UPSTREAM in it; over a unix socket from required on',
    parse: (text) => oneOf(UPSTREAM_TLS)(text.replaceAll('_', '-')),
  }),
  upstreamCa: setting<string>({
    variable: 'UNDROP_UPSTREAM_CA',
    default: '',
    expected: 'the path of a PEM file',
    meaning:
      'the authorities for verify-ca and verify-identity; without it those that Node.js knows',
    parse: (text) => text,
  }),
  upstreamCert: setting<string>({
    variable: 'UNDROP_UPSTREAM_CERT',
    default: '',
    expected: 'the path of a PEM file, the certificate first, then its chain',
    meaning:
      'what the server may know undrop by in TLS: of the sessions of all clients and of the service account (REQUIRE X509)',
    parse: (text) => text,
  }),
  upstreamKey: setting<string>({
    variable: 'UNDROP_UPSTREAM_KEY',
    default: '',
    expected: 'the path of a PEM file without a passphrase',
    meaning: 'the private key of that certificate',
    parse: (text) => text,
  }),
  upstreamPublicKey: setting<string>({
    variable: 'UNDROP_UPSTREAM_PUBLIC_KEY',
    default: 'auto',
    expected: 'auto, ask, or the path of a PEM file',
    meaning:
      "the server's RSA key, with which a password goes on without TLS (caching_sha2_password, sha256_password), that of a client in TLS and that of the service account: auto asks for it on this machine only, ask believes any that comes, and any TLS for the service account",
    parse: (text) => (text === '' ? null : text),
  }),
  lendOsUser: setting<'off' | 'on'>({
    variable: 'UNDROP_LEND_OS_USER',
    default: 'off',
    expected: 'off, on',
    meaning:
      'over a unix socket: on lets every client in, without a password, as the accounts that the server opens to the OS user of undrop by unix_socket or auth_socket; off refuses those logins, and the start where such an account is seen',
    parse: oneOf(['off', 'on'] as const),
  }),
  lendTls: setting<'off' | 'on'>({
    variable: 'UNDROP_LEND_TLS',
    default: 'off',
    expected: 'off, on',
    meaning:
      'where the server is reached in TLS or over a unix socket: on lets clients without TLS into accounts with REQUIRE SSL and past require_secure_transport, and any client by UNDROP_UPSTREAM_CERT into accounts that require a certificate; off refuses those logins, as the server would',
    parse: oneOf(['off', 'on'] as const),
  }),
  mode: setting<(typeof MODES)[number]>({
    variable: 'UNDROP_MODE',
    default: 'hold',
    expected: MODES.join(', '),
    meaning:
      "hold: what is dropped is held; observe: the log says what would be, and the server drops it; off: everything is passed on; replay: so are writes to undrop's own schemas, and undrop itself writes nothing, for mysqlbinlog | mysql into a server of its own; not to be changed from or to replay while it runs",
    parse: oneOf(MODES),
  }),
  rules: setting<readonly Rule[]>({
    variable: 'UNDROP_RULES',
    default: '',
    expected: RULES_EXPECTED,
    meaning:
      'how long which tables are held, or that they are dropped by the server, or not at all: the first rule that fits (docs/policy.md)',
    parse: (text) => {
      const { rules, problems } = parseRules(text);
      return problems.length === 0 ? rules : null;
    },
    problems: (text) => parseRules(text).problems,
    separator: ';',
  }),
  allowDestroy: setting<'off' | 'users'>({
    variable: 'UNDROP_ALLOW_DESTROY',
    default: 'off',
    expected: 'off or users',
    meaning:
      'who may have a table gone at once, by the hint destroy, now, or a hold below UNDROP_MIN_HOLD: nobody, or users who may drop it',
    parse: oneOf(['off', 'users']),
  }),
  protect: setting<readonly (typeof PROTECTIONS)[number][]>({
    variable: 'UNDROP_PROTECT',
    default: PROTECTED.join(','),
    expected: `a list of ${PROTECTIONS.join(', ')}; or none`,
    meaning:
      'which statements never destroy a table or its partitions; what is left out goes to the server as it is',
    parse: (text) => (text.toLowerCase() === 'none' ? [] : listOf(oneOf(PROTECTIONS))(text)),
  }),
  lifecycle: setting<readonly LifecycleState[]>({
    variable: 'UNDROP_LIFECYCLE',
    default: STATES.join(','),
    expected: `a subset of ${STATES.join(', ')}`,
    meaning: 'the states that a dropped table goes through; drop is implied',
    parse: listOf(oneOf(STATES)),
  }),
  hold: setting<number>({
    variable: 'UNDROP_HOLD',
    default: '7d',
    expected: LONG_DURATION,
    meaning: 'how long a table can be brought back whole',
    parse: duration(0),
  }),
  minHold: setting<number>({
    variable: 'UNDROP_MIN_HOLD',
    default: '1h',
    expected: LONG_DURATION,
    meaning:
      'the shortest hold that a hint may ask for; a shorter UNDROP_HOLD is its own minimum, and UNDROP_ALLOW_DESTROY=users lifts it',
    parse: duration(0),
  }),
  evac: setting<number>({
    variable: 'UNDROP_EVAC',
    default: '72h',
    expected: LONG_DURATION,
    meaning: 'how long an emptied table waits for its pages to leave the buffer pool, at most',
    parse: duration(0),
  }),
  checkInterval: setting<number>({
    variable: 'UNDROP_CHECK_INTERVAL',
    default: '1h',
    expected: `${DURATION}, from 1s to 24d`,
    meaning: 'how often the collector looks at the held tables (a drop wakes it too)',
    parse: duration(1_000, 24 * 86_400_000),
  }),
  purgeCheckInterval: setting<number>({
    variable: 'UNDROP_PURGE_CHECK_INTERVAL',
    default: '1m',
    expected: `${DURATION}, from 1s to 24d`,
    meaning: 'how often it looks for rows to purge',
    parse: duration(1_000, 24 * 86_400_000),
  }),
  purgeChunkRows: setting<number>({
    variable: 'UNDROP_PURGE_CHUNK_ROWS',
    default: '50',
    expected: 'a number of rows from 1 to 100000',
    meaning: 'rows that are deleted at a time',
    parse: integer(1, 100_000),
  }),
  purgeBinlog: setting<boolean>({
    variable: 'UNDROP_PURGE_BINLOG',
    default: 'off',
    expected: 'on or off',
    meaning: 'whether the deleting of rows is written to the binary log',
    parse: (text) => {
      const value = oneOf(['on', 'off', 'true', 'false', '1', '0'])(text);
      return value === null ? null : ['on', 'true', '1'].includes(value);
    },
  }),
  fastDrop: setting<'auto' | 'always' | 'never'>({
    variable: 'UNDROP_FAST_DROP',
    default: 'auto',
    expected: 'auto, always or never',
    meaning: 'whether purge and evac are skipped: auto decides by the version of the server',
    parse: oneOf(['auto', 'always', 'never']),
  }),
  collect: setting<'auto' | 'on' | 'off'>({
    variable: 'UNDROP_COLLECT',
    default: 'auto',
    expected: 'auto, on or off',
    meaning:
      'whether this proxy collects: on a writable server, one proxy by lock; with auto not where that replicates from another (dual primaries, Galera: on for one of them)',
    parse: oneOf(['auto', 'on', 'off']),
  }),
  grace: setting<number>({
    variable: 'UNDROP_GRACE',
    default: '1h',
    expected: LONG_DURATION,
    meaning: 'how long the collector waits on a server that it does not know (a restored backup)',
    parse: duration(0),
  }),
  ledgerKeep: setting<number>({
    variable: 'UNDROP_LEDGER_KEEP',
    default: '90d',
    expected: LONG_DURATION,
    meaning: 'how long the ledger remembers a table that was restored or removed',
    parse: duration(0),
  }),
  maxConnections: setting<number>({
    variable: 'UNDROP_MAX_CONNECTIONS',
    default: '10000',
    expected: 'a number from 1 to 1000000',
    meaning: 'how many clients may be connected at a time; each takes two open files',
    parse: integer(1, 1_000_000),
  }),
  workers: setting<number | 'auto'>({
    variable: 'UNDROP_WORKERS',
    default: 'auto',
    expected: 'a number from 1 to 256, or auto',
    meaning: 'how many processes serve clients; auto: half as many as there are cores, from 1 to 4',
    parse: (text) => (text.toLowerCase() === 'auto' ? 'auto' : integer(1, 256)(text)),
  }),
  relay: setting<'auto' | 'stream'>({
    variable: 'UNDROP_RELAY',
    default: 'auto',
    expected: 'auto or stream',
    meaning:
      'how sockets are used: auto takes their raw handles where a trial at the start shows that they work',
    parse: oneOf(['auto', 'stream']),
  }),
  connectTimeout: setting<number>({
    variable: 'UNDROP_CONNECT_TIMEOUT',
    default: '10s',
    expected: `${DURATION}, from 1ms to 1h`,
    meaning: 'how long connecting to one upstream may take, all addresses of its name together',
    parse: duration(1, 3_600_000),
  }),
  greetingTimeout: setting<number>({
    variable: 'UNDROP_GREETING_TIMEOUT',
    default: '10s',
    expected: `${DURATION}, from 1ms to 1h`,
    meaning: 'how long the server may take for its greeting, before the next upstream is tried',
    parse: duration(1, 3_600_000),
  }),
  loginTimeout: setting<number>({
    variable: 'UNDROP_LOGIN_TIMEOUT',
    default: '9s',
    expected: `${DURATION}, from 1ms to 1h`,
    meaning:
      'how long a client may take for each answer of its login; shorter than connect_timeout of ' +
      'the server, which would count a silent client against the address of undrop',
    parse: duration(1, 3_600_000),
  }),
  proxyProtocol: setting<readonly Network[]>({
    variable: 'UNDROP_PROXY_PROTOCOL',
    default: '',
    expected: 'a list of networks like 10.0.0.0/8 or fd00::/8, or unix',
    meaning:
      'load balancers whose connections begin with a header of the PROXY protocol (version 1 or ' +
      '2), which says where the client is',
    parse: (text) => (text.trim() === '' ? [] : listOf(parseNetwork)(text)),
  }),
  upstreamProxyProtocol: setting<'off' | 'v2'>({
    variable: 'UNDROP_UPSTREAM_PROXY_PROTOCOL',
    default: 'off',
    expected: 'off or v2',
    meaning:
      'whether the server is told where the client is; it must expect that (MariaDB: ' +
      'proxy-protocol-networks), and the accounts are then those of the clients’ hosts',
    parse: oneOf(['off', 'v2']),
  }),
  drainWait: setting<number>({
    variable: 'UNDROP_DRAIN_WAIT',
    default: '0s',
    expected: `${DURATION}, up to 1h`,
    meaning: 'how long clients are still let in after SIGTERM, while load balancers hear of it',
    parse: duration(0, 3_600_000),
  }),
  drainTimeout: setting<number>({
    variable: 'UNDROP_DRAIN_TIMEOUT',
    default: '15s',
    expected: `${DURATION}, up to 1h`,
    meaning: 'how long busy sessions and open transactions may then take, before they are cut off',
    parse: duration(0, 3_600_000),
  }),
  logLevel: setting<(typeof LEVELS)[number]>({
    variable: 'UNDROP_LOG_LEVEL',
    default: 'info',
    expected: LEVELS.join(', '),
    meaning: 'what is logged: JSON lines, readable ones on a terminal',
    parse: oneOf(LEVELS),
  }),
} as const;

export type SettingKey = keyof typeof SETTINGS;

type ValueOf<S> = S extends Setting<infer T> ? T : never;
export type Settings = { readonly [K in SettingKey]: ValueOf<(typeof SETTINGS)[K]> };

/** `checkInterval` → `check-interval` */
export function flagOf(key: string): string {
  return key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
