/**
 * The forms that people send: each changes something, and then the browser GETs a page. Work on
 * many tables goes on while its page is looked at.
 */

import { ALLOWED_MINUTES } from '../../../drop/steps/rules/ask.js';
import { parseDuration } from '../../../duration.js';
import type { Log } from '../../../log.js';
import * as tables from '../dropped-tables.js';
import { failureOf } from '../failures.js';
import { BASE, link } from '../pages/layout.js';
import { shownName } from '../pages/tables.js';
import type { ConsoleOptions } from '../serve.js';
import { goOn, ownPath, seeOther, type Visit, type WebApp, wordsOf } from './answers.js';
import { isAtWork, type Job, newSecret, type Person } from './people.js';

const JOBS_KEPT = 5;
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
  app.post('/requests/:id/allow', (c) => allow(c, options, c.req.param('id')));
  app.post('/undo', (c) => undoMany(c, options));
}

/** A statement that waits for an operator. */
async function allow(visit: Visit, { operator }: ConsoleOptions, id: string): Promise<Response> {
  const { person } = visit.var;
  if (!person.isOperator) return failed(visit, '', 'Only operators of undrop can allow it.');
  const request = (await operator.requests()).find((one) => one.id === id);
  if (request === undefined) return failed(visit, '', 'That statement no longer waits.');
  await operator.allow(person, request);
  const text = `Allowed once, within ${ALLOWED_MINUTES} minutes: ${request.statement}`;
  return goOn(visit, '', { text, tone: 'good' });
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

/** All of these statements, the newest first, or of a span of time, by one statement of undrop. */
function undoMany(visit: Visit, { log }: ConsoleOptions): Response {
  const { person, form } = visit.var;
  const back = ownPath(form.get('back'));
  if (isAtWork(person)) return failed(visit, back.slice(BASE.length), AT_WORK);
  const way = { swap: form.get('swap') === 'on', partial: form.get('partial') === 'on' };
  const drops = form.getAll('drop').map((drop) => ({ drop }));
  const all = drops.length > 0 ? drops : [Object.fromEntries(form)];
  const undos = all.map((what) => tables.undropManyText(what, way));
  const one = async (undo: string) => {
    const { info, warnings } = await person.session.change(undo);
    return [info, ...warnings];
  };
  const about = { title: 'Restore', total: undos.length, back };
  return startJob({ person, log }, about, (job) => changeEach(job, { ids: undos, one, log }));
}

const AT_WORK = 'Your last work on several tables is not over yet: wait for its end.';

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
