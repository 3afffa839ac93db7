/**
 * The forms that people send: each changes something, and then the browser GETs a page. Work on
 * many tables goes on while its page is looked at.
 */

import { quoteIdentifier } from '../../../connections/sql.js';
import { parseDuration } from '../../../duration.js';
import type { Log } from '../../../log.js';
import * as tables from '../dropped-tables.js';
import { failureOf } from '../failures.js';
import { BASE, link } from '../pages/layout.js';
import { shownName } from '../pages/tables.js';
import type { ConsoleOptions } from '../serve.js';
import type { ConsoleSession } from '../session.js';
import { goOn, ownPath, seeOther, type Visit, type WebApp, wordsOf } from './answers.js';
import { isAtWork, type Job, newSecret, type Person } from './people.js';

const JOBS_KEPT = 5;
const COUNT_EVERY_MS = 500;
const AS_IT_WAS: tables.RestoreWay = { to: null, keys: false, swap: false };
const TITLES: ReadonlyMap<string, string> = new Map([
  ['restore', 'Restore'],
  ['hold', 'Hold for longer'],
]);

type Change = Awaited<ReturnType<typeof tables.undropTable>>;

export function addForms(app: WebApp, options: ConsoleOptions): void {
  app.post('/sign-out', (c) => {
    options.people.end(c.var.person);
    return seeOther(link('/sign-in'));
  });
  app.post('/tables/selected', (c) => changeSelected(c, options));
  app.post('/tables/:id/restore', (c) => {
    const [{ person, form }, id] = [c.var, c.req.param('id')];
    const to = tables.textIn(Object.fromEntries(form), 'to');
    const way = { to, keys: form.get('keys') === 'on', swap: form.get('swap') === 'on' };
    return changeOne(c, { id, next: '/tables' }, () => tables.undropTable(person.session, id, way));
  });
  app.post('/tables/:id/hold', (c) => {
    const [{ person, form }, id] = [c.var, c.req.param('id')];
    const time = form.get('for') ?? '';
    return changeOne(c, { id }, () => tables.holdTable(person.session, id, time));
  });
  app.post('/drops/:id/restore', (c) => restoreDrop(c, options, c.req.param('id')));
}

/** Goes on to `next`; by default, and if it fails, to the page of the table. */
async function changeOne(
  visit: Visit,
  { id, next }: { readonly id: string; readonly next?: string },
  change: () => Promise<Change>,
): Promise<Response> {
  const here = `/tables/${id}`;
  try {
    const { info, warnings } = await change();
    const tone = warnings.length === 0 ? 'good' : 'warn';
    return goOn(visit, next ?? here, { text: [info || 'Done.', ...warnings].join(' '), tone });
  } catch (error) {
    if (!visit.var.person.session.isOpen) throw error;
    return failed(visit, here, wordsOf(error));
  }
}

function failed(visit: Visit, path: string, text: string): Response {
  return goOn(visit, path, { text, tone: 'bad' });
}

async function changeSelected(visit: Visit, { log }: ConsoleOptions): Promise<Response> {
  const { person, form } = visit.var;
  const { session } = person;
  const [ids, action, time] = [form.getAll('id'), form.get('action') ?? '', form.get('for') ?? ''];
  const back = ownPath(form.get('back')).slice(BASE.length);
  const title = TITLES.get(action);
  if (title === undefined) throw tables.wrongParam('action', 'restore or hold', action);
  if (ids.length === 0) return failed(visit, back, 'Nothing is chosen.');
  if (isAtWork(person)) return failed(visit, back, AT_WORK);
  if (action === 'hold' && parseDuration(time) === null) {
    return failed(visit, back, 'Expected a duration like 30d to hold them for.');
  }
  const one = async (id: string) => {
    const name = shownName(await tables.getTable(session, id));
    const act =
      action === 'hold'
        ? tables.holdTable(session, id, time)
        : tables.undropTable(session, id, AS_IT_WAS);
    const { info, warnings } = await act;
    return [info || name, ...warnings];
  };
  const about = { title, total: ids.length, back: `${BASE}${back}` };
  return startJob({ person, log }, about, (job) => changeEach(job, { ids, one, log }));
}

/** A dropped schema as a whole, with its views and routines; of others each table. */
async function restoreDrop(
  visit: Visit,
  { operator, log }: ConsoleOptions,
  dropId: string,
): Promise<Response> {
  const { person } = visit.var;
  const { session } = person;
  const all = await tables.tablesOfDrop(session, dropId);
  const held = all.filter(({ state }) => state === 'HOLD');
  const [first] = held;
  if (first === undefined)
    return failed(visit, '/tables', 'Nothing of this statement is in HOLD any more.');
  const here = `/drops/${dropId}`;
  if (isAtWork(person)) return failed(visit, here, AT_WORK);
  const { schema } = first;
  const isDroppedSchema = first.how === 'DROP DATABASE' && schema !== null;
  const isMeant = isDroppedSchema && (await operator.meantDropOf(schema)) === dropId;
  if (isDroppedSchema && !isMeant) {
    const { notes } = await tables.planTable(session, first.id, AS_IT_WAS);
    if (notes.some((text) => text.startsWith('refused: there is no schema'))) {
      return failed(visit, here, olderDrop(schema, dropId));
    }
  }
  const about = { title: 'Restore', total: held.length, back: link(here) };
  const ids = held.map(({ id }) => id);
  const one = async (id: string) => {
    const { info, warnings } = await tables.undropTable(session, id, AS_IT_WAS);
    return [info, ...warnings];
  };
  const left = () => operator.leftOf(dropId);
  return startJob({ person, log }, about, (job) =>
    isMeant
      ? restoreSchema(job, { session, schema, left, log })
      : changeEach(job, { ids, one, log }),
  );
}

const AT_WORK = 'Your last work on several tables is not over yet: wait for its end.';

function olderDrop(schema: string, dropId: string): string {
  return `There is no schema ${schema}, and a newer drop of it is the one that comes back whole: restore that one, or create the schema, first. By command: undrop restore --schema ${dropId}.`;
}

/** Begins `work`, and goes on to its page. */
function startJob(
  { person, log }: { readonly person: Person; readonly log: Log },
  about: Pick<Job, 'title' | 'total' | 'back'>,
  work: (job: Job) => Promise<void>,
): Response {
  const job: Job = { ...about, id: newSecret(), done: 0, messages: [], failed: [], isOver: false };
  // The last few are kept for whoever goes back.
  const over = [...person.jobs.values()].filter(({ isOver }) => isOver);
  for (const { id } of over.slice(0, -JOBS_KEPT)) person.jobs.delete(id);
  person.jobs.set(job.id, job);
  void work(job)
    .catch((error: unknown) => job.failed.push(reasonOf(error, log)))
    .finally(() => {
      job.isOver = true;
    });
  return seeOther(link(`/jobs/${job.id}`));
}

async function changeEach(
  job: Job,
  work: {
    readonly ids: readonly string[];
    one(id: string): Promise<readonly string[]>;
    readonly log: Log;
  },
): Promise<void> {
  for (const id of work.ids) {
    try {
      job.messages.push(...(await work.one(id)));
      job.done++;
    } catch (error) {
      job.failed.push(`${id}: ${reasonOf(error, work.log)}`);
    }
  }
}

function reasonOf(error: unknown, log: Log): string {
  if (failureOf(error) !== null) return wordsOf(error);
  log.error({ event: 'admin', err: error }, 'cannot do what the console was asked for');
  return 'a defect of undrop; its log says more';
}

/** Its progress is counted in the ledger: `left` counts the tables still held. */
async function restoreSchema(
  job: Job,
  drop: {
    readonly session: ConsoleSession;
    readonly schema: string;
    left(): Promise<number>;
    readonly log: Log;
  },
): Promise<void> {
  const counting = setInterval(() => {
    drop.left().then(
      (left) => {
        job.done = Math.max(job.done, Math.min(job.total, job.total - left));
      },
      (err: unknown) =>
        drop.log.debug({ event: 'admin', err }, 'cannot read the progress of a restore'),
    );
  }, COUNT_EVERY_MS);
  try {
    const undrop = `UNDROP DATABASE ${quoteIdentifier(drop.schema)}`;
    const { info, warnings } = await drop.session.change(undrop);
    job.messages.push(info, ...warnings);
    // The answer may be of another drop; the ledger knows.
    const left = await drop.left();
    job.done = Math.max(job.total - left, 0);
    if (left > 0) job.failed.push(`still held: ${left}`);
  } finally {
    clearInterval(counting);
  }
}
