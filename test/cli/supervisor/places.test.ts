/** UNDROP_MAX_CONNECTIONS over several processes: exact, and seldom asked for. */
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { ToProcess } from '../../../src/cli/supervisor/messages.js';
import { LeasedLimit, Places } from '../../../src/cli/supervisor/places.js';

/** Processes whose messages arrive when `deliver` takes them, in the order of each sender. */
class Rig {
  readonly places: Places;
  readonly limits: LeasedLimit[] = [];
  readonly holders: { tell(message: ToProcess): void }[] = [];
  readonly #queues: (() => void)[][] = [];

  constructor(max: number, processes: number) {
    this.places = new Places(max);
    for (let index = 0; index < processes; index++) this.#add(max, index);
  }

  #add(max: number, index: number): void {
    const [up, down] = [2 * index, 2 * index + 1];
    this.#queues[up] = [];
    this.#queues[down] = [];
    const limit = new LeasedLimit({
      max,
      ownMax: 1_000,
      ask: () => this.#queues[up]?.push(() => this.places.ask(holder)),
      return: (count, isRecalled) =>
        this.#queues[up]?.push(() => this.places.return(holder, { count, isRecalled })),
    });
    const holder = {
      tell: (message: ToProcess) =>
        void this.#queues[down]?.push(() => {
          if (message.kind === 'places') limit.add(message.count);
          if (message.kind === 'recall') limit.recall();
        }),
    };
    this.limits[index] = limit;
    this.holders[index] = holder;
  }

  /** Delivers one message, of the queue that `pick` says. False: there is none. */
  deliver(pick: number): boolean {
    const full = this.#queues.filter((queue) => queue.length > 0);
    const next = full[pick % Math.max(full.length, 1)]?.shift();
    next?.();
    return next !== undefined;
  }

  deliverAll(): void {
    while (this.deliver(0));
  }
}

/** Takes a place, with all messages delivered meanwhile. */
async function take(rig: Rig, index: number): Promise<boolean> {
  const answer = rig.limits[index]?.take() ?? false;
  rig.deliverAll();
  return answer;
}

test('a client is refused only if all places are taken, and one that leaves makes room anywhere', async () => {
  const rig = new Rig(5, 2);
  for (const index of [0, 0, 0, 1, 0]) expect(await take(rig, index)).toBe(true);
  expect(await take(rig, 0)).toBe(false);
  expect(await take(rig, 1)).toBe(false);
  rig.limits[0]?.release();
  rig.deliverAll();
  expect(await take(rig, 1)).toBe(true);
  expect(await take(rig, 0)).toBe(false);
});

test('the places of a process that has ended are free', async () => {
  const rig = new Rig(2, 2);
  expect([await take(rig, 0), await take(rig, 0)]).toEqual([true, true]);
  const [first] = rig.holders;
  if (first !== undefined) rig.places.remove(first);
  expect([await take(rig, 1), await take(rig, 1), await take(rig, 1)]).toEqual([true, true, false]);
});

test('whatever comes and goes in whatever order, no more are in than there are places, and none waits for ever', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 9 }),
      fc.array(fc.record({ process: fc.nat(2), isTake: fc.boolean(), pick: fc.nat(9) }), {
        maxLength: 60,
      }),
      async (max, steps) => {
        const rig = new Rig(max, 3);
        const inside = [0, 0, 0];
        let waiting = 0;
        const answers: Promise<void>[] = [];
        for (const { process, isTake, pick } of steps) {
          const limit = rig.limits[process];
          if (isTake && limit !== undefined) {
            waiting++;
            const isIn = Promise.resolve(limit.take());
            answers.push(
              isIn.then((entered) => {
                waiting--;
                if (entered) inside[process] = (inside[process] ?? 0) + 1;
              }),
            );
          } else if ((inside[process] ?? 0) > 0) {
            inside[process] = (inside[process] ?? 0) - 1;
            limit?.release();
          }
          rig.deliver(pick);
          await new Promise((resolve) => setImmediate(resolve));
          expect(inside.reduce((sum, count) => sum + count, 0)).toBeLessThanOrEqual(max);
        }
        rig.deliverAll();
        await new Promise((resolve) => setImmediate(resolve));
        expect(waiting).toBe(0);
        await Promise.all(answers);
      },
    ),
    { numRuns: 200 },
  );
});
