/** The forms that people send: each changes something, and then the browser GETs a page. */
import { parseDuration } from '../../duration.js';
import type { Log } from '../../log.js';
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
import { done, failed, type PageAnswer, type Pages, seeOther, wordsOf } from './answers.js';
import { newJob, workOn, workOnSchema } from './jobs.js';
import { actorOf, isAtWork, type People, type Person } from './people.js';
import { type Form, ownPath } from './requests.js';
import type { Visit } from './show.js';

export interface FormsOptions {
  readonly operator: OperatorDoor;
  readonly pages: Pages;
  readonly people: People;
  readonly log: Log;
}

const TITLES: Readonly<Record<string, string>> = {
  restore: 'Restore',
  hold: 'Hold for longer',
  pin: 'Pin',
  purge: 'Purge',
};

export class Forms {
  readonly #options: FormsOptions;
  readonly #pages: Pages;

  constructor(options: FormsOptions) {
    this.#options = options;
    this.#pages = options.pages;
  }

  async post(visit: Visit, form: Form): Promise<PageAnswer> {
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
    return this.#pages.problem(404, 'Not found', 'There is no such form.', person);
  }

  async #change(
    { person }: Visit,
    { id, action, form }: { readonly id: string; readonly action: string; readonly form: Form },
  ): Promise<PageAnswer> {
    if (!isHoldId(id)) throw wrongParam('id', 'the 32 digits of an id', id);
    const here = `/tables/${id}`;
    if (action === 'pin') {
      if (!person.isOperator)
        return this.#pages.problem(403, 'For operators', 'Only operators pin a table.', person);
      await getTable(person.session, id);
      await this.#options.operator.pin(actorOf(person), id);
      return done(person, here, 'Pinned: it is held until it is unpinned.');
    }
    if (!isAction(action))
      return this.#pages.problem(404, 'Not found', 'There is no such form.', person);
    if (action === 'purge') {
      const name = shownName(await getTable(person.session, id));
      if (form.get('name') !== name) {
        return failed(person, here, `Not purged: expected ${name} to be typed.`);
      }
    }
    if (action === 'hold' && person.isOperator) return this.#holdFor(person, id, form.get('for'));
    const body = { to: form.get('to'), keys: form.get('keys') === 'on', for: form.get('for') };
    try {
      const { message, warnings } = await changeTable(person.session, { id, action, body });
      const back = action === 'hold' || action === 'purge' ? here : '/tables';
      return done(person, back, message || 'Done.', warnings);
    } catch (error) {
      if (!person.session.isOpen) throw error;
      return failed(person, here, wordsOf(error));
    }
  }

  /** An operator also shortens a hold, and unpins. */
  async #holdFor(person: Person, id: string, time: string | null): Promise<PageAnswer> {
    const here = `/tables/${id}`;
    const holdMs = parseDuration(time ?? '');
    if (holdMs === null || holdMs <= 0) {
      return failed(person, here, `Expected a duration like 30d, found ${time ?? 'nothing'}.`);
    }
    await getTable(person.session, id);
    try {
      const until = await this.#options.operator.holdFor(actorOf(person), id, holdMs);
      return done(person, here, `Held until ${until}.`);
    } catch (error) {
      return failed(person, here, wordsOf(error));
    }
  }

  async #selected({ person }: Visit, form: Form): Promise<PageAnswer> {
    const [ids, action] = [form.getAll('id'), form.get('action') ?? ''];
    const back = ownPath(form.get('back')).slice(BASE.length);
    if (!ids.every(isHoldId)) throw wrongParam('id', 'ids of 32 digits', ids);
    if (ids.length === 0) return failed(person, back, 'Nothing is chosen.');
    if (isAtWork(person)) return failed(person, back, AT_WORK);
    if (action === 'pin' && !person.isOperator) {
      return this.#pages.problem(403, 'For operators', 'Only operators pin a table.', person);
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
    const one = async (id: string): Promise<readonly string[]> => {
      const name = shownName(await getTable(person.session, id));
      if (action === 'pin') {
        await this.#options.operator.pin(actorOf(person), id);
        return [`${name} is pinned.`];
      }
      const body = { for: action === 'hold' ? form.get('for') : null };
      const change = { id, action: action as TableAction, body };
      const { message, warnings } = await changeTable(person.session, change);
      return [message || name, ...warnings];
    };
    const job = newJob(person, {
      title: TITLES[action] ?? action,
      total: ids.length,
      back: `${BASE}${back}`,
    });
    void workOn(this.#options, job, { ids, one });
    return seeOther(link(`/jobs/${job.id}`));
  }

  /** A dropped schema as a whole, with its views and routines; of others each table. */
  async #restoreDrop(person: Person, dropId: string): Promise<PageAnswer> {
    const tables = (await tablesOfDrop(person.session, dropId)).filter(
      ({ state }) => state === 'HOLD',
    );
    const [first] = tables;
    if (first === undefined)
      return failed(person, '/tables', 'Nothing of this statement is in HOLD any more.');
    const back = link(`/drops/${dropId}`);
    if (isAtWork(person)) return failed(person, `/drops/${dropId}`, AT_WORK);
    const { schema } = first;
    const isDroppedSchema = first.how === 'DROP DATABASE' && schema !== null;
    const isMeant =
      isDroppedSchema && (await this.#options.operator.meantDropOf(schema)) === dropId;
    if (isDroppedSchema && !isMeant) {
      const { notes } = await planTable(person.session, first.id, {});
      if (notes.some((text) => text.startsWith('refused: there is no schema'))) {
        return failed(person, `/drops/${dropId}`, olderDrop(schema, dropId));
      }
    }
    const job = newJob(person, { title: 'Restore', total: tables.length, back });
    if (isMeant && schema !== null) {
      void workOnSchema(this.#options, job, { person, schema, dropId });
    } else {
      const one = async (id: string) => {
        const change = { id, action: 'restore', body: {} } as const;
        const { message, warnings } = await changeTable(person.session, change);
        return [message, ...warnings];
      };
      void workOn(this.#options, job, { ids: tables.map(({ id }) => id), one });
    }
    return seeOther(link(`/jobs/${job.id}`));
  }

  async #pause(person: Person, form: Form): Promise<PageAnswer> {
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
}

const AT_WORK = 'Your last work on several tables is not over yet: wait for its end.';

function olderDrop(schema: string, dropId: string): string {
  return `There is no schema ${schema}, and a newer drop of it is the one that comes back whole: restore that one, or create the schema, first. By command: undrop restore --schema ${dropId}.`;
}
