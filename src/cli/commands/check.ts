/**
 * `undrop serve --check` reports whether a proxy would start with these settings and hold drops:
 * settings, files, certificates, addresses, and each server with the service account, of which it
 * checks what `undrop doctor` checks.
 *
 * Invariant: it changes nothing on a server, serves no client, and leaves no file or socket.
 */
import { X509Certificate } from 'node:crypto';
import { accessSync, constants, readFileSync } from 'node:fs';
import { UndropError } from '../../errors.js';
import { assertLedgerKnown } from '../../ledger/tables.js';
import { findThrottleFaults, type Replica } from '../../lifecycle/throttle/throttle.js';
import { auditFileProblem, silentLog } from '../../log.js';
import { causeText, isServiceError, unlessRefused } from '../../service/errors.js';
import { isForGood } from '../../service/pool/pool-set.js';
import type { ServicePool } from '../../service/pool/pools.js';
import { describeAddress } from '../../service/server-address.js';
import { assertNotOwn } from '../../session/dial/dial.js';
import { tryToListen } from '../../session/listen-addresses.js';
import { openProxyTls } from '../../session/login/tls.js';
import { ACCESS_DENIED } from '../../wire/server-errors.js';
import { checkOpenFiles, workersOf } from '../serve/plan.js';
import { type ProxySettings, proxySettingsOf, throttleSettings } from '../settings.js';
import type { Flags, Shell } from '../shell.js';
import { serverFindings } from './doctor.js';
import {
  EXIT_CODES,
  type Finding,
  findingsOf,
  formatFindings,
  resultOf,
  settingsFindings,
} from './findings.js';
import { withServers } from './with-pool.js';

type Findings = readonly Finding[];

const SUMMARIES = {
  failed: 'undrop would not start.',
  warning: 'undrop would start, but see the warnings.',
  ok: 'undrop would start and hold drops.',
} as const;

export async function runCheck(flags: Flags, shell: Shell): Promise<number> {
  const findings = await checkAll(flags, shell);
  const result = resultOf(findings);
  shell.stdout.write(formatFindings(findings, flags));
  if (flags['json'] !== true) shell.stdout.write(`${SUMMARIES[result]}\n`);
  return EXIT_CODES[result];
}

async function checkAll(flags: Flags, shell: Shell): Promise<Findings> {
  const warnings: string[] = [];
  const stderr = { write: (text: string) => warnings.push(text.trim()) };
  const loaded = await attempt('settings', () => proxySettingsOf({ ...shell, stderr }, flags));
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
  const findings: Finding[] = [];
  const add = (check: string, result: Finding['result'], text: string) =>
    findings.push({ check, result, text });
  const problem = auditFile === '' ? null : auditFileProblem(auditFile);
  const unwritten = `cannot write UNDROP_AUDIT_FILE: ${problem}; only the log would have the lines`;
  if (problem !== null) add('audit file', 'warning', unwritten);
  else if (auditFile !== '') add('audit file', 'ok', `undrop can append lines to ${auditFile}`);
  try {
    if (datadir !== '') accessSync(datadir, constants.W_OK | constants.X_OK);
  } catch (error) {
    const text = `cannot write to the folder of UNDROP_DATADIR: ${(error as Error).message}`;
    add('datadir', 'warning', text);
  }
  // Drops are held all the same.
  const warn = (_: object, text: string) => add('open files', 'note', text);
  checkOpenFiles(settings, workersOf(settings, silentLog), { ...silentLog, warn });
  return findings;
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
      const found = await withServers(one, (...servers) => checkServer(one, ...servers));
      const named = (each: Finding) => ({ ...each, text: `${name}: ${each.text}` });
      findings.push(...found.map((each) => (each.check === 'server' ? named(each) : each)));
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
    const version = await unlessRefused(assertLedgerKnown(pool), null, ...ACCESS_DENIED);
    if (version === null) return findingsOf('ledger', 'note', [NO_LEDGER]);
    return findingsOf('ledger', 'ok', [`version ${version}`]);
  } catch (error) {
    if (!isServiceError(error)) throw error;
    return findingsOf('ledger', 'warning', [causeText(error)]);
  }
}

const NO_LEDGER = 'there is none that this account can read; undrop creates it at its start';
