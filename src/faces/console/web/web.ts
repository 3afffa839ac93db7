/**
 * The pages of the console (`/console`): rendered here, complete without a script. A person signs
 * in by an account of the server, and each page and form is done by the functions that the API has,
 * in that person's own session.
 *
 * Invariants: a request that changes something has the token of its person's page and comes from
 * the same origin. Operators' functions are called only for people whom the server has named
 * operators. No page, log line or error has a password.
 */
import { Hono, type Next } from 'hono';
import { report } from '../../../log.js';
import { SCRIPT, STYLE } from '../assets.js';
import { isOperator, wrongParam } from '../dropped-tables.js';
import { failureOf } from '../failures.js';
import { type Gate, isSecure } from '../gate.js';
import { BASE, link } from '../pages/layout.js';
import { type Bindings, type ConsoleOptions, readBody, type Serve, serverOf } from '../serve.js';
import * as answers from './answers.js';
import { ownPath, problem, seeOther, type Visit, type WebApp } from './answers.js';
import { addForms } from './forms.js';
import { isSameSecret, type People, type Person } from './people.js';
import { addPages } from './show.js';

const METHODS = ['GET', 'HEAD', 'POST'];
const REQUESTS_MAX = 64;
/** At once by a person, so that others have places. */
const REQUESTS_OF_PERSON_MAX = 8;
const FORM = { type: 'application/x-www-form-urlencoded', bytesMax: 262_144 };
/** A page that follows what it shows sends it: nobody has used it. */
const FOLLOWS = 'x-undrop-follows';

const HEADERS = {
  'cache-control': 'no-store',
  'content-security-policy':
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'same-origin',
  'cross-origin-opener-policy': 'same-origin',
};

export function newWeb(options: ConsoleOptions): Serve {
  const { people, version, server, log } = options;
  const web = new Hono<answers.WebEnv>({ getPath: pathOf }).basePath(BASE);
  addChecks(web, options.gate);
  web.get('/sign-in', (c) => answers.signInForm(c, ownPath(c.req.query('next') ?? null), null));
  web.post('/sign-in', (c) => signIn(c, options));
  addPerson(web, people);
  addPages(web, options);
  addForms(web, options);
  web.notFound((c) => {
    const person: Person | undefined = c.var.person;
    if (person === undefined) throw wrongParam('the URL', `${BASE}/…`, c.env.incoming.url);
    const what = c.req.method === 'POST' ? 'form' : 'page';
    return problem(c, 404, 'Not found', `There is no such ${what}.`);
  });
  web.onError((error, c) => {
    const person: Person | undefined = c.var.person;
    if (person !== undefined && !person.session.isOpen) {
      people.end(person);
      return answers.signInForm(c, BASE, 'The connection to the server has ended: sign in again.');
    }
    const failure = failureOf(error);
    if (failure !== null) return problem(c, failure.status, 'Not done', answers.wordsOf(error));
    log.error({ event: 'admin', err: error }, 'cannot answer a request of the console');
    return problem(c, 500, 'Failed', 'A defect of undrop; its log says more.');
  });
  return serverOf(
    {
      fetch: (request, env) => web.fetch(request, { ...env, frame: { version, server: server() } }),
    },
    { methods: METHODS, headers: HEADERS },
  );
}

/** Lets requests in that come from here, a bounded number at once, with their forms. */
function addChecks(web: WebApp, gate: Gate): void {
  let open = 0;
  web.use(async (c, next) => {
    const foreign = gate.whyForeign(c.env.incoming);
    if (foreign === null) return next();
    const [name, expected] = foreign;
    return problem(c, 403, 'Refused', `Expected ${name} to be ${expected}.`);
  });
  web.get('/style.css', () => asset(STYLE, 'text/css'));
  web.get('/script.js', () => asset(SCRIPT, 'text/javascript'));
  web.use(async (c, next) => {
    const { method } = c.req;
    if (!METHODS.includes(method)) return problem(c, 405, 'Not allowed', 'Expected GET or POST.');
    if (method === 'POST') {
      const text = await readBody(c.env.incoming, FORM);
      c.set('form', new URLSearchParams(text));
    }
    // Only now: a body that comes slowly takes no place.
    const isFull = open >= REQUESTS_MAX;
    if (isFull) return busy(c);
    open++;
    return next().finally(() => open--);
  });
}

function asset(text: string, type: string): Response {
  const headers = { 'content-type': `${type}; charset=utf-8`, 'cache-control': 'max-age=86400' };
  return new Response(text, { headers });
}

/** From here on somebody is signed in, and has sent the forms. */
function addPerson(web: WebApp, people: People): void {
  web.use(async (c, next) => {
    const { incoming } = c.env;
    const isForm = c.req.method === 'POST';
    const isUse = incoming.headers[FOLLOWS] === undefined;
    const person = people.find(cookieOf(incoming) ?? '', { isUse });
    if (person === null) {
      const next = isForm ? BASE : ownPath(incoming.url ?? null);
      return seeOther(link('/sign-in', { next }));
    }
    c.set('person', person);
    if (person.open >= REQUESTS_OF_PERSON_MAX) return busy(c);
    person.open++;
    return admit(c, next).finally(() => person.open--);
  });
}

/** The rest of a request of somebody who is signed in. */
async function admit(c: Visit, next: Next): Promise<Response | undefined> {
  const { person } = c.var;
  // Operators may have lost the privilege. The page of work under way doesn't wait for it.
  if (person.isOperator && !c.req.path.startsWith(`${BASE}/jobs/`)) {
    person.isOperator = await isOperator(person.session);
  }
  const isForm = c.req.method === 'POST';
  if (!isForm || isSameSecret(c.var.form.get('token') ?? '', person.token)) {
    await next();
    return undefined;
  }
  const text = 'This form is of an older page: go back, load it again, and send it again.';
  return problem(c, 403, 'Refused', text);
}

function busy(c: Visit): Response {
  return problem(c, 503, 'Busy', 'Too many requests at once: try again.');
}

async function signIn(visit: Visit, { gate, people, log }: ConsoleOptions): Promise<Response> {
  const {
    env: { incoming },
    var: { form },
  } = visit;
  const [user, password] = [form.get('user') ?? '', form.get('password') ?? ''];
  const next = ownPath(form.get('next'));
  const again = (text: string, status?: number) => answers.signInForm(visit, next, text, status);
  if (people.isFull) return again('Too many people are signed in: try again later.', 503);
  let session: Awaited<ReturnType<Gate['signIn']>>;
  try {
    session = user === '' ? 'refused' : await gate.signIn(incoming, { user, password });
  } catch (error) {
    return again(answers.wordsOf(error), failureOf(error)?.status);
  }
  if (session === 'too many') return again('Too many sign-ins have failed: wait a minute.', 429);
  if (session === 'refused') {
    return again('The server does not let this account in with this password.', 401);
  }
  const before = people.find(cookieOf(incoming) ?? '');
  if (before !== null) people.end(before);
  const client = incoming.socket.remoteAddress ?? '';
  const mayOperate = await isOperator(session).catch((error: unknown) => {
    session.end();
    throw error;
  });
  const secret = people.add({ user, client, session, isOperator: mayOperate });
  report(log, [{ event: 'signed-in', user, client, threadId: null, program: null }]);
  return seeOther(next, { 'set-cookie': cookieText(incoming, secret) });
}

/** Empty parts of a path mean nothing. */
function pathOf({ url }: Pick<Request, 'url'>): string {
  const parts = new URL(url).pathname.split('/');
  return `/${parts.filter((part) => part !== '').join('/')}`;
}

/** Cookies know no ports: that of another proxy on this machine stays. */
function cookieName({ headers }: Bindings['incoming']): string {
  const [, port = 'default'] = /:(\d+)$/.exec(headers.host ?? '') ?? [];
  return `undrop_session_${port}`;
}

function cookieOf(request: Bindings['incoming']): string | null {
  const name = cookieName(request);
  const all = (request.headers.cookie ?? '').split(';').map((one) => one.trim().split('='));
  return all.find(([key, value]) => key === name && value !== undefined)?.[1] ?? null;
}

function cookieText(request: Bindings['incoming'], secret: string): string {
  const secure = isSecure(request.socket) ? '; Secure' : '';
  return `${cookieName(request)}=${secret}; Path=${BASE}; HttpOnly; SameSite=Strict${secure}`;
}
