/**
 * The API of the console (`/api/v1`): JSON over HTTP, with the account of a person by HTTP Basic.
 * It is there on the machine itself alone, until the listener has TLS.
 *
 * Invariants: what an account may do, the server decides, statement by statement. A request of
 * another origin, or to a name that is not this listener's, does nothing. No error has a password
 * in it.
 */
import type http from 'node:http';
import { isIP } from 'node:net';
import { ERRORS, type ErrorCode, UndropError } from '../errors.js';
import type { Log } from '../log.js';
import { isHoldId } from '../names/names.js';
import { ACCESS_DENIED, ER_CON_COUNT_ERROR, ER_UNKNOWN_ERROR } from '../wire/server-errors.js';
import {
  ACTIONS,
  changeTable,
  getTable,
  listDropped,
  type Params,
  planTable,
  type TableAction,
  wrongParam,
} from './dropped-tables.js';
import { OPENAPI } from './openapi.js';
import { type ConsoleSession, openSession, type ProxyDoor, type SignIn } from './session.js';
import { SignInTries, type SignInTry } from './sign-in-tries.js';

export interface ApiOptions {
  readonly door: ProxyDoor;
  /** UNDROP_ADMIN_HOSTS: names by which this listener is reached, beside those of the machine. */
  readonly hosts: readonly string[];
  readonly version: string;
  readonly log: Log;
  /** Why clients can't be served; empty: they can. */
  problems(): Promise<readonly string[]>;
  readonly monotonicMs: () => number;
}

interface ApiAnswer {
  readonly status: number;
  readonly body: object;
  readonly headers?: Readonly<Record<string, string>>;
}

interface Call {
  readonly method: string;
  readonly path: readonly string[];
  readonly query: Params;
  readonly body: Params;
}

const BODY_BYTES_MAX = 65_536;
/** Each has a session with the proxy. */
const REQUESTS_MAX = 32;
const LOCAL_NAMES = ['localhost', '127.0.0.1', '[::1]'];

export class Api {
  readonly #options: ApiOptions;
  readonly #tries: SignInTries;
  #open = 0;

  constructor(options: ApiOptions) {
    this.#options = options;
    this.#tries = new SignInTries(options.monotonicMs);
  }

  /** Never rejects. */
  async answer(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    let answer: ApiAnswer;
    this.#open++;
    try {
      answer = await this.#answer(request);
    } catch (error) {
      answer = errorAnswer(error) ?? this.#defect(error);
    } finally {
      this.#open--;
    }
    const { status, body, headers = {} } = answer;
    response.writeHead(status, {
      'content-type': 'application/json',
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      // The rest of a body is not read.
      ...(request.complete ? {} : { connection: 'close' }),
      ...headers,
    });
    response.end(`${JSON.stringify(body)}\n`, () => {
      if (!request.complete) request.destroy();
    });
  }

  async #answer(request: http.IncomingMessage): Promise<ApiAnswer> {
    if (this.#open > REQUESTS_MAX) return refused(503, 'UNDROP_API_BUSY', RETRY);
    const foreign = this.#whyForeign(request);
    if (foreign !== null) throw wrongParam(...foreign);
    const { path, query } = readUrl(request.url ?? '/');
    const { method = 'GET' } = request;
    if (method === 'GET' && path.join() === 'openapi.json') return { status: 200, body: OPENAPI };
    const account = accountOf(request);
    if (account === null) return refused(401, 'UNDROP_API_SIGN_IN', ASK);
    const body = method === 'POST' ? await readBody(request) : {};
    const address = request.socket.remoteAddress ?? '';
    const signIn = await this.#tries.begin(address, account.user);
    if (signIn === null) return refused(429, 'UNDROP_API_BUSY', RETRY);
    const session = await this.#signIn(account, signIn);
    if (session === null) {
      const user = account.user.slice(0, SHOWN_CHARACTERS_MAX);
      this.#options.log.warn(
        { event: 'admin', address, user },
        'refused a sign-in, because the server refuses the account',
      );
      return refused(401, 'UNDROP_API_SIGN_IN', ASK);
    }
    try {
      return await this.#run(session, { method, path, query, body });
    } finally {
      session.end();
    }
  }

  /** Null: the server refuses the account. */
  async #signIn(account: SignIn, { end }: SignInTry): Promise<ConsoleSession | null> {
    try {
      const session = await openSession(this.#options.door, account);
      end('not refused');
      return session;
    } catch (error) {
      const isRefused = !NOT_THE_ACCOUNT.has(errnoOf(error));
      end(isRefused ? 'refused' : 'not refused');
      if (isRefused) return null;
      throw error;
    }
  }

  async #run(session: ConsoleSession, call: Call): Promise<ApiAnswer> {
    const { method, path, query, body } = call;
    const [what, id, action, ...more] = path;
    if (method === 'GET' && what === 'status' && id === undefined) {
      const { version, problems } = this.#options;
      const found = await problems();
      return { status: 200, body: { version, isReady: found.length === 0, problems: found } };
    }
    if (what === 'tables' && more.length === 0) {
      if (method === 'GET' && id === undefined) {
        return { status: 200, body: await listDropped(session, query) };
      }
      if (id !== undefined && !isHoldId(id)) throw wrongParam('id', 'the 32 digits of an id', id);
      if (method === 'GET' && id !== undefined && action === undefined) {
        return { status: 200, body: await getTable(session, id) };
      }
      if (method === 'GET' && id !== undefined && action === 'plan') {
        return { status: 200, body: await planTable(session, id, query) };
      }
      if (method === 'POST' && id !== undefined && isAction(action)) {
        return { status: 200, body: await changeTable(session, { id, action, body }) };
      }
    }
    const route = `${method} /api/v1/${path.join('/')}`.slice(0, SHOWN_CHARACTERS_MAX);
    return refused(404, 'UNDROP_API_ROUTE', {}, { route });
  }

  /** Parameters of `wrongParam`; null: it comes from here. */
  #whyForeign({ headers, socket, method }: http.IncomingMessage): Foreign | null {
    const { host = '', origin } = headers;
    const name = host.replace(/:\d+$/, '').toLowerCase();
    const local = socket.localAddress ?? '';
    const names = [
      ...LOCAL_NAMES,
      ...this.#options.hosts,
      isIP(local) === 6 ? `[${local}]` : local,
    ];
    if (name === '' || !names.includes(name))
      return ['Host', 'a name in UNDROP_ADMIN_HOSTS, or localhost', host];
    if (origin !== undefined && origin.toLowerCase() !== `http://${host.toLowerCase()}`) {
      return ['Origin', 'the console itself', origin];
    }
    // A form of another page can send neither this type nor an Authorization.
    const type = headers['content-type']?.split(';')[0]?.trim().toLowerCase();
    const isJson = type === 'application/json';
    return method === 'POST' && !isJson ? ['Content-Type', 'application/json', type] : null;
  }

  #defect(error: unknown): ApiAnswer {
    this.#options.log.error({ event: 'admin', err: error }, 'cannot answer an API request');
    return refused(500, 'UNDROP_INTERNAL', {}, { reference: 'its log' });
  }
}

type Foreign = readonly [name: string, expected: string, found: unknown];

function isAction(text: string | undefined): text is TableAction {
  return text !== undefined && Object.hasOwn(ACTIONS, text);
}

/** Throws UNDROP_API_REQUEST. */
function readUrl(text: string): Pick<Call, 'path' | 'query'> {
  const url = URL.canParse(text, 'http://localhost') ? new URL(text, 'http://localhost') : null;
  const [, , version, ...path] = url?.pathname.split('/') ?? [];
  if (url === null || version !== 'v1') throw wrongParam('the URL', '/api/v1/…', text);
  return { path, query: Object.fromEntries(url.searchParams) };
}

/** By HTTP Basic; null: there is none. */
function accountOf({ headers }: http.IncomingMessage): SignIn | null {
  const [, encoded] = /^basic ([A-Za-z0-9+/]+=*)$/i.exec(headers.authorization ?? '') ?? [];
  const text = Buffer.from(encoded ?? '', 'base64').toString();
  const colon = text.indexOf(':');
  return colon < 1 ? null : { user: text.slice(0, colon), password: text.slice(colon + 1) };
}

/** Rejects with UNDROP_API_REQUEST. */
async function readBody(request: http.IncomingMessage): Promise<Params> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > BODY_BYTES_MAX) throw wrongParam('body', `at most ${BODY_BYTES_MAX} bytes`, 'more');
    chunks.push(chunk);
  }
  if (bytes === 0) return {};
  const text = Buffer.concat(chunks).toString();
  try {
    const body: unknown = JSON.parse(text);
    if (typeof body === 'object' && body !== null && !Array.isArray(body)) return { ...body };
  } catch {
    // It is none, either.
  }
  throw wrongParam('body', 'an object in JSON', text);
}

// ── errors ───────────────────────────────────────────────────────────────────────────────────────

const SHOWN_CHARACTERS_MAX = 100;
const ASK = { 'www-authenticate': 'Basic realm="undrop", charset="UTF-8"' };
const RETRY = { 'retry-after': '60' };

const STATUS_OF_CODE: Readonly<Partial<Record<string, number>>> = {
  UNDROP_API_REQUEST: 400,
  UNDROP_BAD_TARGET: 400,
  UNDROP_NO_SUCH_HELD: 404,
  UNDROP_INTERNAL: 500,
  UNDROP_SERVICE_FAILED: 503,
  UNDROP_UPSTREAM_UNREACHABLE: 503,
};
const DENIED: ReadonlySet<number> = new Set(ACCESS_DENIED);
/** Errors of a login that say nothing of the account; 0: the network. */
const NOT_THE_ACCOUNT = new Set([0, ER_CON_COUNT_ERROR, ER_UNKNOWN_ERROR]);

function refused(
  status: number,
  code: ErrorCode,
  headers: Readonly<Record<string, string>> = {},
  params: Record<string, string> = {},
): ApiAnswer {
  const { message } = new UndropError(code, params);
  return { status, headers, body: errorBody(code, message) };
}

function errorBody(code: string, words: string): object {
  const remedy = Object.hasOwn(ERRORS, code) ? ERRORS[code as ErrorCode].remedy : '';
  const isLast = remedy !== '' && words.endsWith(` ${remedy}`);
  const message = isLast ? words.slice(0, -remedy.length - 1) : words;
  return { error: { code, message, remedy: isLast ? remedy : '' } };
}

/** Null: a defect of undrop. */
function errorAnswer(error: unknown): ApiAnswer | null {
  if (error instanceof UndropError) {
    const status = STATUS_OF_CODE[error.code] ?? 409;
    return { status, body: errorBody(error.code, error.message) };
  }
  const { sqlMessage, code = '' } = error as { readonly sqlMessage?: string; code?: unknown };
  if (sqlMessage === undefined) {
    const isNetwork = typeof code === 'string' && /^(E[A-Z]+|PROTOCOL_[A-Z_]+)$/.test(code);
    return isNetwork ? refused(503, 'UNDROP_API_AWAY', RETRY, { cause: String(code) }) : null;
  }
  const [, own, words] = /^(UNDROP_[A-Z_]+): (.*)$/s.exec(sqlMessage) ?? [];
  if (own !== undefined && words !== undefined) {
    return { status: STATUS_OF_CODE[own] ?? 409, body: errorBody(own, words) };
  }
  const cause = sqlMessage.slice(0, CAUSE_CHARACTERS_MAX);
  if (DENIED.has(errnoOf(error))) return refused(403, 'UNDROP_API_DENIED', {}, { cause });
  return refused(409, 'UNDROP_API_SERVER', {}, { cause });
}

const CAUSE_CHARACTERS_MAX = 1_000;

/** 0: it isn't of a server. */
function errnoOf(error: unknown): number {
  const { errno, sqlMessage } = error as { readonly errno?: unknown; sqlMessage?: unknown };
  return typeof errno === 'number' && sqlMessage !== undefined ? errno : 0;
}
