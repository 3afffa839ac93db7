/** The pages that people GET. */
import type { MiddlewareHandler } from 'hono';
import { UndropError } from '../../errors.js';
import type { HistoryLine } from '../../ledger/overview.js';
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
import type { ConsoleOptions } from '../serve.js';
import { problem, show, type Visit, type WebApp, type WebEnv, wordsOf } from './answers.js';
import { OWN_TABLES_MAX, summaryOf } from './own-summary.js';
import { actorOf } from './people.js';

const EVENTS_OF_OVERVIEW = 10;
const EVENTS_OF_PAGE = 100;
const EVENTS_OF_FILE = 10_000;
const FOLLOW_S = 10;
const FOLLOW_JOB_S = 1;

export function addPages(app: WebApp, { operator, problems }: ConsoleOptions): void {
  app.get('/', async (c) => showOverview(c, operator, await problems()));
  app.get('/tables', showTables);
  app.get('/tables/:id', (c) => showTable(c, operator, c.req.param('id')));
  app.get('/drops/:id', async (c) => {
    const [{ person }, id] = [c.var, c.req.param('id')];
    const body = dropPage(person, id, await tablesOfDrop(person.session, id));
    return show(c, { title: 'A drop', body, at: '/tables' });
  });
  app.get('/jobs/:id', (c) => {
    const job = c.var.person.jobs.get(c.req.param('id'));
    if (job === undefined) return problem(c, 404, 'Not found', 'There is no such work.');
    const page = { title: job.title, body: jobPage(job), at: '/tables' };
    return show(c, job.isOver ? page : { ...page, followS: FOLLOW_JOB_S });
  });
  app.get('/history', forOperators, (c) => showHistory(c, operator));
  app.get('/collector', forOperators, async (c) => {
    const [collector, summary] = await Promise.all([operator.collector(), operator.summary()]);
    const body = collectorPage(c.var.person, collector, summary);
    return show(c, { title: 'Collector', body, at: '/collector', followS: FOLLOW_S });
  });
  app.get('/health', forOperators, async (c) => {
    const [findings, status] = await Promise.all([operator.findings(), operator.status()]);
    const { settings, certificates } = operator;
    const services = status?.services ?? [];
    const body = healthPage({ findings, settings, certificates, services });
    return show(c, { title: 'Health', body, at: '/health', followS: FOLLOW_S });
  });
}

const forOperators: MiddlewareHandler<WebEnv> = async (c, next) => {
  if (c.var.person.isOperator) return next();
  const text = 'This page is for accounts that may UPDATE `_undrop`.`ledger`.';
  return problem(c, 403, 'For operators', text);
};

async function showOverview(
  visit: Visit,
  operator: OperatorDoor,
  problems: readonly string[],
): Promise<Response> {
  const { isOperator, session } = visit.var.person;
  const own = async () =>
    summaryOf((await listDropped(session, { limit: String(OWN_TABLES_MAX) })).tables);
  // Together, because each of the first two may wait.
  const [status, summary, collector, events] = isOperator
    ? await Promise.all([
        operator.status(),
        operator.summary(),
        operator.collector(),
        operator.history({ limit: EVENTS_OF_OVERVIEW }),
      ])
    : [null, await own(), null, []];
  const { attention = [], services = [] } = status ?? {};
  const shown = { problems, attention, services, summary, collector, events, now: new Date() };
  return show(visit, { title: 'Overview', body: overviewPage(shown), at: '', followS: FOLLOW_S });
}

async function showTables(visit: Visit): Promise<Response> {
  const { person } = visit.var;
  const { cursor = null, ...query } = visit.req.query();
  const filter = Object.fromEntries(FILTER.map((name) => [name, query[name] ?? ''])) as Filter;
  if (filter.kind !== '' && !KINDS.includes(filter.kind))
    throw wrongParam('kind', KINDS.join(', '), filter.kind);
  const isSorted = filter.sort !== '' && filter.sort !== 'dropped';
  const params: Params = { ...filter, cursor };
  const page =
    filter.view === 'tables' || isSorted
      ? { drops: null, ...(await listDropped(person.session, params)) }
      : { tables: null, ...(await listDropsOf(person.session, params)) };
  const body = tablesPage({ viewer: person, filter, ...page });
  const shown = { title: 'Dropped tables', body, at: '/tables', isFilledIn: true };
  return show(visit, cursor === null ? { ...shown, followS: FOLLOW_S } : shown);
}

async function showTable(visit: Visit, operator: OperatorDoor, id: string): Promise<Response> {
  const { person } = visit.var;
  const { session } = person;
  if (!isHoldId(id)) throw wrongParam('id', 'the 32 digits of an id', id);
  const table = await getTable(session, id).catch(unlessAbsent);
  if (table === null) {
    const { history } = person.isOperator ? await operator.detailsOf(id) : { history: [] };
    const body = endedPage(id, history);
    return show(visit, { title: 'Not held', body, at: '/tables' }, { status: 404 });
  }
  const { to = '', ...query } = visit.req.query();
  const [swap, keys] = ['swap' in query, 'keys' in query];
  const { schema } = table;
  const [plan, details, mayRead, others] = await Promise.all([
    table.state === 'HOLD'
      ? planTable(session, id, { to, swap: String(swap), keys: String(keys) }).catch(wordsOf)
      : '',
    operator.detailsOf(id),
    schema !== null && maySelectAll(session, schema),
    othersOfName(session, table),
  ]);
  const rows = mayRead && 'rows' in query ? await operator.rowsOf(actorOf(person), id) : null;
  const asked = { to, swap, keys };
  const body = tablePage({ viewer: person, table, details, asked, plan, mayRead, others, rows });
  return show(visit, { title: shownName(table), body, at: '/tables' });
}

/** Null: the account sees no such table. */
function unlessAbsent(error: unknown): null {
  if (error instanceof UndropError && error.code === 'UNDROP_NO_SUCH_HELD') return null;
  throw error;
}

async function showHistory(visit: Visit, operator: OperatorDoor): Promise<Response> {
  const { format, ...params } = visit.req.query();
  const limit = format === undefined ? EVENTS_OF_PAGE : EVENTS_OF_FILE;
  const { events, next } = await readEvents(operator, params, limit);
  if (format === 'csv') return file(csvOf(events), 'text/csv; charset=utf-8');
  const lines = events.map((line) => `${JSON.stringify(line)}\n`);
  if (format === 'jsonl') return file(lines.join(''), 'application/x-ndjson');
  const filter = { event: '', who: '', table: '', ...params };
  const body = historyPage({ filter, lines: events, next });
  return show(visit, { title: 'History', body, at: '/history' });
}

function file(text: string, type: string): Response {
  const headers = { 'content-type': type, 'content-disposition': 'attachment' };
  return new Response(text, { headers });
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
