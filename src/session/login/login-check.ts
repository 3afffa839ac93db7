/**
 * Checks how the server has authenticated a client, before the client gets the OK, because the
 * server sees undrop instead of the client. Over a unix socket the server sees undrop's process,
 * and the plugins unix_socket and auth_socket let it log in as the account of its OS user. With TLS
 * it sees undrop's connection, and undrop's certificate, which an account may require of its
 * client.
 *
 * Invariant: no client gets the OK of a login that succeeded, or may have succeeded, only by what
 * undrop has.
 */
import type { KeyObject } from 'node:crypto';
import type { ServerKeyPolicy } from '../../connections/login/server-key.js';
import { UndropError } from '../../errors.js';
import type { Capabilities } from '../../wire/capabilities.js';
import * as com from '../../wire/commands.js';
import type { ServerVersion } from '../../wire/connection/handshake-v10.js';
import { encodePacket } from '../../wire/framing.js';
import { type Result, readingQueryResult } from '../../wire/response.js';
import * as ER from '../../wire/server-errors.js';

/** Properties of undrop by which a client could log in. */
export interface LoginChecks {
  readonly osUser: boolean;
  /** Undrop's TLS with the server, if the client has none. */
  readonly tls: boolean;
  readonly certificate: boolean;
  /** Undrop's TLS or unix socket, if the client uses TCP without TLS. */
  readonly transport: boolean;
}

/** Null for none: the server sees nothing of undrop that the client doesn't have. */
export function checksOf(connections: ConnectionPair, security: LoginSecurity): LoginChecks | null {
  const { sockets, showsCertificate } = security;
  const inTls = connections.upstream === 'tls';
  const checks = {
    osUser: sockets.upstream === 'socket',
    tls: inTls && connections.client !== 'tls',
    certificate: inTls && showsCertificate,
    transport: connections.client === 'plain' && connections.upstream !== 'plain',
  };
  return Object.values(checks).includes(true) ? checks : null;
}

interface Question {
  readonly text: string;
  /** Throws if the client must not log in. */
  readonly verify: (answer: Result) => void;
}

/** The queries before a client gets its OK. */
export interface LoginCheck {
  /** Commands for the server, framed. */
  readonly question: Buffer;
  /**
   * Takes the packets of the responses; true at their end, if the client may have the OK. Throws if
   * it may not.
   */
  passes(payload: Buffer): boolean;
}

/** Null for none. */
export function newLoginCheck(login: {
  readonly checks: LoginChecks | null;
  readonly server: ServerVersion;
  readonly capabilities: Capabilities;
}): LoginCheck | null {
  const { checks, server, capabilities } = login;
  if (checks === null) return null;
  const questions = questionsOf(checks, server);
  const texts = questions.map(({ text }) => com.encodeComQuery(Buffer.from(text), capabilities));
  /** The queries whose responses aren't complete. */
  const asked = questions.map(({ verify }) => {
    const reader = readingQueryResult(capabilities);
    reader.next();
    return { verify, reader };
  });
  return {
    question: Buffer.concat(texts.map((text) => encodePacket(text, 0))),
    passes: (payload) => {
      const [next] = asked;
      const read = next?.reader.next(payload);
      if (read?.done !== true) return false;
      asked.shift();
      next?.verify(read.value);
      return asked.length === 0;
    },
  };
}

function questionsOf(checks: LoginChecks, server: ServerVersion): readonly Question[] {
  const { osUser, tls, certificate, transport } = checks;
  const requires = tls || certificate ? [requirements(server, { tls })] : [];
  return [...(osUser ? OS_USER : []), ...requires, ...(transport ? [TRANSPORT] : [])];
}

// ── the OS user ────────────────────────────────────────────────────────────────────────────────

/** Servers know a plugin by its name in any case, and print it as it was typed. */
const BY_OS_USER = /\b(?:VIA|OR|WITH) ['"`]?(?:unix|auth)_socket\b/i;

/**
 * The definition of the account, and the variables that MySQL's plugin and MariaDB's later ones set
 * when they check an OS user. MySQL before 5.7 doesn't support the first; MariaDB 10.11 doesn't set
 * the second.
 */
const OS_USER: readonly Question[] = [
  {
    text: 'SHOW /* undrop os-user */ CREATE USER CURRENT_USER()',
    verify: (made) => {
      const text = textIn(made);
      if (BY_OS_USER.test(text)) throw ofOsUser();
      const isMade = text.startsWith('CREATE USER ') || isError(made, ER.PARSE_ERROR);
      if (!isMade) throw ofOsUser(made);
    },
  },
  {
    text: 'SELECT /* undrop os-user */ @@external_user',
    verify: (seen) => {
      if (textIn(seen) !== '') throw ofOsUser();
      if (seen.kind !== 'rows' || seen.rows.length !== 1) throw ofOsUser(seen);
    },
  },
];

/** `unclear`: the unexpected response of the server. */
function ofOsUser(unclear?: Result): UndropError {
  const open = 'open to the OS user of undrop';
  const why =
    unclear === undefined
      ? `it is ${open}, by unix_socket or auth_socket`
      : `the server does not report whether it is ${open}${causeIn(unclear)}`;
  return new UndropError('UNDROP_OS_USER', { why });
}

// ── TLS ────────────────────────────────────────────────────────────────────────────────────────

const ACCOUNT = /^(?:CREATE USER|GRANT .+? TO) (.+?)(?: IDENTIFIED | REQUIRE | WITH |$)/s;
const CLAUSE = / REQUIRE (NONE|SSL|X509|CIPHER|ISSUER|SUBJECT)\b/;

/** `tls`: the client has none. */
function requirements(server: ServerVersion, { tls }: { readonly tls: boolean }): Question {
  const { flavour, versionId } = server;
  // The versions that introduced SHOW CREATE USER removed the clause from SHOW GRANTS.
  const isOld = versionId < (flavour === 'mysql' ? 50_706 : 100_200);
  const what = isOld ? 'GRANTS' : 'CREATE USER CURRENT_USER()';
  return {
    text: `SHOW /* undrop login */ ${what}`,
    verify: (made) => {
      const text = textIn(made);
      const account = ACCOUNT.exec(text)?.[1];
      if (account === undefined) {
        const why = `the server does not report whether the account requires TLS${causeIn(made)}`;
        throw new UndropError('UNDROP_ACCOUNT_REQUIRES', { why });
      }
      const clause = CLAUSE.exec(text)?.[1] ?? 'NONE';
      if (clause === 'NONE' || (clause === 'SSL' && !tls)) return;
      const has = tls
        ? 'the client has no TLS'
        : 'the certificate and the cipher that the server sees are those of undrop';
      const why = `${account} has REQUIRE ${clause}, but ${has}`;
      throw new UndropError('UNDROP_ACCOUNT_REQUIRES', { why });
    },
  };
}

/** Clients on a unix socket aren't checked: servers don't require TLS there either. */
const TRANSPORT: Question = {
  text: 'SELECT /* undrop login */ @@require_secure_transport',
  verify: (answer) => {
    // Before MySQL 5.7.8 and MariaDB 10.5 the variable doesn't exist.
    if (textIn(answer) === '0' || isError(answer, ER.UNKNOWN_SYSTEM_VARIABLE)) return;
    const isUnknown = textIn(answer) !== '1';
    const why = isUnknown
      ? `, and the server does not report that it is off${causeIn(answer)}`
      : '';
    throw new UndropError('UNDROP_SECURE_TRANSPORT', { why });
  },
};

// ── responses ──────────────────────────────────────────────────────────────────────────────────

function isError(result: Result, errno: number): boolean {
  return result.kind === 'err' && result.errno === errno;
}

function causeIn(result: Result): string {
  return result.kind === 'err' ? `: ${result.message} (${result.errno})` : '';
}

/** In any charset, because an init_connect may have changed it. */
function textIn(result: Result): string {
  if (result.kind !== 'rows') return '';
  const value = result.rows[0]?.[0] ?? Buffer.alloc(0);
  return Buffer.from(value.filter((byte) => byte !== 0)).toString('latin1');
}

// ── the protection of the connections ───────────────────────────────────────────────────────────

/** Traffic over a unix socket can't be intercepted. */
export type ConnectionSecurity = 'plain' | 'socket' | 'tls';

export interface ConnectionPair {
  readonly client: ConnectionSecurity;
  readonly upstream: ConnectionSecurity;
}

/** The key with which clients without TLS encrypt their passwords. */
export interface ProxyKey {
  readonly privateKey: KeyObject;
  /** The public half as the protocol sends it. */
  readonly publicPem: Buffer;
  readonly modulusBytes: number;
}

export interface BridgeKeys {
  /** Null if no connection to a server is ever more secure than the client's. */
  readonly own: ProxyKey | null;
  readonly server: ServerKeyPolicy;
}

/** The allowed protection of the connections of one session. */
export interface LoginSecurity {
  /** The sockets before any TLS. */
  readonly sockets: ConnectionPair;
  /** Whether clients are offered TLS. */
  readonly offersTls: boolean;
  /** Whether clients without TLS and without a unix socket are refused. */
  readonly requiresTls: boolean;
  readonly keys: BridgeKeys;
  /** Whether undrop presents a client certificate, by which no client must log in. */
  readonly showsCertificate: boolean;
  /** Whether the upstream connection uses TLS; throws if it must and can't. */
  wantsTls(about: { readonly client: ConnectionSecurity; readonly isOffered: boolean }): boolean;
}

/** Neither connection has TLS, or may have it. */
export const PLAIN: LoginSecurity = {
  sockets: { client: 'plain', upstream: 'plain' },
  offersTls: false,
  requiresTls: false,
  keys: { own: null, server: 'refuse' },
  showsCertificate: false,
  wantsTls: () => false,
};
