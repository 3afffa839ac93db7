/**
 * The API of the console (`/api/v1`): JSON over HTTP, with the account of a person by HTTP Basic.
 * It is there on the machine itself alone, until the listener has TLS.
 *
 * Invariants: what an account may do, the server decides, statement by statement. A request of
 * another origin, or to a name that is not this listener's, does nothing. No error has a password
 * in it.
 */
import type http from 'node:http';
import { Hono, type MiddlewareHandler } from 'hono';
import { AUDIT_EVENTS } from '../audit.js';
import { isHoldId } from '../names/names.js';
import { OPENAPI } from './assets.js';
import {
  getTable,
  isOperator,
  listDropped,
  type Params,
  planTable,
  type RestoreWay,
  readLimit,
  textIn,
  undropTable,
  wrongParam,
} from './dropped-tables.js';
import { ASK, type FailureAnswer, failureAnswer, RETRY, refusedBy } from './failures.js';
import type { Foreign, Gate } from './gate.js';
import type { OperatorDoor } from './operator.js';
import { type Bindings, type ConsoleOptions, readText, type Serve, serverOf } from './serve.js';
import type { ConsoleSession, SignIn } from './session.js';

interface ApiEnv {
  Bindings: Bindings;
  Variables: { readonly session: ConsoleSession; readonly body: Params };
}

const BODY_BYTES_MAX = 65_536;
/** Each has a session with the proxy. */
const REQUESTS_MAX = 32;
const HEADERS = { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' };

export function newApi({ gate, operator, version, log, problems }: ConsoleOptions): Serve {
  const api = new Hono<ApiEnv>().basePath('/api/v1');
  api.use(({ env: { incoming } }, next) => {
    const foreign = gate.whyForeign(incoming) ?? whyNoJson(incoming);
    if (foreign !== null) throw wrongParam(...foreign);
    return next();
  });
  api.get('/openapi.json', () => json(OPENAPI));
  api.use(withSession(gate));
  api.get('/status', async () => {
    const found = await problems();
    return json({ version, isReady: found.length === 0, problems: found });
  });
  api.get('/tables', async (c) => json(await listDropped(c.var.session, c.req.query())));
  api.get('/tables/:id', async (c) => json(await getTable(c.var.session, c.req.param('id'))));
  api.get('/tables/:id/plan', async (c) => {
    const way = wayOf({ ...c.req.query(), keys: c.req.query('keys') === 'true' });
    return json(await planTable(c.var.session, c.req.param('id'), way));
  });
  api.post('/tables/:id/restore', async (c) => {
    const id = c.req.param('id');
    const { info, warnings } = await undropTable(c.var.session, id, wayOf(c.var.body));
    return json({ id, action: 'restore', message: info, warnings });
  });
  api.get('/history', async (c) => {
    if (await isOperator(c.var.session)) return json(await readEvents(operator, c.req.query()));
    const cause = 'this needs UPDATE on `_undrop`.`ledger`';
    return refuse(403, 'UNDROP_API_DENIED', {}, { cause });
  });
  api.notFound(({ env: { incoming }, req, var: { session } }) => {
    if (session === undefined) throw wrongParam('the URL', '/api/v1/…', incoming.url);
    return refuse(404, 'UNDROP_API_ROUTE', {}, { route: `${incoming.method} ${req.path}` });
  });
  api.onError((error) => {
    const failure = failureAnswer(error);
    if (failure !== null) return json(failure.body, failure);
    log.error({ event: 'admin', err: error }, 'cannot answer an API request');
    return refuse(500, 'UNDROP_INTERNAL', {}, { reference: 'its log' });
  });
  return serverOf(api, { methods: ['GET', 'POST'], headers: HEADERS });
}

function json(body: object, { status, headers }: Partial<FailureAnswer> = {}): Response {
  const all = { 'content-type': 'application/json', ...headers };
  return new Response(`${JSON.stringify(body)}\n`, { status: status ?? 200, headers: all });
}

/** Throws UNDROP_API_REQUEST, also for a misspelt `to`: the name would be another one. */
function wayOf({ to, keys = false, ...others }: Params): RestoreWay {
  const [other] = Object.entries(others);
  if (other !== undefined) throw wrongParam('parameter', 'to or keys', other[0]);
  if (typeof keys !== 'boolean') throw wrongParam('keys', 'true or false', keys);
  return { to: textIn({ to }, 'to'), keys, swap: false };
}

/** The kinds of events that the history has. */
const HISTORY_EVENTS: readonly string[] = Object.entries(AUDIT_EVENTS).flatMap(
  ([name, { isKept }]) => (isKept ? [name] : []),
);

/** A page, newest first; `next`: the cursor of the next one. Rejects with UNDROP_API_REQUEST. */
async function readEvents(operator: OperatorDoor, params: Params) {
  const limit = readLimit(params['limit']);
  const [event, cursor] = [textIn(params, 'event'), textIn(params, 'cursor')];
  if (event !== null && !HISTORY_EVENTS.includes(event)) {
    throw wrongParam('event', HISTORY_EVENTS.join(', '), event);
  }
  if (cursor !== null && !isHoldId(cursor)) throw wrongParam('cursor', 'a value of "next"', cursor);
  const [who, table] = [textIn(params, 'who'), textIn(params, 'table')];
  const lines = await operator.history({ event, who, table, cursor, limit: limit + 1 });
  const events = lines.slice(0, limit);
  return { events, next: lines.length > limit ? (events.at(-1)?.seq ?? null) : null };
}

function refuse(...about: Parameters<typeof refusedBy>): Response {
  const answer = refusedBy(...about);
  return json(answer.body, answer);
}

/** A session of the account, until the request is answered. */
function withSession(gate: Gate): MiddlewareHandler<ApiEnv> {
  let open = 0;
  return async (c, next) => {
    const { incoming } = c.env;
    const account = accountOf(incoming);
    if (account === null) return refuse(401, 'UNDROP_API_SIGN_IN', ASK);
    c.set('body', incoming.method === 'POST' ? await readBody(incoming) : {});
    // Only now: a body that comes slowly takes no place.
    if (open >= REQUESTS_MAX) return refuse(503, 'UNDROP_API_BUSY', RETRY);
    open++;
    try {
      const session = await gate.signIn(incoming, account);
      if (session === 'too many') return refuse(429, 'UNDROP_API_BUSY', RETRY);
      if (session === 'refused') return refuse(401, 'UNDROP_API_SIGN_IN', ASK);
      c.set('session', session);
      return await next().finally(() => session.end());
    } finally {
      open--;
    }
  };
}

/** A form of another page can send neither this type nor an Authorization. */
function whyNoJson({ method, headers }: http.IncomingMessage): Foreign | null {
  const type = headers['content-type']?.split(';')[0]?.trim().toLowerCase();
  const isJson = type === 'application/json';
  return method === 'POST' && !isJson ? ['Content-Type', 'application/json', type] : null;
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
  if (text === '') return {};
  try {
    const body: unknown = JSON.parse(text);
    if (typeof body === 'object' && body !== null && !Array.isArray(body)) return { ...body };
  } catch {
    // It is none, either.
  }
  throw wrongParam('body', 'an object in JSON', text);
}
