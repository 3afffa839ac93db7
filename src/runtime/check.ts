/**
 * `undrop serve --check` reports whether a proxy would start with these settings and hold drops:
 * settings, files, certificates, addresses, and each server with the service account, of which it
 * checks what `undrop doctor` checks.
 *
 * Invariant: it changes nothing on a server, serves no client, and leaves no file or socket.
 */
import { X509Certificate } from 'node:crypto';
import { accessSync, constants, readFileSync } from 'node:fs';
import { findElsewhere } from '../account/elsewhere.js';
import { type Examination, examine, type Program } from '../account/examine.js';
import { WITHOUT_FULL } from '../account/grants.js';
import { findStranger } from '../collector/leader/collector-lock.js';
import { findThrottleFaults, type Replica } from '../collector/throttle/throttle.js';
import { causeText, isServiceError, unlessRefused } from '../connections/errors.js';
import { isForGood } from '../connections/pool/pool-set.js';
import type { ServerAddress } from '../connections/server-address.js';
import { describeAddress, isOnThisMachine } from '../connections/server-address.js';
import type { ServicePool } from '../connections/sql.js';
import { UndropError } from '../errors.js';
import {
  type Finding,
  findingsOf,
  printFindings,
  replicationFindings,
} from '../faces/cli/findings.js';
import type {
  AccountSettings,
  DoctorSettings,
  Flags,
  ProxySettings,
  Shell,
} from '../faces/cli/settings.js';
import { PROXY_KEYS, settingsOf, throttleSettings, whatIsNotHeld } from '../faces/cli/settings.js';
import { withPool, withServers } from '../faces/cli/with-pool.js';
import { findLockHolders } from '../ledger/intents/session-locks.js';
import { assertLedgerKnown } from '../ledger/tables.js';
import { auditFileProblem, silentLog } from '../log.js';
import { HOW_TO_MEND } from '../recycle/print/print-held.js';
import { assertNotOwn } from '../session/dial/dial.js';
import { tryToListen } from '../session/listen-addresses.js';
import { openProxyTls } from '../session/login/tls.js';
import * as ER from '../wire/server-errors.js';
import { checkOpenFiles, workersOf } from './serve/plan.js';

type Findings = readonly Finding[];

const SUMMARIES = {
  failed: 'undrop would not start.',
  warning: 'undrop would start, but see the warnings.',
  ok: 'undrop would start and hold drops.',
} as const;

export async function runCheck(flags: Flags, shell: Shell): Promise<number> {
  const findings = await checkAll(flags, shell);
  return printFindings(findings, flags, { ...shell, summaries: SUMMARIES });
}

async function checkAll(flags: Flags, shell: Shell): Promise<Findings> {
  const warnings: string[] = [];
  const stderr = {
    write: (text: string) => warnings.push(text.trim().replace(/^undrop: warning: /, '')),
  };
  const loaded = await attempt('settings', () =>
    settingsOf({ ...shell, stderr }, PROXY_KEYS, flags),
  );
  const doubtful = findingsOf('settings', 'warning', warnings);
  if ('failed' in loaded) return [...doubtful, ...loaded.failed];
  const settings = loaded.value;
  const before = [
    ...doubtful,
    ...settingsFindings(settings),
    ...checkFiles(settings),
    ...(await checkAddresses(settings)),
  ];
  const tls = await attempt('TLS', () => openProxyTls(settings));
  if ('failed' in tls) return [...before, ...tls.failed];
  return [...before, ...checkCertificates(settings), ...(await checkServers(settings))];
}

/** The value of `work`, or a finding for each problem that stops a start. */
async function attempt<T>(
  check: string,
  work: () => T | Promise<T>,
): Promise<{ readonly value: T } | { readonly failed: Findings }> {
  try {
    return { value: await work() };
  } catch (error) {
    if (!(error instanceof UndropError)) throw error;
    return { failed: findingsOf(check, 'failed', error.message.split('\n')) };
  }
}

function checkFiles(settings: ProxySettings): Findings {
  const { auditFile, datadir } = settings;
  const problem = auditFile === '' ? null : auditFileProblem(auditFile);
  const isWritten = auditFile !== '' && problem === null;
  const unwritten = `cannot write UNDROP_AUDIT_FILE: ${problem}; only the log would have the lines`;
  const few: string[] = [];
  const warn = (_: object, text: string) => few.push(text);
  checkOpenFiles(settings, workersOf(settings, silentLog), { ...silentLog, warn });
  return [
    ...findingsOf('audit file', 'warning', problem === null ? [] : [unwritten]),
    ...findingsOf('audit file', 'ok', isWritten ? [`undrop can append lines to ${auditFile}`] : []),
    ...findingsOf('datadir', 'warning', datadir === '' ? [] : folderProblems(datadir)),
    // Drops are held all the same.
    ...findingsOf('open files', 'note', few),
  ];
}

function folderProblems(datadir: string): readonly string[] {
  try {
    accessSync(datadir, constants.W_OK | constants.X_OK);
    return [];
  } catch (error) {
    return [`cannot write to the folder of UNDROP_DATADIR: ${(error as Error).message}`];
  }
}

async function checkAddresses(settings: ProxySettings): Promise<Findings> {
  const { listen, adminListen, upstream } = settings;
  const addresses = [...listen, ...adminListen];
  const obstacles = await tryToListen(addresses);
  const findings = addresses.map((one, at): Finding => {
    const [obstacle, address] = [obstacles[at], describeAddress(one)];
    const [check, code] =
      at < listen.length
        ? (['listen', 'UNDROP_LISTEN'] as const)
        : (['admin listen', 'UNDROP_ADMIN_LISTEN'] as const);
    if (obstacle === 'in use') return { check, result: 'note', text: `${address} ${IN_USE}` };
    if (!obstacle) return { check, result: 'ok', text: `${address} is free` };
    const { message: text } = new UndropError(code, { address, cause: obstacle.message });
    return { check, result: 'failed', text };
  });
  const own = await attempt('upstream', () => assertNotOwn(upstream, listen));
  return 'failed' in own ? [...findings, ...own.failed] : findings;
}

const IN_USE =
  'is in use, which is right if it is by the proxy that these settings are for; another program there would stop the start';

/** The files have been read before. */
function checkCertificates({ tls, tlsCert, upstreamCert }: ProxySettings): Findings {
  const own = tls === 'off' ? '' : tlsCert;
  const files = { UNDROP_TLS_CERT: own, UNDROP_UPSTREAM_CERT: upstreamCert };
  const findings = Object.entries(files).flatMap(([variable, path]): Findings => {
    if (path === '') return [];
    const { validFrom, validTo } = new X509Certificate(readFileSync(path));
    const isValid = Date.parse(validFrom) <= Date.now() && Date.now() < Date.parse(validTo);
    const text = `the certificate of ${variable} is valid from ${validFrom} to ${validTo}`;
    return findingsOf('TLS', isValid ? 'ok' : 'warning', [text]);
  });
  const isOwn = tls !== 'off' && own === '';
  return [...findings, ...findingsOf('TLS', 'ok', isOwn ? [SELF_SIGNED] : [])];
}

const SELF_SIGNED = 'without UNDROP_TLS_CERT, undrop creates a certificate at its start';

/** A start is stopped by the first server that answers; it waits for one if none does. */
async function checkServers(settings: ProxySettings): Promise<Findings> {
  const findings: Finding[] = [];
  let hasServer = false;
  for (const address of settings.upstream) {
    const one = { ...settings, upstream: [address], schemas: [] };
    const name = describeAddress(address);
    try {
      const each = await withServers(one, (...servers) => checkServer(one, ...servers));
      const named = (of: Finding) => ({ ...of, text: `${name}: ${of.text}` });
      findings.push(...each.map((of) => (of.check === 'server' ? named(of) : of)));
      hasServer = true;
    } catch (error) {
      if (!isServiceError(error)) throw error;
      const isWrong = error instanceof UndropError && error.code === 'UNDROP_CONFIG';
      const stops = isWrong || (isForGood(error) && !hasServer);
      const text = `${name}: ${error.message}`;
      findings.push({ check: 'server', result: stops ? 'failed' : 'warning', text });
    }
  }
  return findings;
}

async function checkServer(
  settings: ProxySettings & { readonly schemas: readonly string[] },
  pool: ServicePool,
  replicas: readonly Replica[],
): Promise<Findings> {
  const findings = (await serverFindings(pool, settings)).map((one): Finding => {
    // The only warning of the way: accounts that are open to the OS user.
    const stops = one.check === 'way' && one.result === 'warning';
    return stops ? { ...one, result: 'failed' } : one;
  });
  const faults = await findThrottleFaults(pool, throttleSettings(settings), replicas);
  const waits = faults.map((fault) => `the collector would wait: ${fault}`);
  return [...findings, ...(await checkLedger(pool)), ...findingsOf('throttle', 'warning', waits)];
}

async function checkLedger(pool: ServicePool): Promise<Findings> {
  try {
    const version = await unlessRefused(assertLedgerKnown(pool), null, ...ER.ACCESS_DENIED);
    if (version === null) return findingsOf('ledger', 'note', [NO_LEDGER]);
    return findingsOf('ledger', 'ok', [`version ${version}`]);
  } catch (error) {
    if (!isServiceError(error)) throw error;
    return findingsOf('ledger', 'warning', [causeText(error)]);
  }
}

const NO_LEDGER = 'there is none that this account can read; undrop creates it at its start';

// ── doctor ───────────────────────────────────────────────────────────────────────────────────────
// `undrop doctor` reports whether undrop supports the server, which privileges the service account
// lacks, whether the settings protect all drops, which programs and accounts drop tables unseen,
// and which tables are torn. It changes nothing.

/** Longer lists are cut. */
const NAMES_MAX = 20;

export function runDoctor(settings: DoctorSettings, flags: Flags, shell: Shell): Promise<number> {
  return withPool(settings, async (pool) => {
    const findings = [...settingsFindings(settings), ...(await serverFindings(pool, settings))];
    return printFindings(findings, flags, shell);
  });
}

/** Whether the settings hold all drops. */
function settingsFindings(settings: Omit<DoctorSettings, 'schemas'>): Findings {
  const { sentences, chosen } = whatIsNotHeld(settings);
  const held = `tables are held on ${settings.protect.join(', ')}`;
  return [
    ...findingsOf('settings', 'ok', sentences.length === 0 ? [held] : []),
    ...findingsOf('settings', 'warning', sentences),
    ...findingsOf('settings', 'note', chosen),
  ];
}

/** Whether the server, and the privileges of the account on it, let undrop hold all drops. */
async function serverFindings(pool: ServicePool, settings: DoctorSettings): Promise<Findings> {
  const { schemas, upstream, user } = settings;
  const examined = await examine(pool, { wanted: schemas });
  const { held, heldInPlace, refused, notHeld, readOnly, torn } = examined;
  const { isTested, name, version } = examined.server;
  const tested = isTested ? 'a tested version' : 'not a tested version';
  const ways = upstream.map((one) => `to ${describeAddress(one)} ${wayTo(one, settings)}`);
  const elsewhere = (await findElsewhere(pool, user)).map(({ user: who, host, drops }) =>
    drops === null
      ? `${who} has sessions from ${host}, past undrop, and may drop tables`
      : `${who} from ${host}, past undrop: statements that drop ${drops}`,
  );
  const stranger = await findStranger(pool);
  const holders = await findLockHolders(pool, { isCertain: true });
  const lockedBy = holders.map(({ id, who }) => `connection ${id} (${who})`);
  return [
    ...findingsOf('server', isTested ? 'ok' : 'note', [`${name} ${version}: ${tested}`]),
    ...findingsOf('server', 'note', readOnly ? [READ_ONLY] : []),
    ...findingsOf('way', 'ok', ways),
    ...accountFindings(examined),
    ...findingsOf('schemas', 'ok', [`held: ${held.length === 0 ? 'none' : listed(held)}`]),
    ...findingsOf('schemas', 'note', linesOf({ [IN_PLACE]: heldInPlace, [REFUSED]: refused })),
    ...findingsOf('schemas', 'warning', linesOf({ [NOT_HELD]: notHeld })),
    ...findingsOf('torn', 'warning', torn.length === 0 ? [] : [`${listed(torn)}: ${HOW_TO_MEND}`]),
    ...programFindings(examined),
    ...findingsOf('elsewhere', 'note', elsewhere),
    ...findingsOf('collector', 'note', stranger === null ? [] : [`${stranger}, ${STRANGER}`]),
    ...findingsOf('ledger', 'warning', linesOf({ [LEDGER_LOCKED]: lockedBy })),
    ...(await replicationFindings(pool)),
  ];
}

const STRANGER = 'the collector lock, but is not a connection of undrop; undrop ignores that lock';
const LEDGER_LOCKED =
  'have locked the ledger: drops are refused as long as their transactions last';
const READ_ONLY = 'The server is read-only: undrop collects nothing there.';
const IN_PLACE = 'tables are held in their own schema, under their hold names';
const REFUSED = 'no privileges, drops are refused';
const NOT_HELD = 'in UNDROP_SCHEMAS but not protected: missing, or no privileges';

function accountFindings({ account, tier, missing }: Examination): Findings {
  const [result, has] =
    tier === null ? (['warning', LACKS] as const) : (['ok', `tier ${tier}`] as const);
  const lacks = missing.flatMap(({ right, schemas, isEssential, without }) => {
    const where = schemas === null ? '' : ` on ${listed(schemas)}`;
    return isEssential
      ? findingsOf('account', 'warning', [`missing ${right}${where}: ${without}`])
      : findingsOf('account', 'note', [`without ${right}${where}: ${without}`]);
  });
  const limits = tier === null || tier === 'full' ? [] : [WITHOUT_FULL];
  const all = findingsOf('account', result, [`${account}: ${has}`]);
  return [...all, ...findingsOf('account', 'note', limits), ...lacks];
}

const LACKS = 'privileges are missing; `undrop init` prints the grants';

function programFindings({ programs, seesAllPrograms }: Examination): Findings {
  const namesOf = (does: Program['does']) =>
    programs
      .filter((program) => program.does === does)
      .map(({ schema, name, kind }) => `${schema}.${name} (${kind})`);
  const lines = linesOf({
    'drop tables inside the server, where undrop cannot hold them': namesOf('drops'),
    'run dynamic SQL that may drop tables inside the server, where undrop cannot hold them':
      namesOf('may drop'),
    'cannot be read by this account': namesOf('unread'),
  });
  const none = `none of ${seesAllPrograms ? 'them' : 'the visible ones'} drops tables`;
  return [
    ...findingsOf('programs', 'ok', lines.length > 0 ? [] : [none]),
    ...findingsOf('programs', 'note', [...lines, ...(seesAllPrograms ? [] : [UNSEEN])]),
  ];
}

const UNSEEN =
  'This account may not see all procedures and functions; for that it needs SELECT on the whole server.';

/** A line for each non-empty list of names. */
function linesOf(names: Readonly<Record<string, readonly string[]>>): readonly string[] {
  return Object.entries(names)
    .filter(([, some]) => some.length > 0)
    .map(([what, some]) => `${what}: ${listed(some)}`);
}

function listed(names: readonly string[]): string {
  const more = names.length - NAMES_MAX;
  return names.slice(0, NAMES_MAX).join(', ') + (more > 0 ? ` and ${more} more` : '');
}

function wayTo(upstream: ServerAddress, settings: AccountSettings): string {
  const { upstreamTls, upstreamPublicKey } = settings;
  if ('socketPath' in upstream) return 'over a unix socket';
  if (upstreamTls === 'verify-identity')
    return 'by TLS; undrop checks its certificate and its name';
  if (upstreamTls === 'verify-ca') return 'by TLS; undrop checks its certificate';
  if (isOnThisMachine(upstream)) return 'on this machine';
  if (upstreamTls === 'required') {
    return 'by TLS; undrop does not check its certificate, so an impostor would get the password: set UNDROP_UPSTREAM_TLS to verify-identity or verify-ca';
  }
  if (upstreamPublicKey === 'ask') {
    return 'with any key that it sends, so an impostor would get the password: set UNDROP_UPSTREAM_TLS to verify-identity or verify-ca';
  }
  if (upstreamPublicKey !== 'auto') {
    return 'possibly without TLS; the password is encrypted with the key in UNDROP_UPSTREAM_PUBLIC_KEY, all else can be read on the way';
  }
  return 'without proof of its identity; undrop refuses logins by caching_sha2_password that send the password itself, as each first login after a start of the server does: set UNDROP_UPSTREAM_TLS to verify-identity or verify-ca';
}
