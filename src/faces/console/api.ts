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
import { AUDIT_EVENTS } from '../../audit.js';
import { UndropError } from '../../errors.js';
import { isHoldId } from '../../names/names.js';
import { OPENAPI } from './assets.js';
import * as tables from './dropped-tables.js';
import { failureBy, failureOf, type HttpFailure } from './failures.js';
import type { Gate } from './gate.js';
import { answerMcp } from './mcp/http.js';
import type { Operator } from './operator.js';
import { type Bindings, type ConsoleOptions, readBody, type Serve, serverOf } from './serve.js';
import type { ConsoleSession, SignIn } from './session.js';

interface ApiEnv {
  Bindings: Bindings;
  Variables: { readonly session: ConsoleSession; readonly body: tables.Params };
}

const BODY_BYTES_MAX = 65_536;
/** Each has a session with the proxy. */
const REQUESTS_MAX = 32;
const UNDONE_BY = ['drop', 'schema', 'user', 'program', 'since', 'until'];
const HEADERS = { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' };

export function newApi({ gate, operator, version, log, problems }: ConsoleOptions): Serve {
  const root = new Hono<ApiEnv>();
  const api = root.basePath('/api/v1');
  root.use(({ env: { incoming } }, next) => {
    const foreign = gate.whyForeign(incoming);
    if (foreign !== null) throw tables.wrongParam(...foreign);
    return next();
  });
  api.get('/openapi.json', () => json(OPENAPI));
  root.use(withSession(gate));
  api.get('/status', async () => {
    const found = await problems();
    return json({ version, isReady: found.length === 0, problems: found });
  });
  api.get('/tables', async (c) => json(await tables.listDropped(c.var.session, c.req.query())));
  api.get('/tables/:id', async (c) =>
    json(await tables.getTable(c.var.session, c.req.param('id'))),
  );
  api.get('/tables/:id/plan', async (c) => {
    const way = wayOf({ ...c.req.query(), keys: c.req.query('keys') === 'true' });
    return json(await tables.planTable(c.var.session, c.req.param('id'), way));
  });
  api.post('/tables/:id/restore', async (c) => {
    const id = c.req.param('id');
    const { info, warnings } = await tables.undropTable(c.var.session, id, wayOf(c.var.body));
    return json({ id, action: 'restore', message: info, warnings });
  });
  api.post('/undo', async (c) => {
    const { swap, partial, ...what } = c.var.body;
    assertConditions(what);
    const way = { swap: flagIn({ swap }), partial: flagIn({ partial }) };
    const { info, warnings } = await c.var.session.change(tables.undropManyText(what, way));
    return json({ action: 'undo', message: info, warnings });
  });
  api.get('/history', async (c) => {
    if (await tables.isOperator(c.var.session))
      return json(await readEvents(operator, c.req.query()));
    const cause = 'this needs UPDATE on `_undrop`.`ledger`';
    throw new UndropError('UNDROP_API_DENIED', { cause });
  });
  root.post('/mcp', ({ env: { incoming }, var: { session, body } }) =>
    answerMcp(incoming, { body, session, version, log }),
  );
  root.all('/mcp', ({ env: { incoming } }) => {
    const wrong = new UndropError('UNDROP_API_ROUTE', { route: `${incoming.method} /mcp` });
    return refuse({ ...failureBy(wrong), status: 405, headers: { allow: 'POST' } });
  });
  root.notFound(({ env: { incoming }, req, var: { session } }) => {
    if (session === undefined)
      throw tables.wrongParam('the URL', '/api/v1/… or /mcp', incoming.url);
    throw new UndropError('UNDROP_API_ROUTE', { route: `${incoming.method} ${req.path}` });
  });
  root.onError((error) => {
    const known = failureOf(error);
    if (known !== null) return refuse(known);
    log.error({ event: 'admin', err: error }, 'cannot answer an API request');
    return refuse(failureBy(new UndropError('UNDROP_INTERNAL', { reference: 'its log' })));
  });
  return serverOf(root, { methods: ['GET', 'POST'], headers: HEADERS });
}

/** Throws UNDROP_API_REQUEST: with one that is misspelt or empty, more would be undone. */
function assertConditions(what: tables.Params): void {
  for (const [name, value] of Object.entries(what)) {
    if (!UNDONE_BY.includes(name)) throw tables.wrongParam('parameter', UNDONE_BY.join(', '), name);
    if (value === null || value === '') throw tables.wrongParam(name, 'a text', value);
  }
}

function json(body: object, status = 200, headers: HttpFailure['headers'] = {}): Response {
  const all = { 'content-type': 'application/json', ...headers };
  return new Response(`${JSON.stringify(body)}\n`, { status, headers: all });
}

function refuse({ status, headers, code, message, remedy }: HttpFailure): Response {
  return json({ error: { code, message, remedy } }, status, headers);
}

/** Throws UNDROP_API_REQUEST, also for a misspelt `to`: the name would be another one. */
function wayOf({ to, keys, ...others }: tables.Params): tables.RestoreWay {
  const [other] = Object.entries(others);
  if (other !== undefined) throw tables.wrongParam('parameter', 'to or keys', other[0]);
  return { to: tables.textIn({ to }, 'to'), keys: flagIn({ keys }), swap: false };
}

/** The value of one parameter, by default false. Throws UNDROP_API_REQUEST. */
function flagIn(param: tables.Params): boolean {
  const [name = '', found = false] = Object.entries(param)[0] ?? [];
  if (typeof found !== 'boolean') throw tables.wrongParam(name, 'true or false', found);
  return found;
}

/** The kinds of events that the history has. */
const HISTORY_EVENTS: readonly string[] = Object.entries(AUDIT_EVENTS).flatMap(
  ([name, { isKept }]) => (isKept ? [name] : []),
);

/** A page, newest first; `next`: the cursor of the next one. Rejects with UNDROP_API_REQUEST. */
async function readEvents(operator: Operator, params: tables.Params) {
  const limit = tables.readLimit(params['limit']);
  const [event, cursor] = [tables.textIn(params, 'event'), tables.textIn(params, 'cursor')];
  if (event !== null && !HISTORY_EVENTS.includes(event)) {
    throw tables.wrongParam('event', HISTORY_EVENTS.join(', '), event);
  }
  if (cursor !== null && !isHoldId(cursor))
    throw tables.wrongParam('cursor', 'a value of "next"', cursor);
  const [who, table] = [tables.textIn(params, 'who'), tables.textIn(params, 'table')];
  const lines = await operator.history({ event, who, table, cursor, limit: limit + 1 });
  const events = lines.slice(0, limit);
  return { events, next: lines.length > limit ? (events.at(-1)?.seq ?? null) : null };
}

/** A session of the account, until the request is answered. */
function withSession(gate: Gate): MiddlewareHandler<ApiEnv> {
  let open = 0;
  return async (c, next) => {
    const { incoming } = c.env;
    const account = accountOf(incoming);
    if (account === null) throw new UndropError('UNDROP_API_SIGN_IN');
    c.set('body', incoming.method === 'POST' ? await readJson(incoming) : {});
    const busy = new UndropError('UNDROP_API_BUSY');
    // Only now: a body that comes slowly takes no place.
    if (open >= REQUESTS_MAX) throw busy;
    open++;
    try {
      const session = await gate.signIn(incoming, account);
      if (session === 'too many') return refuse({ ...failureBy(busy), status: 429 });
      if (session === 'refused') throw new UndropError('UNDROP_API_SIGN_IN');
      c.set('session', session);
      return await next().finally(() => session.end());
    } finally {
      open--;
    }
  };
}

/** By HTTP Basic; null: there is none. */
function accountOf({ headers }: http.IncomingMessage): SignIn | null {
  const [, encoded] = /^basic ([A-Za-z0-9+/]+=*)$/i.exec(headers.authorization ?? '') ?? [];
  const text = Buffer.from(encoded ?? '', 'base64').toString();
  const colon = text.indexOf(':');
  return colon < 1 ? null : { user: text.slice(0, colon), password: text.slice(colon + 1) };
}

/**
 * Rejects with UNDROP_API_REQUEST. A form of another page can send neither this type nor an
 * Authorization.
 */
async function readJson(request: http.IncomingMessage): Promise<tables.Params> {
  const text = await readBody(request, { type: 'application/json', bytesMax: BODY_BYTES_MAX });
  if (text === '') return {};
  try {
    const body: unknown = JSON.parse(text);
    if (typeof body === 'object' && body !== null && !Array.isArray(body)) return { ...body };
  } catch {
    // It is none, either.
  }
  throw tables.wrongParam('body', 'an object in JSON', text);
}
