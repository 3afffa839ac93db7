/** The pages that people GET. */
import { UndropError } from '../../../errors.js';
import * as tables from '../dropped-tables.js';
import type { Operator } from '../operator.js';
import { overviewPage } from '../pages/overview.js';
import { endedPage, tablePage } from '../pages/table.js';
import { dropPage, FILTER, type Filter, jobPage, shownName, tablesPage } from '../pages/tables.js';
import type { ConsoleOptions } from '../serve.js';
import { problem, show, type Visit, type WebApp, wordsOf } from './answers.js';

const EVENTS_OF_OVERVIEW = 10;
const DROPS_OF_OVERVIEW = 5;
/** Statements that are read for it, unless a burst goes on. */
const DROPS_READ = 10;
const FOLLOW_S = 10;
const FOLLOW_JOB_S = 1;

export function addPages(app: WebApp, { operator, problems }: ConsoleOptions): void {
  app.get('/', async (c) => showOverview(c, operator, await problems()));
  app.get('/tables', showTables);
  app.get('/tables/:id', (c) => showTable(c, operator, c.req.param('id')));
  app.get('/drops/:id', async (c) => {
    const [{ person }, id] = [c.var, c.req.param('id')];
    const body = dropPage(person, id, await tables.tablesOfDrop(person.session, id));
    return show(c, { title: 'A drop', body, at: '/tables' });
  });
  app.get('/jobs/:id', (c) => {
    const job = c.var.person.jobs.get(c.req.param('id'));
    if (job === undefined) return problem(c, 404, 'Not found', 'There is no such work.');
    const page = { title: job.title, body: jobPage(job), at: '/tables' };
    return show(c, job.isOver ? page : { ...page, followS: FOLLOW_JOB_S });
  });
}

async function showOverview(
  visit: Visit,
  operator: Operator,
  problems: readonly string[],
): Promise<Response> {
  const { isOperator, session } = visit.var.person;
  // Together, because each of the first two may wait.
  const [status, summary, collector, events, requests] = isOperator
    ? await Promise.all([
        operator.status(),
        operator.summary(),
        operator.collector(),
        operator.history({ limit: EVENTS_OF_OVERVIEW }),
        operator.requests(),
      ])
    : [null, null, null, [], []];
  const { attention = [], services = [] } = status ?? {};
  const { bursts } = await tables.listBurstsOf(session, {}, DROPS_READ);
  // The last statement has a button of its own, too.
  const [[newest] = [], isMany] = [bursts[0], (bursts[0]?.length ?? 0) > 1];
  const lines = newest !== undefined && isMany ? [[newest], ...bursts] : bursts;
  const last = lines.slice(0, DROPS_OF_OVERVIEW);
  const members = last.flat().flatMap((drop) => drop.members);
  const taken = await tables.takenOf(session, members);
  const seen = { problems, attention, services, summary, collector, events, requests };
  const body = overviewPage({ ...seen, last, taken, now: new Date() }, visit.var.person);
  return show(visit, { title: 'Overview', body, at: '', followS: FOLLOW_S });
}

async function showTables(visit: Visit): Promise<Response> {
  const { person } = visit.var;
  const { cursor = null, ...query } = visit.req.query();
  const filter = Object.fromEntries(FILTER.map((name) => [name, query[name] ?? ''])) as Filter;
  const isSorted = filter.sort !== '' && filter.sort !== 'dropped';
  // These may fit only some tables of a statement.
  const isOfTables = isSorted || filter.view === 'tables' || filter.q !== '' || filter.state !== '';
  const params = { ...filter, cursor };
  const page = isOfTables
    ? { bursts: null, ...(await tables.listDropped(person.session, params)) }
    : { tables: null, ...(await tables.listBurstsOf(person.session, params)) };
  const members = page.bursts?.flat().flatMap((drop) => drop.members) ?? [];
  const taken = await tables.takenOf(person.session, members);
  const body = tablesPage({ viewer: person, filter, taken, ...page });
  const shown = { title: 'Dropped tables', body, at: '/tables', isFilledIn: true };
  return show(visit, cursor === null ? { ...shown, followS: FOLLOW_S } : shown);
}

async function showTable(visit: Visit, operator: Operator, id: string): Promise<Response> {
  const { person } = visit.var;
  const { session } = person;
  const table = await tables.getTable(session, id).catch(unlessAbsent);
  if (table === null) {
    const { history } = person.isOperator ? await operator.detailsOf(id) : { history: [] };
    const body = endedPage(id, history);
    return show(visit, { title: 'Not held', body, at: '/tables' }, { status: 404 });
  }
  const query = visit.req.query();
  const asked = { to: tables.textIn(query, 'to'), swap: 'swap' in query, keys: 'keys' in query };
  const { schema } = table;
  const [plan, details, mayRead, others] = await Promise.all([
    table.state === 'HOLD' ? tables.planTable(session, id, asked).catch(wordsOf) : '',
    operator.detailsOf(id),
    schema !== null && tables.maySelectAll(session, schema),
    tables.othersOfName(session, table),
  ]);
  const isRefused = typeof plan !== 'string' && plan.isRefused;
  const live = isRefused ? await tables.liveOf(session, table) : null;
  const rows = mayRead && 'rows' in query ? await operator.rowsOf(person, id) : null;
  const about = { table, live, details, asked, plan, mayRead, others, rows };
  const body = tablePage({ viewer: person, ...about });
  return show(visit, { title: shownName(table), body, at: '/tables' });
}

/** Null: the account sees no such table. */
function unlessAbsent(error: unknown): null {
  if (error instanceof UndropError && error.code === 'UNDROP_NO_SUCH_HELD') return null;
  throw error;
}
