/**
 * Two libraries that log in over any leg, plain, in TLS or over a unix socket, and say what came of
 * it in words that can be compared: who they are and whether the server sees TLS, or its error.
 */
import { createMariadb } from './mariadb.js';
import { connect } from './servers.js';

/** How a connection is protected. */
export type Leg = 'plain' | 'tls' | 'socket';

/** Where a client connects, by either way. */
export type Door = { readonly host: string; readonly port: number; readonly socketPath: string };

export type Account = { readonly user: string; readonly password: string };

export type Library = 'mysql2' | 'mariadb';

/** How a client goes where. */
export type Way = { readonly library: Library; readonly leg: Leg; readonly door: Door };

/** `query`: the first row, as texts. */
export async function openSession(way: Way, account: Account) {
  const { door, library } = way;
  if (library === 'mysql2') {
    const { host, port } = door;
    const connection = await connect({ host, port, ...account }, optionsOf(way));
    connection.on('error', () => undefined);
    return {
      query: async (text: string) => {
        const [rows] = await connection.query(text);
        return textsOf(rows);
      },
      changeUser: (to: Account) => connection.changeUser(to),
      destroy: () => connection.destroy(),
    };
  }
  const options = { ...optionsOf(way), ...account, allowPublicKeyRetrieval: true };
  const connection = await createMariadb(options);
  connection.on('error', () => undefined);
  return {
    query: async (text: string) => textsOf(await connection.query(text)),
    changeUser: (to: Account) => connection.changeUser(to),
    destroy: () => connection.destroy(),
  };
}

/** `<user>@<host> <account> in TLS: true`, or the words of the error. */
export async function logIn(way: Way, account: Account): Promise<string> {
  try {
    const session = await openSession(way, account);
    try {
      const [who] = await session.query("SELECT CONCAT_WS(' ', USER(), CURRENT_USER()) AS who");
      const [, cipher = ''] = await session.query("SHOW STATUS LIKE 'Ssl_cipher'");
      return `${who} in TLS: ${cipher !== ''}`;
    } finally {
      session.destroy();
    }
  } catch (error) {
    return wordsOf(error);
  }
}

/** What the server said, without what a library puts around it. */
export function wordsOf(error: unknown): string {
  const { errno, sqlState, message } = error as Record<'errno' | 'sqlState' | 'message', unknown>;
  const words = String(message).replaceAll(/\(conn:-?\d+/g, '(conn:<id>');
  return `error ${String(errno)} ${String(sqlState)} ${words}`;
}

/** Without what a server says about the leg that a client came by: its host, and its TLS. */
export function withoutLeg(words: string): string {
  return words
    .replaceAll(/@'?(localhost|127\.0\.0\.1)'?/g, '@<host>')
    .replaceAll(/ in TLS: (true|false)/g, ' in');
}

function optionsOf({ door, leg }: Way): object {
  if (leg === 'socket') return { socketPath: door.socketPath };
  const where = { host: door.host, port: door.port };
  return leg === 'tls' ? { ...where, ssl: { rejectUnauthorized: false } } : where;
}

function textsOf(rows: unknown): readonly string[] {
  const [first] = Array.isArray(rows) ? (rows as readonly object[]) : [];
  return Object.values(first ?? {}).map(String);
}
