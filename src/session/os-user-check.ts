/**
 * Over a unix socket the server sees undrop's process, and the plugins unix_socket and auth_socket
 * let it in as the account of its OS user, without a password. That identity is not its clients':
 * before they hear that they are in, the server is asked whether such a plugin has looked at it.
 *
 * Invariant: no client hears the OK of a login in which one has, or of which that isn't known.
 */
import { UndropError } from '../errors.js';
import type { Capabilities } from '../wire/capabilities.js';
import { encodeComQuery } from '../wire/command/com-query.js';
import { encodePacket } from '../wire/framing.js';
import { queryResultReader, type Result, type ResultReader } from '../wire/result-reader.js';

/**
 * The account as it was made, and what MySQL's plugin and MariaDB's later ones set when they look
 * at an OS user. MySQL before 5.7 doesn't know the first; MariaDB 10.11 doesn't set the second.
 */
const QUESTIONS = [
  'SHOW /* undrop os-user */ CREATE USER CURRENT_USER()',
  'SELECT /* undrop os-user */ @@external_user',
];
const BY_OS_USER = /\b(?:VIA|OR|WITH) ['"`]?(?:unix|auth)_socket\b/;
const PARSE_ERROR = 1064;

/** What is asked before this client hears that it is in; null for nothing. */
export function newOsUserCheck(login: {
  readonly checksOsUser: boolean;
  readonly capabilities: Capabilities;
}): OsUserCheck | null {
  return login.checksOsUser ? new OsUserCheck(login.capabilities) : null;
}

export class OsUserCheck {
  /** Commands for the server, framed. */
  readonly question: Buffer;
  readonly #readers: ResultReader[];
  readonly #answers: Result[] = [];

  constructor(capabilities: Capabilities) {
    const texts = QUESTIONS.map((text) => encodeComQuery(Buffer.from(text), capabilities));
    this.question = Buffer.concat(texts.map((text) => encodePacket(text, 0)));
    this.#readers = QUESTIONS.map(() => queryResultReader(capabilities));
  }

  /**
   * Takes the packets of the answers; true at their end, where the client may have the OK.
   * UNDROP_OS_USER where it may not.
   */
  passes(payload: Buffer): boolean {
    const answer = this.#readers[this.#answers.length]?.push(payload) ?? null;
    if (answer === null) return false;
    this.#answers.push(answer);
    const [made, seen] = this.#answers;
    if (made === undefined || seen === undefined) return false;
    const why = whyNot(made, seen);
    if (why !== null) throw new UndropError('UNDROP_OS_USER', { why });
    return true;
  }
}

function whyNot(made: Result, seen: Result): string | null {
  const text = textIn(made);
  const isOpen = BY_OS_USER.test(text) || (seen.kind === 'rows' && textIn(seen) !== '');
  if (isOpen) return 'it is open to the OS user of undrop, by unix_socket or auth_socket';
  const isMade = text.startsWith('CREATE USER ') || isError(made, PARSE_ERROR);
  if (isMade && seen.kind === 'rows' && seen.rows.length === 1) return null;
  const error = [made, seen].find((one) => one.kind === 'err');
  const cause = error?.kind === 'err' ? `: ${error.message} (${error.errno})` : '';
  return `the server does not say whether it is open to the OS user of undrop${cause}`;
}

function isError(result: Result, errno: number): boolean {
  return result.kind === 'err' && result.errno === errno;
}

/** Whatever the charset, which an init_connect may have set. */
function textIn(result: Result): string {
  if (result.kind !== 'rows') return '';
  const value = result.rows[0]?.[0] ?? Buffer.alloc(0);
  return Buffer.from(value.filter((byte) => byte !== 0)).toString('latin1');
}
