/**
 * `undrop doctor` reports whether undrop supports the server, which privileges the service account
 * lacks, whether the settings protect all drops, which programs drop tables unseen, and which
 * tables are torn or not completely restored. It changes nothing; its exit code is 1 if drops would
 * be refused, or held in part or not at all.
 */
import { userInfo } from 'node:os';
import { type Examination, examine } from '../../account/examine.js';
import { accountsOf, lentAccountsText } from '../../account/os-user.js';
import { findStranger } from '../../lifecycle/leader/collector-lock.js';
import { jsonText, printCard } from '../../printer.js';
import { findUnfinishedRestores, type Unfinished } from '../../recovery/reconcile.js';
import { HOW_TO_MEND } from '../../restore/print-held.js';
import { unlessRefused } from '../../service/errors.js';
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

export function runDoctor(
  settings: DoctorSettings,
  flags: Flags,
  { stdout }: Shell,
): Promise<number> {
  return withPool(settings, async (pool) => {
    const { schemas, upstream, mode, protect, allowDestroy, lendTls } = settings;
    const found = await examine(pool, { wanted: schemas });
    const isLocal = upstream.some((one) => 'socketPath' in one);
    const lent = isLocal ? ((await accountsOf(userInfo().username, pool)) ?? []) : [];
    const stranger = await findStranger(pool);
    const lockedBy = stranger === null ? [] : [stranger];
    const { notProtected, sentences } = whatIsNotHeld(settings);
    const ways = upstream.map((one) => `to ${describeAddress(one)} ${wayTo(one, settings)}`);
    const set = { mode, protect, notProtected, allowDestroy, lendTls };
    const unfinished = await unlessRefused(findUnfinishedRestores(pool), [], ...ABSENT_TABLE);
    const report: Report = { ...found, ...set, ways, lent, lockedBy, unfinished };
    stdout.write(flags['json'] === true ? jsonText(report) : formatReport(report, sentences));
    const isPartly = [found.notHeld, notProtected, found.torn, lent].some(
      ({ length }) => length > 0,
    );
    return found.tier === null || isPartly ? 1 : 0;
  });
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
}

const TLS_LENT =
  'UNDROP_LEND_TLS=on: all clients count as clients with the TLS that undrop has with the server';
const STRANGER = 'the collector lock, but is not a connection of undrop; undrop ignores that lock';

/** Each part begins with its title. */
function formatReport(report: Report, notHeld: readonly string[]): string {
  const { ways, lent, lendTls, protect, notProtected, torn, lockedBy, unfinished } = report;
  const parts: Readonly<Record<string, readonly string[]>> = {
    server: serverLines(report),
    way: [
      ...ways,
      ...(lent.length === 0 ? [] : [lentAccountsText(userInfo().username, lent)]),
      ...(lendTls === 'on' ? [TLS_LENT] : []),
    ],
    account: accountLines(report),
    settings: [
      ...(notProtected.length === 0 ? [`tables are held on ${protect.join(', ')}`] : []),
      ...notHeld,
    ],
    schemas: schemaLines(report),
    torn: torn.length === 0 ? [] : [`${listed(torn)}: ${HOW_TO_MEND}`],
    restores: unfinished.map(({ what, missing }) => `${what} is not restored whole: ${missing}`),
    programs: programLines(report),
    collector: lockedBy.map((words) => `${words}, ${STRANGER}`),
  };
  const fields = Object.entries(parts).map(([title, lines]) => ({ title, text: () => lines }));
  return printCard(fields, report);
}

function serverLines({ server, readOnly }: Report): readonly string[] {
  const tested = server.isTested ? 'a tested version' : 'not a tested version';
  return [
    `${server.name} ${server.version}: ${tested}`,
    ...(readOnly ? ['The server is read-only: undrop collects nothing there.'] : []),
  ];
}

function accountLines({ account, tier, missing }: Report): readonly string[] {
  return [
    `${account}: ${tier === null ? 'privileges are missing' : `tier ${tier}`}`,
    ...missing.map(({ right, schemas, isEssential, without }) => {
      const where = schemas === null ? '' : ` on ${listed(schemas)}`;
      return `${isEssential ? 'missing' : 'without'} ${right}${where}: ${without}`;
    }),
  ];
}

function schemaLines({ held, heldInPlace, refused, notHeld }: Report): readonly string[] {
  const others = {
    'tables are held in their own schema, under their hold names': heldInPlace,
    'no privileges, drops are refused': refused,
    'in UNDROP_SCHEMAS but not protected: missing, or no privileges': notHeld,
  };
  return [`held: ${held.length === 0 ? 'none' : listed(held)}`, ...linesOf(others)];
}

function programLines({ programs, seesAllPrograms }: Report): readonly string[] {
  const namesOf = (does: Report['programs'][number]['does']) =>
    programs
      .filter((program) => program.does === does)
      .map(({ schema, name, kind }) => `${schema}.${name} (${kind})`);
  const found = linesOf({
    'drop tables inside the server, where undrop cannot hold them': namesOf('drops'),
    'run dynamic SQL that may drop tables inside the server, where undrop cannot hold them':
      namesOf('may drop'),
    'cannot be read by this account': namesOf('unread'),
  });
  if (seesAllPrograms) return found.length > 0 ? found : ['none of them drops tables'];
  return [...(found.length > 0 ? found : ['none of the visible ones drops tables']), UNSEEN];
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
