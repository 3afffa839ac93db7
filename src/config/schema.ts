/**
 * Every setting, once: its unit, range, default and meaning. The command line, the checks and the
 * page docs/reference/settings.md are made of this table; `hold` is UNDROP_HOLD in the environment.
 */
import { parseWindow, WINDOW_EXPECTED, type Window } from '../duration.js';
import { parseRules, RULES_EXPECTED, type Rule } from '../policy/rules.js';
import {
  addresses,
  anyText,
  bytes,
  choice,
  duration,
  hostName,
  integer,
  listOf,
  type Network,
  noneOr,
  oneOf,
  parseNetwork,
  type Setting,
  select,
  setting,
  someText,
} from './setting-kinds.js';

const STATES = ['hold', 'purge', 'evac', 'drop'] as const;
type LifecycleState = (typeof STATES)[number];
/** The default of `protect`. */
export const PROTECTED = ['drop-table', 'drop-database', 'create-or-replace'] as const;
const PROTECTIONS = [...PROTECTED, 'truncate', 'drop-partition'] as const;

export const SETTINGS = {
  listen: addresses(3307, {
    default: '127.0.0.1:3307',
    meaning: 'the addresses where clients connect',
    when: 'to serve other machines',
  }),
  upstream: addresses(3306, {
    default: null,
    more: ', tried in order',
    meaning:
      'the MySQL or MariaDB server; over a unix socket, undrop refuses logins by unix_socket or auth_socket',
    when: 'to name several servers, for a failover',
  }),
  user: someText({
    default: null,
    expected: 'a user name',
    meaning:
      'the service account, with which undrop records, relocates, collects and restores tables',
    when: 'to use another account',
  }),
  password: anyText({
    expected: 'a password',
    meaning: 'the password of the service account',
    when: 'for a trial',
  }),
  passwordFile: anyText({
    expected: 'the path of a file',
    meaning: 'a file with that password, read for each connection; wins over UNDROP_PASSWORD',
    when: 'in production',
  }),
  tier: choice(['full', 'managed', 'least'], {
    default: 'managed',
    meaning:
      'the privileges that `undrop init` grants to the service account: full, all; managed, without those that managed servers do not grant; least, on UNDROP_SCHEMAS alone',
    when: 'if the server is your own (full), or the account may use few schemas (least)',
  }),
  schemas: setting<readonly string[]>({
    default: '',
    expected: 'a list of names of schemas',
    meaning:
      'with the tier least: the schemas whose tables are held; drops in other schemas are refused',
    when: 'with the tier least',
    parse: (text) => (text.trim() === '' ? [] : listOf((item) => item || null)(text)),
  }),
  tls: choice(['off', 'offered', 'required'], {
    default: 'offered',
    meaning:
      'TLS with clients: off, offered to clients that request it, or required of all clients but those on a unix socket',
    when: 'to refuse clients without TLS',
  }),
  tlsCert: anyText({
    expected: 'the path of a PEM file, the certificate first, then its chain',
    meaning:
      'the certificate for clients; without it, undrop creates a self-signed one at each start',
    when: 'if clients check certificates',
  }),
  tlsKey: anyText({
    expected: 'the path of a PEM file without a passphrase',
    meaning: 'the private key of UNDROP_TLS_CERT',
    when: 'with UNDROP_TLS_CERT',
  }),
  upstreamTls: choice(
    ['disabled', 'as-client', 'preferred', 'required', 'verify-ca', 'verify-identity'],
    {
      default: 'as-client',
      meaning:
        'TLS with the server: as-client, if the client uses it and the server offers it; preferred, if the server offers it; required, always; verify-ca also checks its certificate against UNDROP_UPSTREAM_CA; verify-identity also checks that it names the host of UNDROP_UPSTREAM. Over a unix socket, only the last three use TLS',
      when: 'if others can reach the network to the server',
    },
  ),
  upstreamCa: anyText({
    expected: 'the path of a PEM file',
    meaning:
      'the certificate authorities for verify-ca and verify-identity; default: those that Node.js trusts',
    when: 'if an authority of your own signs the certificate of the server',
  }),
  upstreamCert: anyText({
    expected: 'the path of a PEM file, the certificate first, then its chain',
    meaning:
      'the client certificate that undrop presents to the server (REQUIRE X509), for all clients and the service account',
    when: 'if the account has REQUIRE X509',
    expert: true,
  }),
  upstreamKey: anyText({
    expected: 'the path of a PEM file without a passphrase',
    meaning: 'the private key of UNDROP_UPSTREAM_CERT',
    when: 'with UNDROP_UPSTREAM_CERT',
    expert: true,
  }),
  upstreamPublicKey: someText({
    default: 'auto',
    expected: 'auto, ask, or the path of a PEM file',
    meaning:
      'the RSA key of the server, which encrypts passwords (caching_sha2_password) without TLS to the server: those of clients with TLS, and that of the service account. auto requests it from a server on this machine only; ask trusts any key that the server sends and, for the service account, any TLS',
    when: 'if a server on another machine has no TLS',
    expert: true,
  }),
  mode: choice(['hold', 'observe', 'off'], {
    default: 'hold',
    meaning:
      'hold: undrop holds dropped tables; observe: the server drops them, and the log shows what would have been held; off: undrop passes all drops on',
    when: 'to try undrop first, or to stop it',
  }),
  rules: setting<readonly Rule[]>({
    default: '',
    expected: RULES_EXPECTED,
    meaning:
      'which tables are held for how long, destroyed at once, or not dropped; the first match applies (docs/protect.md)',
    when: 'if some tables need another hold',
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
      'users lets every user who may drop a table destroy it at once (hints destroy and now), or hold it for less than UNDROP_MIN_HOLD; off refuses such hints',
    when: 'if users must free space themselves',
  }),
  protect: setting<readonly (typeof PROTECTIONS)[number][]>({
    default: PROTECTED.join(','),
    expected: `a list of ${PROTECTIONS.join(', ')}; or none`,
    meaning:
      'the statements that never destroy a table or its partitions; others go to the server unchanged',
    when: 'to hold what TRUNCATE removes, too',
    parse: (text) => (text.toLowerCase() === 'none' ? [] : listOf(oneOf(PROTECTIONS))(text)),
  }),
  requireIdle: noneOr(
    duration({
      default: 'none',
      min: '1s',
      meaning:
        'undrop refuses to drop a table that was read or written within this time, as far as the server reports it, but for the hint insist (docs/protect.md)',
      when: 'to catch drops of tables in use',
    }),
  ),
  note: choice(['info', 'off'], {
    default: 'info',
    meaning: 'whether the OK packet of a drop says how to undo it, and until when',
    when: 'if a program takes the text for an error',
    expert: true,
  }),
  lifecycle: setting<readonly LifecycleState[]>({
    default: STATES.join(','),
    expected: `a subset of ${STATES.join(', ')}`,
    meaning: 'the states that a dropped table passes through; drop is implied',
    when: 'to skip a state',
    expert: true,
    parse: listOf(oneOf(STATES)),
  }),
  hold: duration({
    default: '7d',
    meaning: 'how long a dropped table can be restored whole',
    when: 'if mistakes are noticed later, or space is short',
  }),
  minHold: duration({
    default: '1h',
    meaning:
      'the shortest hold, from the drop on, that a hint or `undrop hold` may set; a shorter UNDROP_HOLD lowers it, UNDROP_ALLOW_DESTROY=users removes it',
    when: 'to let users end a hold sooner',
  }),
  maxHold: duration({
    default: '90d',
    meaning: 'how long from now on HOLD TABLE may hold a table; `undrop hold` may do so for longer',
    when: 'to let users hold tables for longer',
    expert: true,
  }),
  evac: duration({
    default: '72h',
    meaning: 'the longest time that an emptied table waits for its pages to leave the buffer pool',
    when: 'if a drop still stalls the server',
    expert: true,
  }),
  checkInterval: duration({
    default: '1h',
    min: '1s',
    max: '24d',
    meaning:
      'how often the collector checks the held tables (a drop wakes it too); it retries a failed step after a minute, or after this time if it is shorter',
    when: 'if space must be free sooner',
    expert: true,
  }),
  purgeImpact: duration({
    default: '1ms',
    min: '1ms',
    max: '1s',
    meaning:
      "how much a purge may delay others' reads; undrop measures that with reads of its own, and deletes as many rows as it allows",
    when: 'if a purge is too slow, or disturbs',
    expert: true,
  }),
  fastDrop: choice(['auto', 'always', 'never'], {
    default: 'auto',
    meaning:
      'whether the states purge and evac are skipped; auto decides by the version of the server and the tablespace of the table',
    when: 'if the final DROP TABLE stalls the server',
    expert: true,
  }),
  collect: choice(['auto', 'on', 'off'], {
    default: 'auto',
    meaning:
      'whether this proxy may collect; of all proxies of a writable server, the one with the collector lock does (in a Galera cluster, on one node). auto: not on a server that replicates from another (dual primaries: on for one of them)',
    when: 'for dual primaries',
    expert: true,
  }),
  grace: duration({
    default: '1h',
    meaning: 'how long the collector waits on a server that is new to it (a restored backup)',
    when: 'if you need longer to check a restored backup',
    expert: true,
  }),
  maxBytes: noneOr(
    bytes({
      default: 'none',
      meaning:
        'how much room held tables may take; above it, tables of the user and the schema that hold most are removed early, none before UNDROP_MIN_HOLD, pinned ones never',
      when: 'if held tables could fill the disk',
    }),
  ),
  maxTables: noneOr(
    setting<number>({
      default: '10000',
      expected: 'a number from 1 to 1000000',
      meaning:
        'how many tables may be held; above it, some are removed early, as with UNDROP_MAX_BYTES',
      when: 'if jobs drop thousands of tables a day',
      expert: true,
      parse: integer(1, 1_000_000),
    }),
  ),
  minFree: noneOr(
    bytes({
      default: 'none',
      meaning:
        'how much must be free on the file system of UNDROP_DATADIR; below it, tables are removed early, as with UNDROP_MAX_BYTES',
      when: 'if the disk of the server is small',
      expert: true,
    }),
  ),
  datadir: anyText({
    expected: 'the path of a folder',
    meaning:
      'the data folder of the server, if undrop runs on its machine and may write to it; for UNDROP_MIN_FREE, and to free files in steps',
    when: 'with UNDROP_MIN_FREE, or if files are large',
    expert: true,
  }),
  window: noneOr(
    setting<Window>({
      default: 'none',
      expected: WINDOW_EXPECTED,
      meaning:
        'the hours in which tables are moved on, purged and removed; outside them the collector waits',
      when: 'to collect at night',
      parse: parseWindow,
    }),
  ),
  throttleQuery: select({
    meaning:
      'a query that the service account runs before each step of the collector and each chunk of a purge; the collector waits while it returns no value, or one other than 0',
    when: 'if a query of yours measures the load',
    expert: true,
  }),
  replicas: addresses(3306, {
    default: '',
    isOptional: true,
    meaning:
      'the replicas that the collector waits for; the service account needs REPLICATION CLIENT there (MariaDB from 10.5.9 on: REPLICA MONITOR). A replica that has stopped or does not answer counts as lagging',
    when: 'if replicas must not lag',
  }),
  maxLag: duration({
    default: '2s',
    min: '1s',
    max: '24h',
    meaning:
      'how far UNDROP_REPLICAS may lag; the collector then waits until they are within half of it',
    when: 'if replicas may lag more, or less',
    expert: true,
  }),
  auditFile: anyText({
    expected: 'the path of a file',
    meaning:
      'a file for the lines of the audit (docs/reference/events.md), beside the log; SIGHUP opens it again',
    when: 'if the audit needs a file of its own',
  }),
  adminListen: addresses(9307, {
    default: '127.0.0.1:9307',
    more: '; or empty',
    isOptional: true,
    meaning:
      'the addresses that serve /healthz, /readyz and /metrics over HTTP, without a login (docs/reference/metrics.md); empty: none',
    when: 'to monitor from other machines, and for a second proxy on a machine',
  }),
  console: choice(['on', 'off'], {
    default: 'on',
    meaning:
      'whether UNDROP_ADMIN_LISTEN also serves the console, /console, and its API, /api/v1, to people with an account of the server; from other machines by TLS alone',
    when: 'if people must not use it',
  }),
  adminHosts: setting<readonly string[]>({
    default: '',
    expected: 'names or addresses, separated by commas; or empty',
    meaning: 'more names of the console; requests to any other name are refused',
    when: 'if people reach the console by another name',
    expert: true,
    parse: (text) => (text.trim() === '' ? [] : listOf(hostName)(text)),
  }),
  maxConnections: setting<number>({
    default: '10000',
    expected: 'a number from 1 to 1000000',
    meaning:
      'how many clients may be connected at a time; each worker accepts its share of them, rounded up; a client takes two open files',
    when: 'if the server takes more clients, or fewer',
    expert: true,
    parse: integer(1, 1_000_000),
  }),
  workers: setting<number | 'auto'>({
    default: 'auto',
    expected: 'a number from 1 to 256, or auto',
    meaning: 'how many processes serve clients; auto: half the number of cores, from 1 to 4',
    when: 'if undrop uses a whole core',
    expert: true,
    parse: (text) => (text.toLowerCase() === 'auto' ? 'auto' : integer(1, 256)(text)),
  }),
  proxyProtocol: setting<readonly Network[]>({
    default: '',
    expected: 'a list of networks like 10.0.0.0/8 or fd00::/8, or unix',
    meaning:
      'the load balancers whose connections begin with a header of the PROXY protocol (version 1 or 2)',
    when: 'behind a load balancer that sends it',
    expert: true,
    parse: (text) => (text.trim() === '' ? [] : listOf(parseNetwork)(text)),
  }),
  upstreamProxyProtocol: choice(['off', 'v2'], {
    default: 'off',
    meaning:
      'whether undrop sends the server the address of the client by the PROXY protocol; the server ' +
      'must expect it (MariaDB: proxy-protocol-networks), and finds the account by that host',
    when: 'if accounts are bound to the hosts of clients',
    expert: true,
  }),
  drainWait: duration({
    default: '0s',
    max: '1h',
    meaning:
      'how long undrop still accepts clients after SIGTERM, while /readyz answers 503, so that load balancers notice',
    when: 'behind a load balancer',
    expert: true,
  }),
  drainTimeout: duration({
    default: '15s',
    max: '1h',
    meaning: 'how long sessions and transactions may take after that, before they are cut off',
    when: 'if transactions take longer',
    expert: true,
  }),
  logLevel: choice(['debug', 'info', 'warn', 'error', 'silent'], {
    default: 'info',
    meaning: 'the lowest level that is logged, in JSON lines, or in readable ones on a terminal',
    when: 'to find a fault',
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
