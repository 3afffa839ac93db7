/**
 * `undrop doctor` reports whether undrop supports the server, which privileges the service account
 * lacks, whether the settings protect all drops, which programs and accounts drop tables unseen,
 * and which tables are torn. It changes nothing.
 */
import { userInfo } from 'node:os';
import { findElsewhere } from '../../account/elsewhere.js';
import { type Examination, examine, type Program } from '../../account/examine.js';
import { WITHOUT_FULL } from '../../account/grants.js';
import { accountsOf, lentAccountsText } from '../../account/os-user.js';
import { findLockHolders } from '../../ledger/intents/lock-holders.js';
import { findStranger } from '../../lifecycle/leader/collector-lock.js';
import { HOW_TO_MEND } from '../../restore/print-held.js';
import type { ServicePool } from '../../service/pool/pools.js';
import {
  describeAddress,
  isOnThisMachine,
  type ServerAddress,
} from '../../service/server-address.js';
import type { AccountSettings, DoctorSettings } from '../settings.js';
import type { Flags, Shell } from '../shell.js';
import {
  EXIT_CODES,
  type Finding,
  findingsOf,
  formatFindings,
  replicationFindings,
  resultOf,
  settingsFindings,
} from './findings.js';
import { withPool } from './with-pool.js';

/** Longer lists are cut. */
const NAMES_MAX = 20;

export function runDoctor(
  settings: DoctorSettings,
  flags: Flags,
  { stdout }: Shell,
): Promise<number> {
  return withPool(settings, async (pool) => {
    const findings = await readFindings(pool, settings);
    stdout.write(formatFindings(findings, flags));
    return EXIT_CODES[resultOf(findings)];
  });
}

async function readFindings(
  pool: ServicePool,
  settings: DoctorSettings,
): Promise<readonly Finding[]> {
  return [...settingsFindings(settings), ...(await serverFindings(pool, settings))];
}

/** Whether the server, and the privileges of the account on it, let undrop hold all drops. */
export async function serverFindings(
  pool: ServicePool,
  settings: DoctorSettings,
): Promise<readonly Finding[]> {
  const { schemas, upstream, user } = settings;
  const found = await examine(pool, { wanted: schemas });
  const { held, heldInPlace, refused, notHeld } = found;
  const { isTested, name, version } = found.server;
  const tested = isTested ? 'a tested version' : 'not a tested version';
  const ways = upstream.map((one) => `to ${describeAddress(one)} ${wayTo(one, settings)}`);
  const isLocal = upstream.some((one) => 'socketPath' in one);
  const torn = found.torn.length === 0 ? [] : [`${listed(found.torn)}: ${HOW_TO_MEND}`];
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
    ...findingsOf('server', 'note', found.readOnly ? [READ_ONLY] : []),
    ...findingsOf('way', 'ok', ways),
    ...findingsOf('way', 'warning', isLocal ? await findLent(pool) : []),
    ...accountFindings(found),
    ...findingsOf('schemas', 'ok', [`held: ${held.length === 0 ? 'none' : listed(held)}`]),
    ...findingsOf('schemas', 'note', linesOf({ [IN_PLACE]: heldInPlace, [REFUSED]: refused })),
    ...findingsOf('schemas', 'warning', linesOf({ [NOT_HELD]: notHeld })),
    ...findingsOf('torn', 'warning', torn),
    ...programFindings(found),
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

/** Accounts that are open to the OS user of undrop. */
async function findLent(pool: ServicePool): Promise<readonly string[]> {
  const osUser = userInfo().username;
  const lent = (await accountsOf(osUser, pool)) ?? [];
  return lent.length === 0 ? [] : [lentAccountsText(osUser, lent)];
}

function accountFindings({ account, tier, missing }: Examination): readonly Finding[] {
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

function programFindings({ programs, seesAllPrograms }: Examination): readonly Finding[] {
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
