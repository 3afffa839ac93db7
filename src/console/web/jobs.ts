/** Work on many tables that goes on while its page is looked at. */
import type { Log } from '../../log.js';
import { undropSchema } from '../dropped-tables.js';
import { failureAnswer } from '../failures.js';
import { link } from '../pages/layout.js';
import type { ConsoleOptions } from '../serve.js';
import type { ConsoleSession } from '../session.js';
import { seeOther, wordsOf } from './answers.js';
import { type Job, newSecret, type Person } from './people.js';

const JOBS_KEPT = 5;
const COUNT_EVERY_MS = 500;

/** Begins `work`, which never rejects, and goes on to its page. */
export function startJob(
  person: Person,
  about: Pick<Job, 'title' | 'total' | 'back'>,
  work: (job: Job) => Promise<void>,
): Response {
  const job: Job = { ...about, id: newSecret(), done: 0, messages: [], failed: [], isOver: false };
  // The last few are kept for whoever goes back.
  const over = [...person.jobs.values()].filter(({ isOver }) => isOver);
  for (const { id } of over.slice(0, -JOBS_KEPT)) person.jobs.delete(id);
  person.jobs.set(job.id, job);
  void work(job);
  return seeOther(link(`/jobs/${job.id}`));
}

/** Never rejects. */
export async function workOn(
  { log }: ConsoleOptions,
  job: Job,
  work: { readonly ids: readonly string[]; one(id: string): Promise<readonly string[]> },
): Promise<void> {
  for (const id of work.ids) {
    try {
      job.messages.push(...(await work.one(id)));
      job.done++;
    } catch (error) {
      job.failed.push(`${id}: ${reasonOf(error, log)}`);
    }
  }
  job.isOver = true;
}

function reasonOf(error: unknown, log: Log): string {
  if (failureAnswer(error) !== null) return wordsOf(error);
  log.error({ event: 'admin', err: error }, 'cannot do what the console was asked for');
  return 'a defect of undrop; its log says more';
}

/** Never rejects. Its progress is counted in the ledger. */
export async function workOnSchema(
  { operator, log }: ConsoleOptions,
  job: Job,
  drop: { readonly session: ConsoleSession; readonly schema: string; readonly dropId: string },
): Promise<void> {
  const { session, schema, dropId } = drop;
  const counting = setInterval(() => {
    operator.leftOf(dropId).then(
      (left) => {
        job.done = Math.max(job.done, Math.min(job.total, job.total - left));
      },
      (err: unknown) => log.debug({ event: 'admin', err }, 'cannot read the progress of a restore'),
    );
  }, COUNT_EVERY_MS);
  try {
    const { info, warnings } = await undropSchema(session, schema);
    job.messages.push(info, ...warnings);
    // The answer may be of another drop; the ledger knows.
    const left = await operator.leftOf(dropId);
    job.done = Math.max(job.total - left, 0);
    if (left > 0) job.failed.push(`still held: ${left}`);
  } catch (error) {
    job.failed.push(reasonOf(error, log));
  } finally {
    clearInterval(counting);
    job.isOver = true;
  }
}
