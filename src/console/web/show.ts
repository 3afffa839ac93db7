/** The pages that people GET. */
import { UndropError } from '../../errors.js';
import type { Summary } from '../../ledger/overview.js';
import {
  type ConsoleTable,
  getTable,
  listDropped,
  listDropsOf,
  maySelectAll,
  othersOfName,
  planTable,
  tablesOfDrop,
  textIn,
} from '../dropped-tables.js';
import type { OperatorDoor } from '../operator.js';
import { overviewPage } from '../pages/overview.js';
import { endedPage, tablePage } from '../pages/table.js';
import { dropPage, FILTER, type Filter, jobPage, shownName, tablesPage } from '../pages/tables.js';
import type { ConsoleOptions } from '../serve.js';
import { problem, show, type Visit, type WebApp, wordsOf } from './answers.js';
import { actorOf } from './people.js';

const EVENTS_OF_OVERVIEW = 10;
/** With the one more that is asked for, three steps of as many as are located at once. */
const OWN_TABLES_MAX = 299;
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
}

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
  const isSorted = filter.sort !== '' && filter.sort !== 'dropped';
  const params = { ...filter, cursor };
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
  const table = await getTable(session, id).catch(unlessAbsent);
  if (table === null) {
    const { history } = person.isOperator ? await operator.detailsOf(id) : { history: [] };
    const body = endedPage(id, history);
    return show(visit, { title: 'Not held', body, at: '/tables' }, { status: 404 });
  }
  const query = visit.req.query();
  const asked = { to: textIn(query, 'to'), swap: 'swap' in query, keys: 'keys' in query };
  const { schema } = table;
  const [plan, details, mayRead, others] = await Promise.all([
    table.state === 'HOLD' ? planTable(session, id, asked).catch(wordsOf) : '',
    operator.detailsOf(id),
    schema !== null && maySelectAll(session, schema),
    othersOfName(session, table),
  ]);
  const rows = mayRead && 'rows' in query ? await operator.rowsOf(actorOf(person), id) : null;
  const body = tablePage({ viewer: person, table, details, asked, plan, mayRead, others, rows });
  return show(visit, { title: shownName(table), body, at: '/tables' });
}

/** Null: the account sees no such table. */
function unlessAbsent(error: unknown): null {
  if (error instanceof UndropError && error.code === 'UNDROP_NO_SUCH_HELD') return null;
  throw error;
}

/** The figures of the overview for people who see only their own tables: the newest ones. */
function summaryOf(tables: readonly ConsoleTable[]): Summary {
  const states = new Map<string, { state: string; tables: number; bytes: number }>();
  const days = new Map<string, { day: string; tables: number; bytes: number }>();
  for (const { state: name, bytes, expiresAt } of tables) {
    const state = name ?? '';
    const ofState = states.get(state) ?? { state, tables: 0, bytes: 0 };
    states.set(state, ofState);
    ofState.tables++;
    ofState.bytes += bytes ?? 0;
    if (expiresAt === null || state !== 'HOLD') continue;
    const day = expiresAt.slice(0, 10);
    const ofDay = days.get(day) ?? { day, tables: 0, bytes: 0 };
    days.set(day, ofDay);
    ofDay.tables++;
    ofDay.bytes += bytes ?? 0;
  }
  return {
    states: [...states.values()],
    days: [...days.values()].sort((one, other) => (one.day < other.day ? -1 : 1)),
    pinned: tables.filter(({ state, expiresAt }) => state === 'HOLD' && expiresAt === null).length,
    isPart: tables.length >= OWN_TABLES_MAX,
  };
}
