/**
 * `undrop mcp`: the tools on standard input and output, as a program that an agent starts. It logs
 * in to undrop by UNDROP_MCP_URL, at the first call and after each end of its session.
 *
 * Invariants: standard output has messages of MCP alone; no message or error has the password.
 */
import { readFileSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import type { ConnectionOptions } from 'mysql2/promise';
import { UndropError } from '../errors.js';
import { type Flags, type Shell, versionOfPackage, wrongUsage } from '../faces/cli/settings.js';
import { newMcpServer } from '../faces/console/mcp/tools.js';
import { errnoOf, openSqlSession, type SqlSession } from '../faces/console/session.js';
import * as ER from '../wire/server-errors.js';

const EXPECTED = 'mysql://user:password@host:port/schema, the address of undrop';

/** Runs until its standard input ends. Rejects with UNDROP_CONFIG if there is no address. */
export async function runMcp(_flags: Flags, { env, stderr }: Shell): Promise<number> {
  const sessions = new Sessions(addressIn(env));
  const calls = new Set<Promise<unknown>>();
  const server = newMcpServer({
    version: versionOfPackage(),
    inSession: (work) => {
      const call = sessions.open().then(work);
      const done = call.catch(() => undefined).finally(() => calls.delete(done));
      calls.add(done);
      return call;
    },
    onDefect: (error) => stderr.write(`undrop: ${String(error)}\n`),
  });
  const { stdin, stdout } = process;
  const ended = new Promise<void>((resolve) => {
    stdin.once('end', resolve).once('close', resolve);
    stdout.once('error', () => resolve());
    // After more bytes without the end of a line than it takes.
    server.server.onclose = resolve;
  });
  // Each answer that waits for a slow reader has one.
  stdout.setMaxListeners(0);
  await server.connect(new StdioServerTransport(stdin, stdout));
  await ended;
  // The last messages of a pipe begin their calls, and get their answers.
  do {
    await setImmediate();
    await Promise.all(calls);
    await setImmediate();
  } while (calls.size > 0);
  await server.close();
  sessions.end();
  return 0;
}

/** The session of all calls. */
class Sessions {
  readonly #address: ConnectionOptions;
  #opening: Promise<SqlSession> | null = null;

  constructor(address: ConnectionOptions) {
    this.#address = address;
  }

  /** That which is open, or a new one. Rejects as `openUndrop` does. */
  async open(): Promise<SqlSession> {
    this.#opening ??= openUndrop(this.#address);
    const opening = this.#opening;
    const session = await opening.catch(() => null);
    if (session?.isOpen) return session;
    if (this.#opening === opening) this.#opening = null;
    return session === null ? opening : this.open();
  }

  end(): void {
    void this.#opening?.then(
      (session) => session.end(),
      () => undefined,
    );
  }
}

/** Rejects as `openSqlSession` does, and with UNDROP_CONFIG if it isn't undrop. */
async function openUndrop(address: ConnectionOptions): Promise<SqlSession> {
  const session = await openSqlSession(address).catch((error: unknown) => {
    // Its schema may be what was dropped.
    if (errnoOf(error) !== ER.BAD_DB_ERROR) throw error;
    const { database: _dropped, ...server } = address;
    return openSqlSession(server);
  });
  try {
    await session.rows("SHOW DROPPED DATABASES LIKE ''");
    return session;
  } catch (error) {
    session.end();
    const isOther = errnoOf(error) === ER.PARSE_ERROR;
    throw isOther ? wrongUrl(`a server without undrop in front at ${address.host}`) : error;
  }
}

function wrongUrl(found: string): UndropError {
  return wrongUsage(`UNDROP_MCP_URL: expected ${EXPECTED}; found ${found}.`);
}

/** Throws UNDROP_CONFIG. */
function addressIn(env: NodeJS.ProcessEnv): ConnectionOptions {
  const path = env['UNDROP_MCP_URL_FILE'];
  const text =
    path === undefined ? env['UNDROP_MCP_URL'] : read('UNDROP_MCP_URL_FILE', path).trim();
  if (text === undefined) throw wrongUrl('nothing, also no UNDROP_MCP_URL_FILE');
  try {
    return addressOf(new URL(text));
  } catch (error) {
    throw error instanceof UndropError ? error : wrongUrl('another text');
  }
}

/** Throws UNDROP_CONFIG, or an error of a part that is no part of a URL. */
function addressOf(url: URL): ConnectionOptions {
  if (url.protocol !== 'mysql:' || url.username === '') throw wrongUrl('another address');
  const [user, password, database] = [url.username, url.password, url.pathname.slice(1)];
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const ca = url.searchParams.get('ssl-ca');
  // Without that the certificate of undrop is mostly one that it has made for itself.
  const ssl = ca === null ? { rejectUnauthorized: false } : { ca: read('ssl-ca', ca) };
  return {
    ...{ host, port: Number(url.port || '3306') },
    user: decodeURIComponent(user),
    password: decodeURIComponent(password),
    ...(database !== '' && { database: decodeURIComponent(database) }),
    ...((ca !== null || !LOCAL.includes(host)) && { ssl }),
    connectAttributes: { program_name: 'undrop mcp' },
  };
}

const LOCAL = ['localhost', '127.0.0.1', '::1'];

function read(name: string, path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const { message } = error as Error;
    throw wrongUsage(`${name}: expected a readable file, found ${message}.`);
  }
}
