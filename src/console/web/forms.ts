/** The forms that people send: each changes something, and then the browser GETs a page. */
import { parseDuration } from '../../duration.js';
import { isHoldId } from '../../names/names.js';
import {
  changeTable,
  getTable,
  isAction,
  planTable,
  type TableAction,
  tablesOfDrop,
  wrongParam,
} from '../dropped-tables.js';
import { pauseOf } from '../operate.js';
import type { OperatorDoor } from '../operator.js';
import { BASE, link } from '../pages/layout.js';
import { shownName } from '../pages/tables.js';
import type { ConsoleOptions } from '../serve.js';
import { done, failed, problem, seeOther, type Visit, type WebApp, wordsOf } from './answers.js';
import { startJob, workOn, workOnSchema } from './jobs.js';
import { actorOf, isAtWork } from './people.js';
import { ownPath } from './requests.js';

const TITLES: Readonly<Record<string, string>> = {
  restore: 'Restore',
  hold: 'Hold for longer',
  pin: 'Pin',
  purge: 'Purge',
};

export function addForms(app: WebApp, options: ConsoleOptions): void {
  const { operator, people } = options;
  app.post('/sign-out', (c) => {
    people.end(c.var.person);
    return seeOther(link('/sign-in'));
  });
  app.post('/tables/selected', (c) => changeSelected(c, options));
  app.post('/tables/:id/:action', (c) => changeOne(c, operator, c.req.param()));
  app.post('/drops/:id/restore', (c) => restoreDrop(c, options, c.req.param('id')));
  app.post('/collector/:action', async (c) => {
    const { person, form } = c.var;
    const action = c.req.param('action');
    if (!person.isOperator || (action !== 'pause' && action !== 'resume')) return c.notFound();
    if (action === 'resume') {
      await operator.resume(actorOf(person));
      return done(c, '/collector', 'The pause is ended: collectors continue within seconds.');
    }
    return attempt(c, '/collector', async () => {
      await operator.pause(actorOf(person), pauseOf(Object.fromEntries(form)));
      const text = 'Paused: nothing held is moved on, purged or removed. Drops are still held.';
      return done(c, '/collector', text);
    });
  });
}

/** The page `path` shows why it failed. */
async function attempt(visit: Visit, path: string, act: () => Promise<Response>) {
  try {
    return await act();
  } catch (error) {
    if (!visit.var.person.session.isOpen) throw error;
    return failed(visit, path, wordsOf(error));
  }
}

function onlyOperators(visit: Visit): Response {
  return problem(visit, 403, 'For operators', 'Only operators pin a table.');
}

async function changeOne(
  visit: Visit,
  operator: OperatorDoor,
  { id, action }: { readonly id: string; readonly action: string },
): Promise<Response> {
  const { person, form } = visit.var;
  if (!isHoldId(id)) throw wrongParam('id', 'the 32 digits of an id', id);
  const here = `/tables/${id}`;
  if (action === 'pin') {
    if (!person.isOperator) return onlyOperators(visit);
    await getTable(person.session, id);
    await operator.pin(actorOf(person), id);
    return done(visit, here, 'Pinned: it is held until it is unpinned.');
  }
  if (!isAction(action)) return visit.notFound();
  if (action === 'purge') {
    const name = shownName(await getTable(person.session, id));
    if (form.get('name') !== name) {
      return failed(visit, here, `Not purged: expected ${name} to be typed.`);
    }
  }
  if (action === 'hold' && person.isOperator) return holdFor(visit, operator, id);
  const body = { to: form.get('to'), keys: form.get('keys') === 'on', for: form.get('for') };
  return attempt(visit, here, async () => {
    const { message, warnings } = await changeTable(person.session, { id, action, body });
    const back = action === 'hold' || action === 'purge' ? here : '/tables';
    return done(visit, back, message || 'Done.', warnings);
  });
}

/** An operator also shortens a hold, and unpins. */
async function holdFor(visit: Visit, operator: OperatorDoor, id: string): Promise<Response> {
  const { person, form } = visit.var;
  const [here, time] = [`/tables/${id}`, form.get('for')];
  const holdMs = parseDuration(time ?? '');
  if (holdMs === null || holdMs <= 0) {
    return failed(visit, here, `Expected a duration like 30d, found ${time ?? 'nothing'}.`);
  }
  await getTable(person.session, id);
  return attempt(visit, here, async () =>
    done(visit, here, `Held until ${await operator.holdFor(actorOf(person), id, holdMs)}.`),
  );
}

async function changeSelected(visit: Visit, options: ConsoleOptions): Promise<Response> {
  const { person, form } = visit.var;
  const [ids, action] = [form.getAll('id'), form.get('action') ?? ''];
  const back = ownPath(form.get('back')).slice(BASE.length);
  if (!ids.every(isHoldId)) throw wrongParam('id', 'ids of 32 digits', ids);
  if (ids.length === 0) return failed(visit, back, 'Nothing is chosen.');
  if (isAtWork(person)) return failed(visit, back, AT_WORK);
  if (action === 'pin' && !person.isOperator) return onlyOperators(visit);
  if (action === 'purge' && form.get('number') !== String(ids.length)) {
    const text = `Nothing was purged: expected their number, ${ids.length}, to be typed.`;
    return failed(visit, back, text);
  }
  if (action !== 'pin' && (!isAction(action) || action === 'swap')) {
    throw wrongParam('action', 'restore, hold, pin or purge', action);
  }
  if (action === 'hold' && parseDuration(form.get('for') ?? '') === null) {
    return failed(visit, back, 'Expected a duration like 30d to hold them for.');
  }
  const one = async (id: string): Promise<readonly string[]> => {
    const name = shownName(await getTable(person.session, id));
    if (action === 'pin') {
      await options.operator.pin(actorOf(person), id);
      return [`${name} is pinned.`];
    }
    const body = { for: action === 'hold' ? form.get('for') : null };
    const change = { id, action: action as TableAction, body };
    const { message, warnings } = await changeTable(person.session, change);
    return [message || name, ...warnings];
  };
  const title = TITLES[action] ?? action;
  const about = { title, total: ids.length, back: `${BASE}${back}` };
  return startJob(person, about, (job) => workOn(options, job, { ids, one }));
}

/** A dropped schema as a whole, with its views and routines; of others each table. */
async function restoreDrop(visit: Visit, options: ConsoleOptions, dropId: string) {
  const { person } = visit.var;
  const { session } = person;
  const tables = (await tablesOfDrop(session, dropId)).filter(({ state }) => state === 'HOLD');
  const [first] = tables;
  if (first === undefined)
    return failed(visit, '/tables', 'Nothing of this statement is in HOLD any more.');
  const here = `/drops/${dropId}`;
  if (isAtWork(person)) return failed(visit, here, AT_WORK);
  const { schema } = first;
  const isDroppedSchema = first.how === 'DROP DATABASE' && schema !== null;
  const isMeant = isDroppedSchema && (await options.operator.meantDropOf(schema)) === dropId;
  if (isDroppedSchema && !isMeant) {
    const { notes } = await planTable(session, first.id, {});
    if (notes.some((text) => text.startsWith('refused: there is no schema'))) {
      return failed(visit, here, olderDrop(schema, dropId));
    }
  }
  const about = { title: 'Restore', total: tables.length, back: link(here) };
  const ids = tables.map(({ id }) => id);
  const one = async (id: string) => {
    const { message, warnings } = await changeTable(session, { id, action: 'restore', body: {} });
    return [message, ...warnings];
  };
  return startJob(person, about, (job) =>
    isMeant
      ? workOnSchema(options, job, { session, schema, dropId })
      : workOn(options, job, { ids, one }),
  );
}

const AT_WORK = 'Your last work on several tables is not over yet: wait for its end.';

function olderDrop(schema: string, dropId: string): string {
  return `There is no schema ${schema}, and a newer drop of it is the one that comes back whole: restore that one, or create the schema, first. By command: undrop restore --schema ${dropId}.`;
}
