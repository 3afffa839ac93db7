/** The console as tests use it: plain requests, as no browser sends them, and tables to drop. */
import http from 'node:http';
import https from 'node:https';
import { asking } from './asking.js';
import type { OnServer } from './on-servers.js';
import { adminOf, type ProxyProcess, spawnProxy, type Variables } from './proxy.js';
import { query, type Target, type TestServer } from './servers.js';

export interface AskedOfConsole {
  readonly method?: string;
  readonly headers?: http.OutgoingHttpHeaders;
  readonly body?: string | undefined;
  /** `user:password`, for HTTP Basic. */
  readonly auth?: string | undefined;
  /** Default: without TLS. */
  readonly tls?: boolean;
}

export interface ToldByConsole {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly text: string;
}

/** Rejects if the answer is cut off. By default it GETs, or, with a body, POSTs. */
export function askConsole(
  proxy: ProxyProcess,
  path: string,
  { headers = {}, body, auth, tls = false, ...asked }: AskedOfConsole,
): Promise<ToldByConsole> {
  const [host = '', port] = adminOf(proxy).split(':');
  const { method = body === undefined ? 'GET' : 'POST' } = asked;
  const login = auth === undefined ? {} : { auth };
  const at = { host, port: Number(port), agent: false, rejectUnauthorized: false };
  const how = { ...at, method, path, headers, ...login };
  return new Promise((resolve, reject) => {
    const request = (tls ? https : http).request(how, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString();
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text });
      });
      // Whoever still sends a body that is too long may lose the end of the answer.
      response.once('close', () => reject(new Error('the answer was cut off')));
    });
    request.on('error', reject);
    request.end(body);
  });
}

export const PASSWORD = 'a secret of the test';
/** May do all in the schema of a test. */
export const OWNER = 'console_owner';
/** Tests make it. */
export const OPERATOR = 'console_operator';

/** A console in front of the server, and for each test an empty schema with its owner. */
export function consoleOn(server: TestServer, on: OnServer, variables: Variables = {}) {
  on.freshLedger();
  const schema = on.each.schema('console');
  const account = on.each.accounts(PASSWORD);
  const hold = { HOLD: '2d', MIN_HOLD: '1h', MAX_HOLD: '30d', ADMIN_LISTEN: '127.0.0.1:0' };
  const spawn = (more: Variables = {}) => spawnProxy(server, { ...hold, ...variables, ...more });
  const proxy = on.open(() => spawn());
  on.beforeEach(() => account(OWNER, `ALL ON ${schema.name}.*`));
  /** Makes each of these tables, with two rows, and drops it through the proxy. */
  const drop = async (...tables: readonly string[]) => {
    for (const table of tables) {
      const name = `${schema.name}.\`${table.replaceAll('`', '``')}\``;
      await query(server, `CREATE TABLE ${name} (id INT)`, `INSERT INTO ${name} VALUES (1), (2)`);
      await query(proxy, `DROP TABLE ${name}`);
    }
  };
  const tables = () => tablesIn(server, schema.name);
  /** Of the table that was dropped last. */
  const newestId = async () =>
    (await asking(server).cell('SELECT id FROM _undrop.ledger ORDER BY id DESC LIMIT 1')) ?? '';
  return { schema, account, spawn, proxy, drop, tables, newestId };
}

/** Basic of HTTP. */
export function basic(user: string, password = PASSWORD): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
}

/** A call of a tool, as a message of MCP. */
export function callOf(name: string, given: object = {}): string {
  const params = { name, arguments: given };
  return JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params });
}

/** Both of `/mcp`: it answers in one of them. */
export const MCP_TYPES = { accept: 'application/json, text/event-stream' };

/** The names of the tables that are there. */
export function tablesIn(server: Target, schema: string): Promise<readonly string[]> {
  return asking(server).column(
    `SELECT TABLE_NAME AS name FROM information_schema.TABLES
     WHERE TABLE_SCHEMA = '${schema}' ORDER BY 1`,
  );
}
