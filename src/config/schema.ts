/**
 * Every setting, once: its unit, range, default and meaning. The command line, the checks and the
 * page docs/reference/settings.md are made of this table; `hold` is UNDROP_HOLD in the environment.
 */
import { parseWindow, WINDOW_EXPECTED, type Window } from '../duration.js';
import { parseRules, RULES_EXPECTED, type Rule } from '../policy/rules.js';
import { PROTECTED_BY_DEFAULT, PROTECTIONS, type Protection } from '../sql/destroying.js';
import * as kind from './setting-kinds.js';

const CERTIFICATE = 'the path of a PEM file, the certificate first, then its chain';
const KEY = 'the path of a PEM file without a passphrase';
const STATES = ['hold', 'purge', 'evac', 'drop'] as const;
type LifecycleState = (typeof STATES)[number];

export const SETTINGS = {
  listen: kind.addresses(3307, 'the addresses where clients connect'),
  upstream: kind.addresses(
    3306,
    'the MySQL or MariaDB server; over a unix socket, undrop refuses logins by unix_socket or auth_socket',
    { default: null, more: ', tried in order' },
  ),
  user: kind.plainText(
    'a user name',
    'the service account, with which undrop records, relocates, collects and restores tables',
    null,
  ),
  password: kind.plainText('a password', 'the password of the service account'),
  passwordFile: kind.plainText(
    'the path of a file',
    'a file with that password, read for each connection; wins over UNDROP_PASSWORD',
  ),
  tier: kind.choice(
    ['full', 'managed', 'least'],
    'the privileges that `undrop init` grants to the service account: full, all; managed, without those that managed servers do not grant; least, on UNDROP_SCHEMAS alone',
    'managed',
  ),
  schemas: kind.optionalList(
    (item) => item || null,
    'a list of names of schemas',
    'with the tier least: the schemas whose tables are held; drops in other schemas are refused',
  ),
  tls: kind.choice(
    ['off', 'offered', 'required'],
    'TLS with clients: off, offered to clients that request it, or required of all clients but those on a unix socket',
    'offered',
  ),
  tlsCert: kind.plainText(
    CERTIFICATE,
    'the certificate for clients; without it, undrop creates a self-signed one at each start',
  ),
  tlsKey: kind.plainText(KEY, 'the private key of UNDROP_TLS_CERT'),
  upstreamTls: kind.choice(
    ['disabled', 'as-client', 'preferred', 'required', 'verify-ca', 'verify-identity'],
    'TLS with the server: as-client, if the client uses it and the server offers it; preferred, if the server offers it; required, always; verify-ca also checks its certificate against UNDROP_UPSTREAM_CA; verify-identity also checks that it names the host of UNDROP_UPSTREAM. Over a unix socket, only the last three use TLS',
    'as-client',
  ),
  upstreamCa: kind.plainText(
    'the path of a PEM file',
    'the certificate authorities for verify-ca and verify-identity; default: those that Node.js trusts',
  ),
  upstreamCert: kind.plainText(
    CERTIFICATE,
    'the client certificate that undrop presents to the server (REQUIRE X509), for all clients and the service account',
  ),
  upstreamKey: kind.plainText(KEY, 'the private key of UNDROP_UPSTREAM_CERT'),
  upstreamPublicKey: kind.plainText(
    'auto, ask, or the path of a PEM file',
    'the RSA key of the server, which encrypts passwords (caching_sha2_password) without TLS to the server: those of clients with TLS, and that of the service account. auto requests it from a server on this machine only; ask trusts any key that the server sends and, for the service account, any TLS',
    'auto',
  ),
  mode: kind.choice(
    ['hold', 'observe', 'off'],
    'hold: undrop holds dropped tables; observe: the server drops them, and the log shows what would have been held; off: undrop passes all drops on',
  ),
  rules: kind.setting<readonly Rule[]>({
    default: '',
    expected: RULES_EXPECTED,
    meaning:
      'which tables are held for how long, destroyed at once, or not dropped; the first match applies (docs/protect.md)',
    parse: (text) => {
      const { rules, problems } = parseRules(text);
      return problems.length === 0 ? rules : null;
    },
    problems: (text) => parseRules(text).problems,
    separator: ';',
  }),
  allowDestroy: kind.choice(
    ['off', 'users'],
    'users lets every user who may drop a table destroy it at once (hints destroy and now), or hold it for less than UNDROP_MIN_HOLD; off refuses such hints',
  ),
  protect: kind.setting<readonly Protection[]>({
    default: PROTECTED_BY_DEFAULT.join(','),
    expected: `a list of ${PROTECTIONS.join(', ')}; or all, or none`,
    meaning:
      'the statements that never destroy a table or its partitions; others go to the server unchanged',
    parse: (text) => {
      const word = text.toLowerCase();
      if (word === 'all') return PROTECTIONS.filter((one) => one !== 'truncate-where-possible');
      return word === 'none' ? [] : kind.listOf(kind.oneOf(PROTECTIONS))(text);
    },
  }),
  requireIdle: kind.noneOr(
    kind.duration(
      'none',
      'undrop refuses to drop a table that was read or written within this time, as far as the server reports it, but for the hint insist (docs/protect.md)',
      { min: '1s' },
    ),
  ),
  note: kind.choice(
    ['info', 'off'],
    'whether the OK packet of a drop, and the error 1146 of who uses a held table, say how to undo it, and until when',
  ),
  lifecycle: kind.setting<readonly LifecycleState[]>({
    default: STATES.join(','),
    expected: `a subset of ${STATES.join(', ')}`,
    meaning: 'the states that a dropped table passes through; drop is implied',
    parse: kind.listOf(kind.oneOf(STATES)),
  }),
  hold: kind.duration('7d', 'how long a dropped table can be restored whole'),
  minHold: kind.duration(
    '1h',
    'the shortest hold, from the drop on, that a hint or `undrop hold` may set; a shorter UNDROP_HOLD lowers it, UNDROP_ALLOW_DESTROY=users removes it',
  ),
  maxHold: kind.duration(
    '90d',
    'how long from now on HOLD TABLE may hold a table; `undrop hold` may do so for longer',
  ),
  evac: kind.duration(
    '72h',
    'the longest time that an emptied table waits for its pages to leave the buffer pool',
  ),
  checkInterval: kind.duration(
    '1h',
    'how often the collector checks the held tables (a drop wakes it too); it retries a failed step after a minute, or after this time if it is shorter',
    { min: '1s', max: '24d' },
  ),
  purgeImpact: kind.duration(
    '1ms',
    "how much a purge may delay others' reads; undrop measures that with reads of its own, and deletes as many rows as it allows",
    { min: '1ms', max: '1s' },
  ),
  fastDrop: kind.choice(
    ['auto', 'always', 'never'],
    'whether the states purge and evac are skipped; auto decides by the version of the server and the tablespace of the table',
  ),
  collect: kind.choice(
    ['auto', 'on', 'off'],
    'whether this proxy may collect; of all proxies of a writable server, the one with the collector lock does (in a Galera cluster, on one node). auto: not on a server that replicates from another (dual primaries: on for one of them)',
  ),
  grace: kind.duration(
    '1h',
    'how long the collector waits on a server that is new to it (a restored backup)',
  ),
  maxBytes: kind.bytes(
    'how much room held tables may take; above it, tables of the user and the schema that hold most are removed early, none before UNDROP_MIN_HOLD, pinned ones never',
  ),
  maxTables: kind.noneOr(
    kind.upToMillion(
      '10000',
      'how many tables may be held; above it, some are removed early, as with UNDROP_MAX_BYTES',
    ),
  ),
  minFree: kind.bytes(
    'how much must be free on the file system of UNDROP_DATADIR; below it, tables are removed early, as with UNDROP_MAX_BYTES',
  ),
  datadir: kind.plainText(
    'the path of a folder',
    'the data folder of the server, if undrop runs on its machine and may write to it; for UNDROP_MIN_FREE, and to free files in steps',
  ),
  window: kind.noneOr(
    kind.setting<Window>({
      default: 'none',
      expected: WINDOW_EXPECTED,
      meaning:
        'the hours in which tables are moved on, purged and removed; outside them the collector waits',
      parse: parseWindow,
    }),
  ),
  throttleQuery: kind.select(
    'a query that the service account runs before each step of the collector and each chunk of a purge; the collector waits while it returns no value, or one other than 0',
  ),
  replicas: kind.addresses(
    3306,
    'the replicas that the collector waits for; the service account needs REPLICATION CLIENT there (MariaDB from 10.5.9 on: REPLICA MONITOR). A replica that has stopped or does not answer counts as lagging',
    { default: '', isOptional: true },
  ),
  maxLag: kind.duration(
    '2s',
    'how far UNDROP_REPLICAS may lag; the collector then waits until they are within half of it',
    { min: '1s', max: '24h' },
  ),
  auditFile: kind.plainText(
    'the path of a file',
    'a file for the lines of the audit (docs/reference/events.md), beside the log; SIGHUP opens it again',
  ),
  adminListen: kind.addresses(
    9307,
    'the addresses that serve /healthz, /readyz and /metrics over HTTP, without a login (docs/reference/metrics.md); empty: none',
    { more: '; or empty', isOptional: true },
  ),
  console: kind.choice(
    ['on', 'off'],
    'whether UNDROP_ADMIN_LISTEN also serves the console, /console, and its API, /api/v1, to people with an account of the server; from other machines by TLS alone',
  ),
  adminHosts: kind.optionalList(
    kind.hostName,
    'names or addresses, separated by commas; or empty',
    'more names of the console; requests to any other name are refused',
  ),
  maxConnections: kind.upToMillion(
    '10000',
    'how many clients may be connected at a time; each worker accepts its share of them, rounded up; a client takes two open files',
  ),
  workers: kind.setting<number | 'auto'>({
    default: 'auto',
    expected: 'a number from 1 to 256, or auto',
    meaning: 'how many processes serve clients; auto: half the number of cores, from 1 to 4',
    parse: (text) => (text.toLowerCase() === 'auto' ? 'auto' : kind.integer(1, 256)(text)),
  }),
  proxyProtocol: kind.optionalList(
    kind.parseNetwork,
    'a list of networks like 10.0.0.0/8 or fd00::/8, or unix',
    'the load balancers whose connections begin with a header of the PROXY protocol (version 1 or 2)',
  ),
  upstreamProxyProtocol: kind.choice(
    ['off', 'v2'],
    'whether undrop sends the server the address of the client by the PROXY protocol; the server ' +
      'must expect it (MariaDB: proxy-protocol-networks), and finds the account by that host',
  ),
  drainWait: kind.duration(
    '0s',
    'how long undrop still accepts clients after SIGTERM, while /readyz answers 503, so that load balancers notice',
    { max: '1h' },
  ),
  drainTimeout: kind.duration(
    '15s',
    'how long sessions and transactions may take after that, before they are cut off',
    { max: '1h' },
  ),
  logLevel: kind.choice(
    ['debug', 'info', 'warn', 'error', 'silent'],
    'the lowest level that is logged, in JSON lines, or in readable ones on a terminal',
    'info',
  ),
} as const;

export type SettingKey = keyof typeof SETTINGS;

type ValueOf<S> = S extends kind.Setting<infer T> ? T : never;
export type Settings = { readonly [K in SettingKey]: ValueOf<(typeof SETTINGS)[K]> };

/** `checkInterval` → `UNDROP_CHECK_INTERVAL` */
export function variableOf(key: string): string {
  return `UNDROP_${flagOf(key).replaceAll('-', '_').toUpperCase()}`;
}

/** `checkInterval` → `check-interval` */
export function flagOf(key: string): string {
  return key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
