/**
 * The API of the console (`/api/v1`): JSON over HTTP, with the account of a person by HTTP Basic.
 * It is there on the machine itself alone, until the listener has TLS.
 *
 * Invariants: what an account may do, the server decides, statement by statement. A request of
 * another origin, or to a name that is not this listener's, does nothing. No error has a password
 * in it.
 */
import type http from 'node:http';
import type { Log } from '../log.js';
import { isHoldId } from '../names/names.js';
import {
  changeTable,
  getTable,
  isAction,
  isOperator,
  listDropped,
  type Params,
  planTable,
  wrongParam,
} from './dropped-tables.js';
import { ASK, failureAnswer, RETRY, refusedBy } from './failures.js';
import { type Foreign, type Gate, readText } from './gate.js';
import { OPENAPI } from './openapi.js';
import { pauseOf, readEvents } from './operate.js';
import type { Actor, OperatorDoor } from './operator.js';
import type { ConsoleSession, SignIn } from './session.js';

export interface ApiOptions {
  readonly gate: Gate;
  readonly operator: OperatorDoor;
  readonly version: string;
  readonly log: Log;
  /** Why clients can't be served; empty: they can. */
  problems(): Promise<readonly string[]>;
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
const SHOWN_CHARACTERS_MAX = 100;
/** Each has a session with the proxy. */
const REQUESTS_MAX = 32;

export class Api {
  readonly #options: ApiOptions;
  #open = 0;

  constructor(options: ApiOptions) {
    this.#options = options;
  }

  /** Never rejects. */
  async answer(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    let answer: ApiAnswer;
    try {
      answer = await this.#answer(request);
    } catch (error) {
      answer = failureAnswer(error) ?? this.#defect(error);
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
    const { gate } = this.#options;
    const foreign = gate.whyForeign(request) ?? whyNoJson(request);
    if (foreign !== null) throw wrongParam(...foreign);
    const { path } = readUrl(request.url ?? '/');
    const { method = 'GET' } = request;
    if (method === 'GET' && path.join() === 'openapi.json') return { status: 200, body: OPENAPI };
    const account = accountOf(request);
    if (account === null) return refusedBy(401, 'UNDROP_API_SIGN_IN', ASK);
    const body = method === 'POST' ? await readBody(request) : {};
    // Only now: a body that comes slowly takes no place.
    if (this.#open >= REQUESTS_MAX) return refusedBy(503, 'UNDROP_API_BUSY', RETRY);
    this.#open++;
    try {
      return await this.#answerWhole(request, account, body);
    } finally {
      this.#open--;
    }
  }

  async #answerWhole(
    request: http.IncomingMessage,
    account: SignIn,
    body: Params,
  ): Promise<ApiAnswer> {
    const { gate } = this.#options;
    const { path, query } = readUrl(request.url ?? '/');
    const { method = 'GET' } = request;
    const session = await gate.signIn(request, account);
    if (session === 'too many') return refusedBy(429, 'UNDROP_API_BUSY', RETRY);
    if (session === 'refused') return refusedBy(401, 'UNDROP_API_SIGN_IN', ASK);
    try {
      const call = { method, path, query, body };
      const who = { user: account.user, client: request.socket.remoteAddress ?? '' };
      return (await this.#operate(session, call, who)) ?? (await this.#run(session, call));
    } finally {
      session.end();
    }
  }

  /** Null: it isn't for operators. */
  async #operate(session: ConsoleSession, call: Call, who: Actor): Promise<ApiAnswer | null> {
    const { operator } = this.#options;
    const { query, body } = call;
    const [what, id = '', action] = call.path;
    const route = [call.method, what, ...call.path.slice(2)].join(' ');
    if (!FOR_OPERATORS.has(route) || (id !== '' && action === undefined)) return null;
    if (action !== undefined) await getTable(session, id);
    if (!(await isOperator(session))) {
      const cause = 'this needs UPDATE on `_undrop`.`ledger`';
      return refusedBy(403, 'UNDROP_API_DENIED', {}, { cause });
    }
    if (what === 'history') return { status: 200, body: await readEvents(operator, query) };
    if (what === 'pause') await operator.pause(who, pauseOf(body));
    if (what === 'resume') await operator.resume(who);
    if (what === 'tables') await operator.pin(who, id);
    return { status: 200, body: { isDone: true } };
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
    return refusedBy(404, 'UNDROP_API_ROUTE', {}, { route });
  }

  #defect(error: unknown): ApiAnswer {
    this.#options.log.error({ event: 'admin', err: error }, 'cannot answer an API request');
    return refusedBy(500, 'UNDROP_INTERNAL', {}, { reference: 'its log' });
  }
}

/** A form of another page can send neither this type nor an Authorization. */
function whyNoJson({ method, headers }: http.IncomingMessage): Foreign | null {
  const type = headers['content-type']?.split(';')[0]?.trim().toLowerCase();
  const isJson = type === 'application/json';
  return method === 'POST' && !isJson ? ['Content-Type', 'application/json', type] : null;
}

const FOR_OPERATORS = new Set(['GET history', 'POST pause', 'POST resume', 'POST tables pin']);

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
  const text = await readText(request, BODY_BYTES_MAX);
  if (text === null) throw wrongParam('body', `at most ${BODY_BYTES_MAX} bytes`, 'more');
  if (text === '') return {};
  try {
    const body: unknown = JSON.parse(text);
    if (typeof body === 'object' && body !== null && !Array.isArray(body)) return { ...body };
  } catch {
    // It is none, either.
  }
  throw wrongParam('body', 'an object in JSON', text);
}
