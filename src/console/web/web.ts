/**
 * The pages of the console (`/console`): rendered here, complete without a script. A person signs
 * in by an account of the server, and each page and form is done by the functions that the API has,
 * in that person's own session.
 *
 * Invariants: a request that changes something has the token of its person's page and comes from
 * the same origin. Operators' functions are called only for people whom the server has named
 * operators. No page, log line or error has a password.
 */
import type http from 'node:http';
import { type Log, report } from '../../log.js';
import { isOperator } from '../dropped-tables.js';
import { failureAnswer } from '../failures.js';
import type { Gate } from '../gate.js';
import type { OperatorDoor } from '../operator.js';
import { BASE, link } from '../pages/layout.js';
import { SCRIPT } from '../pages/script.js';
import { signInPage } from '../pages/sign-in.js';
import { STYLE } from '../pages/style.js';
import { asset, type PageAnswer, Pages, seeOther, wordsOf } from './answers.js';
import { Forms } from './forms.js';
import { isSameSecret, type People, type Person } from './people.js';
import { cookieOf, cookieText, type Form, ownPath, readForm, readUrl } from './requests.js';
import { Shows } from './show.js';

export interface WebOptions {
  readonly gate: Gate;
  readonly people: People;
  readonly operator: OperatorDoor;
  readonly version: string;
  readonly log: Log;
  problems(): Promise<readonly string[]>;
}

const REQUESTS_MAX = 64;
/** A page that follows what it shows sends it: nobody has used it. */
const FOLLOWS = 'x-undrop-follows';

const SAFE = {
  'content-security-policy':
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'same-origin',
  'cross-origin-opener-policy': 'same-origin',
};

export class Web {
  readonly #options: WebOptions;
  readonly #pages: Pages;
  readonly #shows: Shows;
  readonly #forms: Forms;
  #open = 0;

  constructor(options: WebOptions) {
    this.#options = options;
    this.#pages = new Pages(options.version);
    const shared = { ...options, pages: this.#pages };
    this.#shows = new Shows(shared);
    this.#forms = new Forms(shared);
  }

  /** Never rejects. */
  async answer(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    let answer: PageAnswer;
    try {
      answer = await this.#answer(request);
    } catch (error) {
      answer = this.#failed(error, null);
    }
    const { status, headers, text } = answer;
    response.writeHead(status, {
      'cache-control': 'no-store',
      ...SAFE,
      ...(request.complete ? {} : { connection: 'close' }),
      ...headers,
    });
    response.end(request.method === 'HEAD' ? '' : text, () => {
      if (!request.complete) request.destroy();
    });
  }

  async #answer(request: http.IncomingMessage): Promise<PageAnswer> {
    const { gate } = this.#options;
    const method = request.method === 'HEAD' ? 'GET' : (request.method ?? 'GET');
    const url = readUrl(request.url ?? '/');
    const { path } = url;
    const foreign = gate.whyForeign(request);
    if (foreign !== null) {
      const [name, expected] = foreign;
      return this.#pages.problem(403, 'Refused', `Expected ${name} to be ${expected}.`, null);
    }
    if (method === 'GET' && path.length === 1 && path[0] === 'style.css')
      return asset(STYLE, 'text/css');
    if (method === 'GET' && path.length === 1 && path[0] === 'script.js') {
      return asset(SCRIPT, 'text/javascript');
    }
    if (method !== 'GET' && method !== 'POST') {
      return this.#pages.problem(405, 'Not allowed', 'Expected GET or POST.', null);
    }
    const form = method === 'POST' ? await readForm(request) : null;
    // Only now: a body that comes slowly takes no place.
    if (this.#open >= REQUESTS_MAX) {
      return this.#pages.problem(503, 'Busy', 'Too many requests at once: try again.', null);
    }
    this.#open++;
    try {
      return await this.#answerWhole(request, form, url);
    } finally {
      this.#open--;
    }
  }

  async #answerWhole(
    request: http.IncomingMessage,
    form: Form | null,
    { path, query }: ReturnType<typeof readUrl>,
  ): Promise<PageAnswer> {
    const { people } = this.#options;
    if (path[0] === 'sign-in' && path.length === 1) {
      return form === null
        ? this.#signInForm(query.get('next'), null)
        : this.#signIn(request, form);
    }
    const isUse = request.headers[FOLLOWS] === undefined;
    const person = people.find(cookieOf(request) ?? '', { isUse });
    if (person === null) {
      const next = form === null ? ownPath(request.url ?? null) : BASE;
      return seeOther(link('/sign-in', { next }));
    }
    const visit = { person, path, query };
    try {
      // Operators may have lost the privilege. The page of work under way doesn't wait for it.
      if (person.isOperator && path[0] !== 'jobs') {
        person.isOperator = await isOperator(person.session);
      }
      if (form === null) return await this.#shows.get(visit);
      if (!isSameSecret(form.get('token') ?? '', person.token)) {
        return this.#pages.problem(
          403,
          'Refused',
          'This form is of an older page: go back, load it again, and send it again.',
          person,
        );
      }
      return await this.#forms.post(visit, form);
    } catch (error) {
      if (!person.session.isOpen) {
        people.end(person);
        return this.#signInForm(BASE, 'The connection to the server has ended: sign in again.');
      }
      return this.#failed(error, person);
    }
  }

  // ── signing in and out ─────────────────────────────────────────────────────────────────────────

  async #signIn(request: http.IncomingMessage, form: Form): Promise<PageAnswer> {
    const { gate, people, log } = this.#options;
    const [user, password] = [form.get('user') ?? '', form.get('password') ?? ''];
    const next = ownPath(form.get('next'));
    if (people.isFull)
      return this.#signInForm(next, 'Too many people are signed in: try again later.', 503);
    let session: Awaited<ReturnType<Gate['signIn']>>;
    try {
      session = user === '' ? 'refused' : await gate.signIn(request, { user, password });
    } catch (error) {
      const failure = failureAnswer(error);
      if (failure === null) throw error;
      return this.#signInForm(
        next,
        `${failure.body.error.message} ${failure.body.error.remedy}`,
        failure.status,
      );
    }
    if (session === 'too many') {
      return this.#signInForm(next, 'Too many sign-ins have failed: wait a minute.', 429);
    }
    if (session === 'refused') {
      return this.#signInForm(
        next,
        'The server does not let this account in with this password.',
        401,
      );
    }
    const before = people.find(cookieOf(request) ?? '');
    if (before !== null) people.end(before);
    const address = request.socket.remoteAddress ?? '';
    let secret: string;
    try {
      secret = people.add({ user, address, session, isOperator: await isOperator(session) });
    } catch (error) {
      session.end();
      throw error;
    }
    report(log, [{ event: 'signed-in', user, client: address, threadId: null }]);
    return {
      ...seeOther(next),
      headers: { location: next, 'set-cookie': cookieText(request, secret) },
    };
  }

  #signInForm(next: string | null, problem: string | null, status = 200): PageAnswer {
    const body = signInPage({ next: ownPath(next), problem });
    return this.#pages.page(status, { title: 'Sign in', body }, null);
  }

  #failed(error: unknown, person: Person | null): PageAnswer {
    const failure = failureAnswer(error);
    if (failure !== null)
      return this.#pages.problem(failure.status, 'Not done', wordsOf(error), person);
    this.#options.log.error(
      { event: 'admin', err: error },
      'cannot answer a request of the console',
    );
    return this.#pages.problem(500, 'Failed', 'A defect of undrop; its log says more.', person);
  }
}
