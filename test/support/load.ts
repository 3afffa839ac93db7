/**
 * A load on a service that goes on while something happens to it: clients that connect all the
 * while, sessions that are busy, and one that drops and restores. Each part counts what it has
 * done; whatever is not as it has to be is the failure of the test.
 */
import { until } from './poll.js';
import { connect, type Session, type Target } from './servers.js';

const BUSY = 4;
/** A busy machine: nothing was dropped, nor swapped, and it may be tried again. */
export const LATE =
  /UNDROP_(?:NOT_RECORDED|LEDGER_UNAVAILABLE): .* did not answer the service connection within/;

/** Clients that connect, sessions that are busy, and one that drops and restores. */
export function startLoad(proxy: Target, schema: string): readonly Repeated[] {
  const connecting = repeat(async () => {
    await using session = await connect(proxy);
    expect(await session.column('SELECT CONNECTION_ID()')).toEqual([session.threadId]);
  });
  const opening = Array.from({ length: BUSY }, () => connect(proxy, { database: schema }));
  const ask = async (count: number) => {
    const sessions = await Promise.all(opening);
    const asked = sessions.map((session) => session.column('SELECT ? + 1 AS next', [count]));
    for (const answer of await Promise.all(asked)) expect(answer.map(Number)).toEqual([count + 1]);
  };
  const busy = repeat(ask, async () => {
    for (const session of await Promise.all(opening)) await session.end();
  });
  const dropping = repeat(async (count) => {
    await using session = await connect(proxy, { database: schema });
    await runUnlessLate(
      session,
      ...[`CREATE TABLE kept_${count} (a INT)`, `INSERT INTO kept_${count} VALUES (${count})`],
      ...[`DROP TABLE kept_${count}`, `UNDROP TABLE kept_${count}`],
      ...[`CREATE TABLE at_once_${count} (a INT)`, `DROP TABLE at_once_${count}`],
    );
    expect(await session.column(`SELECT a FROM kept_${count}`)).toEqual([count]);
  });
  return [connecting, busy, dropping];
}

async function runUnlessLate(session: Session, ...texts: readonly string[]): Promise<void> {
  for (const text of texts) {
    let error = await session.errorOf(text);
    while (error !== null && LATE.test(error.message)) error = await session.errorOf(text);
    expect([text, error]).toEqual([text, null]);
  }
}

/** Each goes on, or has failed. */
export async function goOn(load: readonly Repeated[]): Promise<void> {
  const before = load.map(({ count }) => count);
  const areOn = until(
    () => load.every(({ count }, index) => count > (before[index] ?? 0) + 1),
    'all go on',
  );
  await Promise.race([areOn, ...load.map(({ done }) => done)]);
  await areOn;
}

/** Runs until it is ended, and counts; rejects at the end with what was not right. */
function repeat(
  run: (count: number) => Promise<void>,
  finish: () => Promise<void> = async () => undefined,
) {
  const repeated = { count: 0, isOver: false };
  const loop = async () => {
    while (!repeated.isOver) {
      await run(repeated.count);
      repeated.count++;
    }
  };
  const done = loop();
  // Reported at the end; until then it is none that nobody handles.
  done.catch(() => undefined);
  return {
    get count() {
      return repeated.count;
    },
    done,
    end: async () => {
      repeated.isOver = true;
      await done;
      await finish();
    },
  };
}

export type Repeated = ReturnType<typeof repeat>;
