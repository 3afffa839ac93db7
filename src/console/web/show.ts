/** The pages that people GET. */
import { UndropError } from '../../errors.js';
import type { Summary } from '../../ledger/overview.js';
import { isHoldId } from '../../names/names.js';
import {
  getTable,
  listDropped,
  listDropsOf,
  maySelectAll,
  othersOfName,
  type Params,
  planTable,
  tablesOfDrop,
  wrongParam,
} from '../dropped-tables.js';
import { readEvents } from '../operate.js';
import type { OperatorDoor } from '../operator.js';
import { dropPage, jobPage } from '../pages/drop.js';
import { collectorPage, healthPage, historyPage } from '../pages/operations.js';
import { overviewPage } from '../pages/overview.js';
import { endedPage, tablePage } from '../pages/table.js';
import { FILTER, type Filter, KINDS, shownName, tablesPage } from '../pages/tables.js';
import { csvOf, fileAnswer, type PageAnswer, type Pages, wordsOf } from './answers.js';
import { OWN_TABLES_MAX, summaryOf } from './own-summary.js';
import { actorOf, type Person } from './people.js';

export interface Visit {
  readonly person: Person;
  readonly path: readonly string[];
  readonly query: URLSearchParams;
}

export interface ShowOptions {
  readonly operator: OperatorDoor;
  readonly pages: Pages;
  problems(): Promise<readonly string[]>;
}

const EVENTS_OF_OVERVIEW = 10;
const EVENTS_OF_PAGE = 100;
const EVENTS_OF_FILE = 10_000;
const FOLLOW_S = 10;
const FOLLOW_JOB_S = 1;

export class Shows {
  readonly #options: ShowOptions;
  readonly #pages: Pages;

  constructor(options: ShowOptions) {
    this.#options = options;
    this.#pages = options.pages;
  }

  async get(visit: Visit): Promise<PageAnswer> {
    const { person, path } = visit;
    const [what, id, ...more] = path;
    if (what === undefined) return this.#overview(person);
    if (what === 'tables' && id === undefined) return this.#tables(visit);
    if (what === 'tables' && id !== undefined && more.length === 0) return this.#table(visit, id);
    if (what === 'drops' && id !== undefined && more.length === 0) {
      const body = dropPage(person, id, await tablesOfDrop(person.session, id));
      return this.#pages.page(200, { title: 'A drop', body, at: '/tables' }, person);
    }
    if (what === 'jobs' && id !== undefined && more.length === 0) return this.#job(person, id);
    if (id === undefined && person.isOperator) {
      if (what === 'history') return this.#history(visit);
      if (what === 'collector') return this.#collector(person);
      if (what === 'health') return this.#health(person);
    }
    if (id === undefined && ['history', 'collector', 'health'].includes(what)) {
      return this.#pages.problem(
        403,
        'For operators',
        'This page is for accounts that may UPDATE `_undrop`.`ledger`.',
        person,
      );
    }
    return this.#pages.problem(404, 'Not found', 'There is no such page.', person);
  }

  async #overview(person: Person): Promise<PageAnswer> {
    const { operator, problems } = this.#options;
    const now = new Date();
    // Together, because each of the first two may wait.
    const [status, summary, collector, events] = person.isOperator
      ? await Promise.all([
          operator.status(),
          operator.summary(),
          operator.collector(),
          operator.history({ limit: EVENTS_OF_OVERVIEW }),
        ])
      : [null, await this.#ownSummary(person), null, []];
    const { attention = [], services = [] } = status ?? {};
    const common = { problems: await problems(), summary, collector, events, now };
    const body = overviewPage({ ...common, attention, services });
    return this.#pages.page(200, { title: 'Overview', body, at: '', followS: FOLLOW_S }, person);
  }

  async #ownSummary({ session }: Person): Promise<Summary> {
    return summaryOf((await listDropped(session, { limit: String(OWN_TABLES_MAX) })).tables);
  }

  async #tables({ person, query }: Visit): Promise<PageAnswer> {
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
    const shown = { title: 'Dropped tables', body, at: '/tables', isFilledIn: true };
    const isFirst = !query.has('cursor');
    return this.#pages.page(200, isFirst ? { ...shown, followS: FOLLOW_S } : shown, person);
  }

  async #table({ person, query }: Visit, id: string): Promise<PageAnswer> {
    if (!isHoldId(id)) throw wrongParam('id', 'the 32 digits of an id', id);
    const table = await unlessAbsent(getTable(person.session, id));
    if (table === null) return this.#noLongerHeld(person, id);
    const [to, swap, keys] = [query.get('to') ?? '', query.has('swap'), query.has('keys')];
    const how = { to, swap: String(swap), keys: String(keys) };
    const { schema } = table;
    const { session } = person;
    const [plan, details, mayRead, others] = await Promise.all([
      table.state === 'HOLD' ? planTable(session, id, how).catch(wordsOf) : '',
      this.#options.operator.detailsOf(id),
      schema !== null && maySelectAll(session, schema),
      othersOfName(session, table),
    ]);
    const rows =
      mayRead && query.has('rows')
        ? await this.#options.operator.rowsOf(actorOf(person), id)
        : null;
    const asked = { to, swap, keys };
    const body = tablePage({ viewer: person, table, details, asked, plan, mayRead, others, rows });
    return this.#pages.page(200, { title: shownName(table), body, at: '/tables' }, person);
  }

  async #noLongerHeld(person: Person, id: string): Promise<PageAnswer> {
    const { history } = person.isOperator
      ? await this.#options.operator.detailsOf(id)
      : { history: [] };
    const body = endedPage(id, history);
    return this.#pages.page(404, { title: 'Not held', body, at: '/tables' }, person);
  }

  async #job(person: Person, id: string): Promise<PageAnswer> {
    const job = person.jobs.get(id);
    if (job === undefined)
      return this.#pages.problem(404, 'Not found', 'There is no such work.', person);
    const page = { title: job.title, body: jobPage(job), at: '/tables' };
    return this.#pages.page(200, job.isOver ? page : { ...page, followS: FOLLOW_JOB_S }, person);
  }

  async #history({ person, query }: Visit): Promise<PageAnswer> {
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
    return this.#pages.page(200, { title: 'History', body, at: '/history' }, person);
  }

  async #collector(person: Person): Promise<PageAnswer> {
    const { operator } = this.#options;
    const [collector, summary] = await Promise.all([operator.collector(), operator.summary()]);
    const body = collectorPage(person, collector, summary);
    return this.#pages.page(
      200,
      { title: 'Collector', body, at: '/collector', followS: FOLLOW_S },
      person,
    );
  }

  async #health(person: Person): Promise<PageAnswer> {
    const { operator } = this.#options;
    const [findings, status] = await Promise.all([operator.findings(), operator.status()]);
    const { settings, certificates } = operator;
    const body = healthPage({ findings, settings, certificates, services: status?.services ?? [] });
    return this.#pages.page(
      200,
      { title: 'Health', body, at: '/health', followS: FOLLOW_S },
      person,
    );
  }
}

/** Null: the account sees no such table. */
async function unlessAbsent<T>(found: Promise<T>): Promise<T | null> {
  try {
    return await found;
  } catch (error) {
    if (error instanceof UndropError && error.code === 'UNDROP_NO_SUCH_HELD') return null;
    throw error;
  }
}
