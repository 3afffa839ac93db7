/**
 * Every setting, once: its unit, range, default and meaning. The command line, the checks and the
 * page docs/settings.md are made of this table; `hold` is UNDROP_HOLD in the environment.
 */
import { parseWindow, WINDOW_EXPECTED, type Window } from '../duration.js';
import { parseRules, RULES_EXPECTED, type Rule } from '../policy/rules.js';
import { type Network, parseNetwork } from './address.js';
import {
  addresses,
  anyText,
  bytes,
  choice,
  duration,
  integer,
  listOf,
  noneOr,
  oneOf,
  type Setting,
  select,
  setting,
  someText,
} from './setting-kinds.js';

const STATES = ['hold', 'purge', 'evac', 'drop'] as const;
export type LifecycleState = (typeof STATES)[number];
/** What `protect` has without being told. */
export const PROTECTED = ['drop-table', 'drop-database', 'create-or-replace'] as const;
const PROTECTIONS = [...PROTECTED, 'truncate', 'drop-partition'] as const;

export const SETTINGS = {
  listen: addresses(3307, { default: '127.0.0.1:3307', meaning: 'where clients connect' }),
  listenMode: setting<number>({
    default: '0660',
    expected: 'three or four octal digits',
    meaning: 'who may connect to the unix sockets of UNDROP_LISTEN: the mode of their files',
    parse: (text) => (/^0?[0-7]{3}$/.test(text) ? Number.parseInt(text, 8) : null),
  }),
  upstream: addresses(3306, {
    default: null,
    more: ', tried in order',
    meaning:
      'the MySQL or MariaDB server; over a unix socket accounts by unix_socket or auth_socket are refused (UNDROP_LEND_OS_USER)',
  }),
  user: someText({
    default: null,
    expected: 'a user name',
    meaning: 'the service account: its own connections record, relocate, collect and restore',
  }),
  password: anyText({ expected: 'a password', meaning: 'its password' }),
  passwordFile: anyText({
    expected: 'the path of a file',
    meaning:
      'a file with its password (a newline at the end is cut), read anew for each connection; wins over UNDROP_PASSWORD',
  }),
  tier: choice(['full', 'managed', 'least'], {
    default: 'managed',
    meaning:
      'which rights `undrop init` gives the service account: full everything, managed without what a managed server keeps for itself, least on UNDROP_SCHEMAS alone',
  }),
  schemas: setting<readonly string[]>({
    default: '',
    expected: 'a list of names of schemas',
    meaning: 'of the tier least: the schemas whose tables are held; drops in others are refused',
    parse: (text) => (text.trim() === '' ? [] : listOf((item) => item || null)(text)),
  }),
  accountHost: anyText({
    expected: 'the host of an account, as the server writes it',
    meaning:
      'from where the service account may log in, when `undrop init` makes it; by default from where that runs, as the server sees it',
  }),
  adminUser: someText({
    default: 'root',
    expected: 'a user name',
    meaning: 'who makes the service account for `undrop init --apply`',
  }),
  adminPassword: anyText({
    expected: 'a password',
    meaning: 'the password of that account',
  }),
  adminPasswordFile: anyText({
    expected: 'the path of a file',
    meaning: 'a file with it (a newline at the end is cut); wins over UNDROP_ADMIN_PASSWORD',
  }),
  tls: choice(['off', 'offered', 'required'], {
    default: 'offered',
    meaning:
      'TLS with clients: off, offered to those that ask for it, required of all that do not come by a unix socket',
  }),
  tlsCert: anyText({
    expected: 'the path of a PEM file, the certificate first, then its chain',
    meaning:
      'the certificate that clients see; without it a self-signed one is made at each start and kept in memory',
  }),
  tlsKey: anyText({
    expected: 'the path of a PEM file without a passphrase',
    meaning: 'the private key of that certificate',
  }),
  upstreamTls: choice(
    ['disabled', 'as-client', 'preferred', 'required', 'verify-ca', 'verify-identity'],
    {
      default: 'as-client',
      meaning:
        'TLS with the server, by the words of ssl-mode: as-client where the client has it and the server offers it, preferred where the server offers it, required always, verify-ca with a certificate of UNDROP_UPSTREAM_CA, verify-identity with the name in UNDROP_UPSTREAM in it; over a unix socket from required on',
    },
  ),
  upstreamCa: anyText({
    expected: 'the path of a PEM file',
    meaning:
      'the authorities for verify-ca and verify-identity; without it those that Node.js knows',
  }),
  upstreamCert: anyText({
    expected: 'the path of a PEM file, the certificate first, then its chain',
    meaning:
      'what the server may know undrop by in TLS: of the sessions of all clients and of the service account (REQUIRE X509)',
  }),
  upstreamKey: anyText({
    expected: 'the path of a PEM file without a passphrase',
    meaning: 'the private key of that certificate',
  }),
  upstreamPublicKey: someText({
    default: 'auto',
    expected: 'auto, ask, or the path of a PEM file',
    meaning:
      "the server's RSA key, with which a password goes on without TLS (caching_sha2_password), that of a client in TLS and that of the service account: auto asks for it on this machine only, ask believes any that comes, and any TLS for the service account",
  }),
  lendOsUser: choice(['off', 'on'], {
    default: 'off',
    meaning:
      'over a unix socket: on lets every client in, without a password, as the accounts that the server opens to the OS user of undrop by unix_socket or auth_socket; off refuses those logins, and the start where such an account is seen',
  }),
  lendTls: choice(['off', 'on'], {
    default: 'off',
    meaning:
      'where the server is reached in TLS or over a unix socket: on lets clients without TLS into accounts with REQUIRE SSL and past require_secure_transport, and any client by UNDROP_UPSTREAM_CERT into accounts that require a certificate; off refuses those logins, as the server would',
  }),
  mode: choice(['hold', 'observe', 'off', 'replay'], {
    default: 'hold',
    meaning:
      "hold: what is dropped is held; observe: the log says what would be, and the server drops it; off: everything is passed on; replay: so are writes to undrop's own schemas, and undrop itself writes nothing, for what mysqlbinlog prints, into a server of its own; not to be changed from or to replay while it runs",
  }),
  rules: setting<readonly Rule[]>({
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
  allowDestroy: choice(['off', 'users'], {
    default: 'off',
    meaning:
      'who may have a table gone at once, by the hint destroy, now, or a hold below UNDROP_MIN_HOLD: nobody, or users who may drop it',
  }),
  protect: setting<readonly (typeof PROTECTIONS)[number][]>({
    default: PROTECTED.join(','),
    expected: `a list of ${PROTECTIONS.join(', ')}; or none`,
    meaning:
      'which statements never destroy a table or its partitions; what is left out goes to the server as it is',
    parse: (text) => (text.toLowerCase() === 'none' ? [] : listOf(oneOf(PROTECTIONS))(text)),
  }),
  requireIdle: noneOr(
    duration({
      default: 'none',
      min: '1s',
      meaning:
        'a DROP TABLE or DROP DATABASE of a table that was read or written within that time is refused, as far as the server can tell, unless it has the hint insist (docs/policy.md)',
    }),
  ),
  note: choice(['info', 'warning', 'off'], {
    default: 'info',
    meaning:
      'how the session that drops learns how it is undone, and until when: by the info text of the OK packet, by a warning (code 1105 in SHOW WARNINGS), or not at all',
  }),
  lifecycle: setting<readonly LifecycleState[]>({
    default: STATES.join(','),
    expected: `a subset of ${STATES.join(', ')}`,
    meaning: 'the states that a dropped table goes through; drop is implied',
    parse: listOf(oneOf(STATES)),
  }),
  hold: duration({
    default: '7d',
    meaning: 'how long a table can be brought back whole',
  }),
  minHold: duration({
    default: '1h',
    meaning:
      'the shortest hold that a hint may ask for, or `undrop hold`, from the drop on; a shorter UNDROP_HOLD is its own minimum, and UNDROP_ALLOW_DESTROY=users lifts it',
  }),
  evac: duration({
    default: '72h',
    meaning: 'how long an emptied table waits for its pages to leave the buffer pool, at most',
  }),
  checkInterval: duration({
    default: '1h',
    min: '1s',
    max: '24d',
    meaning:
      'how often the collector looks at the held tables (a drop wakes it too); what it could not go on with is tried again after a minute, or after this time if it is shorter',
  }),
  purgeChunkRows: setting<number>({
    default: '50',
    expected: 'a number of rows from 1 to 20000',
    meaning:
      'rows of the first DELETE of a purge; from then on as many as take UNDROP_PURGE_CHUNK_TIME, or beside others less than a millisecond, but not fewer unless even these take too long (of a table without a usable key, never fewer)',
    parse: integer(1, 20_000),
  }),
  purgeChunkTime: duration({
    default: '20ms',
    min: '1ms',
    max: '10s',
    meaning:
      'how long a chunk of a purge should take; beside others on the server it is many small DELETEs with rests between them',
  }),
  purgeBinlog: choice(['off', 'on'], {
    default: 'off',
    meaning:
      'whether the deleting of rows is written to the binary log; the same for all proxies of a server and its replicas, and not changed while tables are in PURGE',
  }),
  fastDrop: choice(['auto', 'always', 'never'], {
    default: 'auto',
    meaning: 'whether purge and evac are skipped: auto decides by the version of the server',
  }),
  collect: choice(['auto', 'on', 'off'], {
    default: 'auto',
    meaning:
      'whether this proxy collects: on a writable server, one proxy by lock; with auto not where that replicates from another (dual primaries: on for one of them); of a Galera cluster one node collects',
  }),
  adopt: choice(['none', 'vitess'], {
    default: 'none',
    meaning: 'whether tables that Vitess left under its hold names are collected and restored, too',
  }),
  grace: duration({
    default: '1h',
    meaning: 'how long the collector waits on a server that it does not know (a restored backup)',
  }),
  maxBytes: noneOr(
    bytes({
      default: 'none',
      meaning:
        'how much room all held tables may take; above it tables go before their time, of the user and the schema that hold most; none before UNDROP_MIN_HOLD, pinned ones never',
    }),
  ),
  maxTables: noneOr(
    setting<number>({
      default: '10000',
      expected: 'a number from 1 to 1000000',
      meaning: 'how many tables may be held, in the same way',
      parse: integer(1, 1_000_000),
    }),
  ),
  minFree: noneOr(
    bytes({
      default: 'none',
      meaning:
        'how much has to be free on the file system of UNDROP_DATADIR; with less tables go before their time in the same way',
    }),
  ),
  datadir: anyText({
    expected: 'the path of a folder',
    meaning:
      'the data folder of the server, where undrop runs on the same machine and may write to it: for UNDROP_MIN_FREE and UNDROP_FILE_STEP',
  }),
  fileStep: bytes({
    default: '64M',
    meaning:
      'with UNDROP_DATADIR: how much of the file of a removed table is given back to the file system at a time',
  }),
  window: noneOr(
    setting<Window>({
      default: 'none',
      expected: WINDOW_EXPECTED,
      meaning:
        'when tables are moved on, purged and removed: not outside these hours, however long that is',
      parse: parseWindow,
    }),
  ),
  throttleQuery: select({
    meaning:
      'SQL that the service account runs on the server before each step of the collector and each chunk of a purge: as long as its value is not 0, or it gives none, nothing is collected',
  }),
  replicas: addresses(3306, {
    default: '',
    isOptional: true,
    meaning:
      'replicas that the collector waits for, asked by the service account, which needs REPLICATION CLIENT there (MariaDB from 10.5.9 on: REPLICA MONITOR); one that has stopped or does not answer counts as one that lags',
  }),
  maxLag: duration({
    default: '2s',
    min: '1s',
    max: '24h',
    meaning:
      'how far those replicas may be behind; the collector goes on when they are within half of it',
  }),
  ledgerKeep: duration({
    default: '90d',
    meaning: 'how long the ledger remembers a table that was restored or removed',
  }),
  auditFile: anyText({
    expected: 'the path of a file',
    meaning:
      'a file that the lines of the audit are appended to (docs/events.md), which the log has as well; it is opened anew at SIGHUP',
  }),
  adminListen: addresses(9307, {
    default: '127.0.0.1:9307',
    more: '; or nothing',
    isOptional: true,
    meaning:
      'where /healthz, /readyz and /metrics are told over HTTP, to whoever asks (docs/metrics.md); nothing: nowhere',
  }),
  maxConnections: setting<number>({
    default: '10000',
    expected: 'a number from 1 to 1000000',
    meaning: 'how many clients may be connected at a time; each takes two open files',
    parse: integer(1, 1_000_000),
  }),
  workers: setting<number | 'auto'>({
    default: 'auto',
    expected: 'a number from 1 to 256, or auto',
    meaning: 'how many processes serve clients; auto: half as many as there are cores, from 1 to 4',
    parse: (text) => (text.toLowerCase() === 'auto' ? 'auto' : integer(1, 256)(text)),
  }),
  relay: choice(['auto', 'stream'], {
    default: 'auto',
    meaning:
      'how sockets are used: auto takes their raw handles where a trial at the start shows that they work',
  }),
  connectTimeout: duration({
    default: '10s',
    min: '1ms',
    max: '1h',
    meaning:
      'how long connecting to one upstream may take, all addresses of its name together, and its greeting then, before the next one is tried',
  }),
  loginTimeout: duration({
    default: '9s',
    min: '1ms',
    max: '1h',
    meaning:
      'how long a client may take for each answer of its login; shorter than connect_timeout of ' +
      'the server, which would count a silent client against the address of undrop',
  }),
  proxyProtocol: setting<readonly Network[]>({
    default: '',
    expected: 'a list of networks like 10.0.0.0/8 or fd00::/8, or unix',
    meaning:
      'load balancers whose connections begin with a header of the PROXY protocol (version 1 or ' +
      '2), which says where the client is',
    parse: (text) => (text.trim() === '' ? [] : listOf(parseNetwork)(text)),
  }),
  upstreamProxyProtocol: choice(['off', 'v2'], {
    default: 'off',
    meaning:
      'whether the server is told where the client is; it must expect that (MariaDB: ' +
      'proxy-protocol-networks), and the accounts are then those of the clients’ hosts',
  }),
  drainWait: duration({
    default: '0s',
    max: '1h',
    meaning: 'how long clients are still let in after SIGTERM, while load balancers hear of it',
  }),
  drainTimeout: duration({
    default: '15s',
    max: '1h',
    meaning: 'how long busy sessions and open transactions may then take, before they are cut off',
  }),
  logLevel: choice(['debug', 'info', 'warn', 'error', 'silent'], {
    default: 'info',
    meaning: 'what is logged: JSON lines, readable ones on a terminal',
  }),
} as const;

export type SettingKey = keyof typeof SETTINGS;

type ValueOf<S> = S extends Setting<infer T> ? T : never;
export type Settings = { readonly [K in SettingKey]: ValueOf<(typeof SETTINGS)[K]> };

/** `checkInterval` → `UNDROP_CHECK_INTERVAL` */
export function variableOf(key: string): string {
  return `UNDROP_${flagOf(key).replaceAll('-', '_').toUpperCase()}`;
}

/** `checkInterval` → `check-interval` */
export function flagOf(key: string): string {
  return key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
