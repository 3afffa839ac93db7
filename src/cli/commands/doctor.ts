/**
 * `undrop doctor` reports whether undrop supports the server, which privileges the service account
 * lacks, whether the settings protect all drops, which programs and accounts drop tables unseen,
 * and which tables are torn or not completely restored. It changes nothing; its exit code is 1 if
 * drops would be refused, or held in part or not at all.
 */
import { userInfo } from 'node:os';
import { type Elsewhere, elsewhereLines, findElsewhere } from '../../account/elsewhere.js';
import { type Examination, examine } from '../../account/examine.js';
import { WITHOUT_FULL } from '../../account/grants.js';
import { accountsOf, lentAccountsText } from '../../account/os-user.js';
import { filterProblem } from '../../account/replication-filters.js';
import { findLockHolders } from '../../ledger/intents/lock-holders.js';
import { findStranger } from '../../lifecycle/leader/collector-lock.js';
import { jsonText, printCard } from '../../printer.js';
import { findUnfinishedRestores, type Unfinished } from '../../recovery/reconcile.js';
import { HOW_TO_MEND } from '../../restore/print-held.js';
import { unlessRefused } from '../../service/errors.js';
import type { ServicePool } from '../../service/pool/pools.js';
import {
  describeAddress,
  isOnThisMachine,
  type ServerAddress,
} from '../../service/server-address.js';
import { ABSENT_TABLE } from '../../wire/server-errors.js';
import { type AccountSettings, type DoctorSettings, whatIsNotHeld } from '../settings.js';
import type { Flags, Shell } from '../shell.js';
import { withPool } from './with-pool.js';

/** Longer lists are only in --json. */
const NAMES_MAX = 20;

/** A line of a report. */
export interface Finding {
  /** The subject, in a word or two. */
  readonly check: string;
  /**
   * `note`: it needs no action; `warning`: drops are refused, or held in part or not at all;
   * `failed`: a proxy would not start.
   */
  readonly result: 'ok' | 'note' | 'warning' | 'failed';
  readonly text: string;
}

export function runDoctor(
  settings: DoctorSettings,
  flags: Flags,
  { stdout }: Shell,
): Promise<number> {
  return withPool(settings, async (pool) => {
    const report = await readReport(pool, settings);
    const findings = findingsIn(report, settings);
    const card = [...new Set(findings.map(({ check }) => check))].map((title) => ({
      title,
      text: () => findings.filter(({ check }) => check === title).map(({ text }) => text),
    }));
    stdout.write(flags['json'] === true ? jsonText(report) : printCard(card, report));
    return findings.some(({ result }) => result === 'warning') ? 1 : 0;
  });
}

export async function readFindings(
  pool: ServicePool,
  settings: DoctorSettings,
): Promise<readonly Finding[]> {
  return findingsIn(await readReport(pool, settings), settings);
}

function findingsIn(report: Report, settings: DoctorSettings): readonly Finding[] {
  return [...settingsFindings(settings), ...serverFindings(report)];
}

/** Reads all that `undrop doctor` reports of the server and its account. */
export async function readReport(pool: ServicePool, settings: DoctorSettings): Promise<Report> {
  const { schemas, upstream, mode, protect, allowDestroy, lendTls } = settings;
  const found = await examine(pool, { wanted: schemas });
  const isLocal = upstream.some((one) => 'socketPath' in one);
  const lent = isLocal ? ((await accountsOf(userInfo().username, pool)) ?? []) : [];
  const stranger = await findStranger(pool);
  const lockedBy = stranger === null ? [] : [stranger];
  const { notProtected } = whatIsNotHeld(settings);
  const ways = upstream.map((one) => `to ${describeAddress(one)} ${wayTo(one, settings)}`);
  const set = { mode, protect, notProtected, allowDestroy, lendTls };
  const unfinished = await unlessRefused(findUnfinishedRestores(pool), [], ...ABSENT_TABLE);
  const elsewhere = await findElsewhere(pool, settings.user);
  const filters = await filterProblem(pool);
  const holders = await findLockHolders(pool, { isCertain: true });
  const ledgerLocks = holders.map(({ id, who }) => `connection ${id} (${who})`);
  return { ...found, ...set, ways, lent, lockedBy, unfinished, elsewhere, filters, ledgerLocks };
}

interface Report
  extends Examination,
    Pick<DoctorSettings, 'mode' | 'protect' | 'allowDestroy' | 'lendTls'> {
  /** The protection of the connection to each address of the server; without final periods. */
  readonly ways: readonly string[];
  readonly notProtected: readonly string[];
  /** Accounts that are open to the OS user of undrop. */
  readonly lent: readonly string[];
  readonly lockedBy: readonly string[];
  /** Tables that are not completely restored. */
  readonly unfinished: readonly Unfinished[];
  /** Accounts whose drops don't come through undrop. */
  readonly elsewhere: readonly Elsewhere[];
  /** Replication filters that go by the default schema, as a sentence; null: none is seen. */
  readonly filters: string | null;
  /** Connections that have rows of the ledger locked. */
  readonly ledgerLocks: readonly string[];
}

const TLS_LENT =
  'UNDROP_LEND_TLS=on: all clients count as clients with the TLS that undrop has with the server';
const STRANGER = 'the collector lock, but is not a connection of undrop; undrop ignores that lock';

/** Whether the settings hold all drops. */
export function settingsFindings(settings: Parameters<typeof whatIsNotHeld>[0]): Finding[] {
  const { sentences, chosen } = whatIsNotHeld(settings);
  const held = `tables are held on ${settings.protect.join(', ')}`;
  return [
    ...findingsOf('settings', 'ok', sentences.length === 0 ? [held] : []),
    ...findingsOf('settings', 'warning', sentences),
    ...findingsOf('settings', 'note', chosen),
  ];
}

export function serverFindings(report: Report): readonly Finding[] {
  const { server, readOnly, ways, lent, lendTls, held, heldInPlace, refused, notHeld } = report;
  const { isTested, name, version } = server;
  const tested = isTested ? 'a tested version' : 'not a tested version';
  const lending = lent.length === 0 ? [] : [lentAccountsText(userInfo().username, lent)];
  const torn = report.torn.length === 0 ? [] : [`${listed(report.torn)}: ${HOW_TO_MEND}`];
  const unfinished = report.unfinished.map(
    ({ what, missing }) => `${what} is not restored whole: ${missing}`,
  );
  const strangers = report.lockedBy.map((words) => `${words}, ${STRANGER}`);
  return [
    ...findingsOf('server', isTested ? 'ok' : 'note', [`${name} ${version}: ${tested}`]),
    ...findingsOf('server', 'note', readOnly ? [READ_ONLY] : []),
    ...findingsOf('way', 'ok', ways),
    ...findingsOf('way', 'warning', lending),
    ...findingsOf('way', 'note', lendTls === 'on' ? [TLS_LENT] : []),
    ...accountFindings(report),
    ...findingsOf('schemas', 'ok', [`held: ${held.length === 0 ? 'none' : listed(held)}`]),
    ...findingsOf('schemas', 'note', linesOf({ [IN_PLACE]: heldInPlace, [REFUSED]: refused })),
    ...findingsOf('schemas', 'warning', linesOf({ [NOT_HELD]: notHeld })),
    ...findingsOf('torn', 'warning', torn),
    ...findingsOf('restores', 'note', unfinished),
    ...programFindings(report),
    ...findingsOf('elsewhere', 'note', elsewhereLines(report.elsewhere)),
    ...findingsOf('collector', 'note', strangers),
    ...findingsOf('ledger', 'warning', linesOf({ [LEDGER_LOCKED]: report.ledgerLocks })),
    ...findingsOf('replication', 'warning', report.filters === null ? [] : [report.filters]),
  ];
}

const LEDGER_LOCKED =
  'have locked the ledger: drops are refused as long as their transactions last';
const READ_ONLY = 'The server is read-only: undrop collects nothing there.';
const IN_PLACE = 'tables are held in their own schema, under their hold names';
const REFUSED = 'no privileges, drops are refused';
const NOT_HELD = 'in UNDROP_SCHEMAS but not protected: missing, or no privileges';

function findingsOf(check: string, result: Finding['result'], texts: readonly string[]): Finding[] {
  return texts.map((text) => ({ check, result, text }));
}

function accountFindings({ account, tier, missing }: Report): readonly Finding[] {
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

function programFindings({ programs, seesAllPrograms }: Report): readonly Finding[] {
  const namesOf = (does: Report['programs'][number]['does']) =>
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
