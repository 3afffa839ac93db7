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
import { parseDuration } from '../duration.js';
import type { HistoryLine } from '../ledger/overview.js';
import type { Log } from '../log.js';
import { isHoldId } from '../names/names.js';
import {
  type ConsoleTable,
  changeTable,
  getTable,
  isNewestDrop,
  isOperator,
  listDropped,
  listDropsOf,
  maySelectAll,
  type Params,
  planTable,
  type TableAction,
  tablesOfDrop,
  undropSchema,
  wrongParam,
} from './dropped-tables.js';
import { failureAnswer } from './failures.js';
import { type Gate, isSecure, readText } from './gate.js';
import { type Html, html } from './html.js';
import { pauseOf, readEvents } from './operate.js';
import type { Actor, OperatorDoor } from './operator.js';
import { dropPage, jobPage } from './pages/drop.js';
import { BASE, layout, link, type Page } from './pages/layout.js';
import { collectorPage, healthPage, historyPage } from './pages/operations.js';
import { overviewPage } from './pages/overview.js';
import { SCRIPT } from './pages/script.js';
import { signInPage } from './pages/sign-in.js';
import { STYLE } from './pages/style.js';
import { tablePage } from './pages/table.js';
import { FILTER, type Filter, KINDS, shownName, tablesPage } from './pages/tables.js';
import { isSameSecret, type Job, newSecret, type People, type Person } from './people.js';

export interface WebOptions {
  readonly gate: Gate;
  readonly people: People;
  readonly operator: OperatorDoor;
  readonly version: string;
  readonly log: Log;
  problems(): Promise<readonly string[]>;
}

interface Answer {
  readonly status: number;
  readonly headers: http.OutgoingHttpHeaders;
  readonly text: string;
}

interface Visit {
  readonly request: http.IncomingMessage;
  readonly person: Person;
  readonly path: readonly string[];
  readonly query: URLSearchParams;
}

type Form = URLSearchParams;

const BODY_BYTES_MAX = 262_144;
const REQUESTS_MAX = 64;
const EVENTS_OF_OVERVIEW = 10;
const EVENTS_OF_PAGE = 100;
const EVENTS_OF_FILE = 10_000;
const FOLLOW_S = 10;
const FOLLOW_JOB_S = 1;
const ASSET_S = 86_400;

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
  #open = 0;

  constructor(options: WebOptions) {
    this.#options = options;
  }

  /** Never rejects. */
  async answer(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    let answer: Answer;
    this.#open++;
    try {
      answer = await this.#answer(request);
    } catch (error) {
      answer = this.#failed(error, null);
    } finally {
      this.#open--;
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

  async #answer(request: http.IncomingMessage): Promise<Answer> {
    const { gate, people } = this.#options;
    const method = request.method === 'HEAD' ? 'GET' : (request.method ?? 'GET');
    const { path, query } = readUrl(request.url ?? '/');
    const foreign = gate.whyForeign(request);
    if (foreign !== null) {
      const [name, expected] = foreign;
      return this.#problem(403, 'Refused', `Expected ${name} to be ${expected}.`, null);
    }
    if (this.#open > REQUESTS_MAX) {
      return this.#problem(503, 'Busy', 'Too many requests at once: try again.', null);
    }
    if (method === 'GET' && path.length === 1 && path[0] === 'style.css')
      return asset(STYLE, 'text/css');
    if (method === 'GET' && path.length === 1 && path[0] === 'script.js') {
      return asset(SCRIPT, 'text/javascript');
    }
    if (method !== 'GET' && method !== 'POST') {
      return this.#problem(405, 'Not allowed', 'Expected GET or POST.', null);
    }
    const form = method === 'POST' ? await readForm(request) : null;
    if (path[0] === 'sign-in' && path.length === 1) {
      return form === null
        ? this.#signInForm(query.get('next'), null)
        : this.#signIn(request, form);
    }
    const person = people.find(cookieOf(request) ?? '');
    if (person === null) {
      const next =
        method === 'GET'
          ? `${BASE}${path.map((part) => `/${encodeURIComponent(part)}`).join('')}`
          : BASE;
      return seeOther(link('/sign-in', { next }));
    }
    const visit: Visit = { request, person, path, query };
    try {
      if (form === null) return await this.#get(visit);
      if (!isSameSecret(form.get('token') ?? '', person.token)) {
        return this.#problem(
          403,
          'Refused',
          'This form is of an older page: go back, load it again, and send it again.',
          person,
        );
      }
      return await this.#post(visit, form);
    } catch (error) {
      if (!person.session.isOpen) {
        people.end(person);
        return this.#signInForm(BASE, 'The connection to the server has ended: sign in again.');
      }
      return this.#failed(error, person);
    }
  }

  // ── signing in and out ─────────────────────────────────────────────────────────────────────────

  async #signIn(request: http.IncomingMessage, form: Form): Promise<Answer> {
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
    const secret = people.add({ user, address, session, isOperator: await isOperator(session) });
    log.info({ event: 'admin', address, user }, 'signed in to the console');
    return {
      ...seeOther(next),
      headers: { location: next, 'set-cookie': cookieText(request, secret) },
    };
  }

  #signInForm(next: string | null, problem: string | null, status = 200): Answer {
    const body = signInPage({ next: ownPath(next), problem });
    return this.#page(status, { title: 'Sign in', body }, null);
  }

  // ── pages ──────────────────────────────────────────────────────────────────────────────────────

  async #get(visit: Visit): Promise<Answer> {
    const { person, path } = visit;
    const [what, id, ...more] = path;
    if (what === undefined) return this.#overview(person);
    if (what === 'tables' && id === undefined) return this.#tables(visit);
    if (what === 'tables' && id !== undefined && more.length === 0) return this.#table(visit, id);
    if (what === 'drops' && id !== undefined && more.length === 0) {
      const body = dropPage(person, id, await tablesOfDrop(person.session, id));
      return this.#page(200, { title: 'A drop', body, at: '/tables' }, person);
    }
    if (what === 'jobs' && id !== undefined && more.length === 0) return this.#job(person, id);
    if (id === undefined && person.isOperator) {
      if (what === 'history') return this.#history(visit);
      if (what === 'collector') return this.#collector(person);
      if (what === 'health') return this.#health(person);
    }
    if (id === undefined && ['history', 'collector', 'health'].includes(what)) {
      return this.#problem(
        403,
        'For operators',
        'This page is for accounts that may UPDATE `_undrop`.`ledger`.',
        person,
      );
    }
    return this.#problem(404, 'Not found', 'There is no such page.', person);
  }

  async #overview(person: Person): Promise<Answer> {
    const { operator, problems } = this.#options;
    const now = new Date();
    const status = person.isOperator ? await operator.status() : null;
    const body = overviewPage({
      problems: await problems(),
      attention: status?.attention ?? [],
      summary: person.isOperator
        ? await operator.summary()
        : summaryOf((await listDropped(person.session, { limit: '1000' })).tables),
      collector: person.isOperator ? await operator.collector() : null,
      services: status?.services ?? [],
      events: person.isOperator ? await operator.history({ limit: EVENTS_OF_OVERVIEW }) : [],
      now,
    });
    return this.#page(200, { title: 'Overview', body, at: '', followS: FOLLOW_S }, person);
  }

  async #tables({ person, query }: Visit): Promise<Answer> {
    const filter = Object.fromEntries(
      FILTER.map((name) => [name, query.get(name) ?? '']),
    ) as Filter;
    if (filter.kind !== '' && !KINDS.includes(filter.kind))
      throw wrongParam('kind', KINDS.join(', '), filter.kind);
    const isSorted = filter.sort !== '' && filter.sort !== 'dropped';
    const params: Params = { ...filter, cursor: query.get('cursor') };
    const page =
      filter.view === 'tables' || isSorted
        ? { drops: null, ...(await listDropped(person.session, params)) }
        : { tables: null, ...(await listDropsOf(person.session, params)) };
    const body = tablesPage({ viewer: person, filter, ...page });
    return this.#page(200, { title: 'Dropped tables', body, at: '/tables' }, person);
  }

  async #table({ person, query }: Visit, id: string): Promise<Answer> {
    if (!isHoldId(id)) throw wrongParam('id', 'the 32 digits of an id', id);
    const table = await getTable(person.session, id);
    const [to, swap, keys] = [query.get('to') ?? '', query.has('swap'), query.has('keys')];
    const how = { to, swap: String(swap), keys: String(keys) };
    const plan =
      table.state === 'HOLD'
        ? await planTable(person.session, id, how).catch((error: unknown) => wordsOf(error))
        : '';
    const details = await this.#options.operator.detailsOf(id);
    const { schema } = table;
    const mayRead = schema !== null && (await maySelectAll(person.session, schema));
    const rows =
      mayRead && query.has('rows')
        ? await this.#options.operator.rowsOf(actorOf(person), id)
        : null;
    const asked = { to, swap, keys };
    const body = tablePage({ viewer: person, table, details, asked, plan, mayRead, rows });
    return this.#page(200, { title: shownName(table), body, at: '/tables' }, person);
  }

  async #job(person: Person, id: string): Promise<Answer> {
    const job = person.jobs.get(id);
    if (job === undefined) return this.#problem(404, 'Not found', 'There is no such work.', person);
    const page = { title: job.title, body: jobPage(job), at: '/tables' };
    return this.#page(200, job.isOver ? page : { ...page, followS: FOLLOW_JOB_S }, person);
  }

  async #history({ person, query }: Visit): Promise<Answer> {
    const params = Object.fromEntries(query);
    const format = query.get('format');
    const limit = format === null ? EVENTS_OF_PAGE : EVENTS_OF_FILE;
    const { events, next } = await readEvents(this.#options.operator, params, limit);
    if (format === 'csv') return fileAnswer(csvOf(events), 'text/csv; charset=utf-8');
    if (format === 'jsonl') {
      const text = events.map((line) => `${JSON.stringify(line)}\n`).join('');
      return fileAnswer(text, 'application/x-ndjson');
    }
    const filter = { event: '', who: '', table: '', ...params };
    const body = historyPage({ filter, lines: events, next });
    return this.#page(200, { title: 'History', body, at: '/history' }, person);
  }

  async #collector(person: Person): Promise<Answer> {
    const { operator } = this.#options;
    const body = collectorPage(person, await operator.collector(), await operator.summary());
    return this.#page(
      200,
      { title: 'Collector', body, at: '/collector', followS: FOLLOW_S },
      person,
    );
  }

  async #health(person: Person): Promise<Answer> {
    const { operator } = this.#options;
    const body = healthPage({
      findings: await operator.findings(),
      settings: operator.settings,
      certificates: operator.certificates,
      services: (await operator.status())?.services ?? [],
    });
    return this.#page(200, { title: 'Health', body, at: '/health', followS: FOLLOW_S }, person);
  }

  // ── forms ──────────────────────────────────────────────────────────────────────────────────────

  async #post(visit: Visit, form: Form): Promise<Answer> {
    const { person, path } = visit;
    const [what, id, action, ...more] = path;
    if (what === 'sign-out' && id === undefined) {
      this.#options.people.end(person);
      return seeOther(link('/sign-in'));
    }
    if (what === 'tables' && id === 'selected' && action === undefined)
      return this.#selected(visit, form);
    if (what === 'tables' && id !== undefined && action !== undefined && more.length === 0) {
      return this.#change(visit, { id, action, form });
    }
    if (what === 'drops' && id !== undefined && action === 'restore' && more.length === 0) {
      return this.#restoreDrop(person, id);
    }
    if (what === 'collector' && more.length === 0 && action === undefined && person.isOperator) {
      if (id === 'pause') return this.#pause(person, form);
      if (id === 'resume') {
        await this.#options.operator.resume(actorOf(person));
        return done(
          person,
          '/collector',
          'The pause is ended: collectors continue within seconds.',
        );
      }
    }
    return this.#problem(404, 'Not found', 'There is no such form.', person);
  }

  async #change(
    { person }: Visit,
    { id, action, form }: { readonly id: string; readonly action: string; readonly form: Form },
  ): Promise<Answer> {
    if (!isHoldId(id)) throw wrongParam('id', 'the 32 digits of an id', id);
    const here = `/tables/${id}`;
    if (action === 'pin') {
      if (!person.isOperator)
        return this.#problem(403, 'For operators', 'Only operators pin a table.', person);
      await getTable(person.session, id);
      await this.#options.operator.pin(actorOf(person), id);
      return done(person, here, 'Pinned: it is held until it is unpinned.');
    }
    if (!isAction(action)) return this.#problem(404, 'Not found', 'There is no such form.', person);
    if (action === 'purge') {
      const name = shownName(await getTable(person.session, id));
      if (form.get('name') !== name) {
        return failed(person, here, `Not purged: expected ${name} to be typed.`);
      }
    }
    const body = { to: form.get('to'), keys: form.get('keys') === 'on', for: form.get('for') };
    try {
      const { message, warnings } = await changeTable(person.session, { id, action, body });
      const back = action === 'hold' || action === 'purge' ? here : '/tables';
      return done(person, back, [message || 'Done.', ...warnings].join(' '));
    } catch (error) {
      if (!person.session.isOpen) throw error;
      return failed(person, here, wordsOf(error));
    }
  }

  async #selected({ person }: Visit, form: Form): Promise<Answer> {
    const [ids, action] = [form.getAll('id'), form.get('action') ?? ''];
    const back = ownPath(form.get('back')).slice(BASE.length);
    if (!ids.every(isHoldId)) throw wrongParam('id', 'ids of 32 digits', ids);
    if (ids.length === 0) return failed(person, back, 'Nothing is chosen.');
    if (action === 'pin' && !person.isOperator) {
      return this.#problem(403, 'For operators', 'Only operators pin a table.', person);
    }
    if (action === 'purge' && form.get('number') !== String(ids.length)) {
      return failed(
        person,
        back,
        `Nothing was purged: expected their number, ${ids.length}, to be typed.`,
      );
    }
    if (action !== 'pin' && (!isAction(action) || action === 'swap')) {
      throw wrongParam('action', 'restore, hold, pin or purge', action);
    }
    if (action === 'hold' && parseDuration(form.get('for') ?? '') === null) {
      return failed(person, back, 'Expected a duration like 30d to hold them for.');
    }
    const one = async (id: string): Promise<string> => {
      const name = shownName(await getTable(person.session, id));
      if (action === 'pin') {
        await this.#options.operator.pin(actorOf(person), id);
        return `${name} is pinned.`;
      }
      const body = { for: action === 'hold' ? form.get('for') : null };
      const { message } = await changeTable(person.session, {
        id,
        action: action as TableAction,
        body,
      });
      return message || name;
    };
    const job = newJob(person, {
      title: TITLES[action] ?? action,
      total: ids.length,
      back: `${BASE}${back}`,
    });
    void this.#work(job, ids, one);
    return seeOther(link(`/jobs/${job.id}`));
  }

  /** A dropped schema as a whole, with its views and routines; of others each table. */
  async #restoreDrop(person: Person, dropId: string): Promise<Answer> {
    const tables = (await tablesOfDrop(person.session, dropId)).filter(
      ({ state }) => state === 'HOLD',
    );
    const [first] = tables;
    if (first === undefined)
      return failed(person, '/tables', 'Nothing of this statement is in HOLD any more.');
    const back = link(`/drops/${dropId}`);
    const job = newJob(person, { title: 'Restore', total: tables.length, back });
    const { schema } = first;
    const isDroppedSchema = first.how === 'DROP DATABASE' && schema !== null;
    if (isDroppedSchema && (await isNewestDrop(person.session, { schema, dropId }))) {
      void this.#workOnSchema(job, { person, schema, dropId });
    } else {
      void this.#work(
        job,
        tables.map(({ id }) => id),
        async (id) => {
          const { message } = await changeTable(person.session, {
            id,
            action: 'restore',
            body: {},
          });
          return message;
        },
      );
    }
    return seeOther(link(`/jobs/${job.id}`));
  }

  async #work(
    job: Job,
    ids: readonly string[],
    one: (id: string) => Promise<string>,
  ): Promise<void> {
    for (const id of ids) {
      try {
        job.messages.push(await one(id));
        job.done++;
      } catch (error) {
        job.failed.push(`${id}: ${wordsOf(error)}`);
      }
    }
    job.isOver = true;
  }

  /** Its progress is counted in the ledger. */
  async #workOnSchema(
    job: Job,
    {
      person,
      schema,
      dropId,
    }: { readonly person: Person; readonly schema: string; readonly dropId: string },
  ): Promise<void> {
    const { operator, log } = this.#options;
    const looking = setInterval(() => {
      operator.leftOf(dropId).then(
        (left) => {
          job.done = Math.max(job.done, Math.min(job.total, job.total - left));
        },
        (err: unknown) =>
          log.debug({ event: 'admin', err }, 'cannot read the progress of a restore'),
      );
    }, FOLLOW_JOB_S * 500);
    try {
      const { info, warnings } = await undropSchema(person.session, schema);
      job.messages.push(info, ...warnings);
      job.done = job.total;
    } catch (error) {
      job.failed.push(wordsOf(error));
    } finally {
      clearInterval(looking);
      job.isOver = true;
    }
  }

  async #pause(person: Person, form: Form): Promise<Answer> {
    try {
      const how = pauseOf(Object.fromEntries(form));
      await this.#options.operator.pause(actorOf(person), how);
    } catch (error) {
      return failed(person, '/collector', wordsOf(error));
    }
    return done(
      person,
      '/collector',
      'Paused: nothing held is moved on, purged or removed. Drops are still held.',
    );
  }

  // ── answers ────────────────────────────────────────────────────────────────────────────────────

  #page(status: number, page: Page, person: Person | null): Answer {
    const { version } = this.#options;
    const { text } = layout(page, person, version);
    if (person !== null) person.flash = null;
    return { status, headers: { 'content-type': 'text/html; charset=utf-8' }, text };
  }

  #problem(status: number, title: string, text: string, person: Person | null): Answer {
    const body: Html = html`<p class="flash bad" role="alert">${text}</p><p><a href="${BASE}">To the overview</a></p>`;
    return this.#page(status, { title, body }, person);
  }

  #failed(error: unknown, person: Person | null): Answer {
    const failure = failureAnswer(error);
    if (failure !== null) return this.#problem(failure.status, 'Not done', wordsOf(error), person);
    this.#options.log.error(
      { event: 'admin', err: error },
      'cannot answer a request of the console',
    );
    return this.#problem(500, 'Failed', 'A defect of undrop; its log says more.', person);
  }
}

const TITLES: Readonly<Record<string, string>> = {
  restore: 'Restore',
  hold: 'Hold for longer',
  pin: 'Pin',
  purge: 'Purge',
};

function isAction(action: string): action is TableAction {
  return ['restore', 'swap', 'hold', 'purge'].includes(action);
}

function wordsOf(error: unknown): string {
  const failure = failureAnswer(error);
  if (failure === null) throw error;
  const { message, remedy } = failure.body.error;
  return remedy === '' ? message : `${message} ${remedy}`;
}

function actorOf({ user, address }: Person): Actor {
  return { user, client: address };
}

function newJob(person: Person, about: Pick<Job, 'title' | 'total' | 'back'>): Job {
  const job: Job = { ...about, id: newSecret(), done: 0, messages: [], failed: [], isOver: false };
  // The last few are kept for whoever goes back.
  const over = [...person.jobs.values()].filter(({ isOver }) => isOver);
  for (const { id } of over.slice(0, -JOBS_KEPT)) person.jobs.delete(id);
  person.jobs.set(job.id, job);
  return job;
}

const JOBS_KEPT = 5;

function done(person: Person, path: string, text: string): Answer {
  person.flash = { text, isError: false };
  return seeOther(`${BASE}${path}`);
}

function failed(person: Person, path: string, text: string): Answer {
  person.flash = { text, isError: true };
  return seeOther(`${BASE}${path}`);
}

/** The browser then GETs it. */
function seeOther(location: string): Answer {
  return { status: 303, headers: { location }, text: '' };
}

function asset(text: string, type: string): Answer {
  const headers = {
    'content-type': `${type}; charset=utf-8`,
    'cache-control': `max-age=${ASSET_S}`,
  };
  return { status: 200, headers, text };
}

function fileAnswer(text: string, type: string): Answer {
  return {
    status: 200,
    headers: { 'content-type': type, 'content-disposition': 'attachment' },
    text,
  };
}

/** A text that a spreadsheet would take for a formula begins with a quote. */
function csvOf(lines: readonly HistoryLine[]): string {
  const cell = (value: string | null) => {
    const text = /^[=+\-@\t\r]/.test(value ?? '') ? `'${value}` : (value ?? '');
    return `"${text.replaceAll('"', '""')}"`;
  };
  const rows = lines.map(({ at, event, table, id, dropId, who, details }) =>
    [at, event, table, id, dropId, who, JSON.stringify(details)].map(cell).join(','),
  );
  return ['at,event,table,id,dropId,who,details', ...rows].map((row) => `${row}\r\n`).join('');
}

/** The same figures of at most 1,000 tables, for people who see only their own. */
function summaryOf(tables: readonly ConsoleTable[]): Parameters<typeof overviewPage>[0]['summary'] {
  const states = new Map<string, { state: string; tables: number; bytes: number }>();
  const days = new Map<string, { day: string; tables: number; bytes: number }>();
  const hours = new Map<string, { hour: string; kind: string; drops: number }>();
  const drops = new Set<string>();
  for (const { state, bytes, expiresAt, droppedAt, how, dropId, id } of tables) {
    const ofState = states.get(state ?? '') ?? { state: state ?? '', tables: 0, bytes: 0 };
    states.set(state ?? '', ofState);
    ofState.tables++;
    ofState.bytes += bytes ?? 0;
    if (expiresAt !== null && state === 'HOLD') {
      const day = expiresAt.slice(0, 10);
      const ofDay = days.get(day) ?? { day, tables: 0, bytes: 0 };
      days.set(day, ofDay);
      ofDay.tables++;
      ofDay.bytes += bytes ?? 0;
    }
    if (droppedAt === null || drops.has(dropId ?? id)) continue;
    drops.add(dropId ?? id);
    const [hour, kind] = [`${droppedAt.slice(0, 13)}:00:00Z`, how ?? 'other'];
    const ofHour = hours.get(`${hour} ${kind}`) ?? { hour, kind, drops: 0 };
    hours.set(`${hour} ${kind}`, ofHour);
    ofHour.drops++;
  }
  return {
    states: [...states.values()],
    days: [...days.values()].sort((one, other) => (one.day < other.day ? -1 : 1)),
    hours: [...hours.values()],
    pinned: tables.filter(({ state, expiresAt }) => state === 'HOLD' && expiresAt === null).length,
    isPart: tables.length >= 1_000,
  };
}

// ── requests ─────────────────────────────────────────────────────────────────────────────────────

/** Throws UNDROP_API_REQUEST. */
function readUrl(text: string): {
  readonly path: readonly string[];
  readonly query: URLSearchParams;
} {
  const url = URL.canParse(text, 'http://localhost') ? new URL(text, 'http://localhost') : null;
  const [, base, ...parts] = url?.pathname.split('/') ?? [];
  if (url === null || `/${base}` !== BASE) throw wrongParam('the URL', `${BASE}/…`, text);
  const path = parts
    .filter((part) => part !== '')
    .map((part) => {
      try {
        return decodeURIComponent(part);
      } catch {
        throw wrongParam('the URL', 'a path', text);
      }
    });
  return { path, query: url.searchParams };
}

/** Rejects with UNDROP_API_REQUEST. */
async function readForm(request: http.IncomingMessage): Promise<Form> {
  const type = request.headers['content-type']?.split(';')[0]?.trim().toLowerCase();
  const expected = 'application/x-www-form-urlencoded';
  if (type !== expected) throw wrongParam('Content-Type', expected, type);
  const text = await readText(request, BODY_BYTES_MAX);
  if (text === null) throw wrongParam('body', `at most ${BODY_BYTES_MAX} bytes`, 'more');
  return new URLSearchParams(text);
}

/** A page of the console, and no other address. */
function ownPath(text: string | null): string {
  return text !== null && /^\/console(?:[/?][\x21-\x7e]*)?$/.test(text) && !text.includes('\\')
    ? text
    : BASE;
}

/** Cookies know no ports: that of another proxy on this machine stays. */
function cookieName({ headers }: http.IncomingMessage): string {
  const [, port = 'default'] = /:(\d+)$/.exec(headers.host ?? '') ?? [];
  return `undrop_session_${port}`;
}

function cookieOf(request: http.IncomingMessage): string | null {
  const name = cookieName(request);
  for (const one of (request.headers.cookie ?? '').split(';')) {
    const [key, value] = one.trim().split('=');
    if (key === name && value !== undefined) return value;
  }
  return null;
}

function cookieText(request: http.IncomingMessage, secret: string): string {
  const secure = isSecure(request.socket) ? '; Secure' : '';
  return `${cookieName(request)}=${secret}; Path=${BASE}; HttpOnly; SameSite=Strict${secure}`;
}
