/**
 * An account with USAGE alone that tries, in turns, to cost the others of a proxy as much as it
 * can: values and texts as long as a packet, texts that stand still, prepared statements, patterns,
 * locks on the ledger, many logins by an anonymous account, slow requests of the console.
 */
import { connect as dial } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { frame, RawClient } from './raw-client.js';
import { connect, type Session, type Target } from './servers.js';

/**
 * `proxy`: the proxy, as the hostile account; `admin`: `host:port` of UNDROP_ADMIN_LISTEN; null:
 * there is none.
 */
export type Victim = { readonly proxy: Target; readonly admin: string | null };

type Attack = (victim: Victim, signal: AbortSignal) => Promise<void>;

const COSTLY_LIST = `SHOW DROPPED TABLES LIKE '${'%a_b'.repeat(60)}' ORDER BY size`;
const LONG_LIST = `SHOW DROPPED TABLES LIKE '${'a%'.repeat(13_000)}'`;

/** Every error is an answer: what counts is what others feel. Rejects if the session is over. */
async function tries(session: Session, ...texts: readonly string[]): Promise<void> {
  for (const text of texts) await session.query(text).catch(unlessOver);
}

/** Where a session is over, each further query rejects before anything else can run. */
export function unlessOver(error: { readonly fatal?: boolean }): readonly never[] {
  if (error.fatal) throw error;
  return [];
}

/** Beside one another, until the signal. */
async function many(
  count: number,
  { proxy }: Victim,
  work: (session: Session, index: number) => Promise<unknown>,
): Promise<void> {
  const one = async (index: number) => {
    try {
      await using session = await connect(proxy);
      session.on('error', () => undefined);
      await work(session, index);
    } catch {
      // Refused, or cut off.
    }
  };
  await Promise.all(Array.from({ length: count }, (_, index) => one(index)));
}

const ATTACKS: Readonly<Record<string, Attack>> = {
  'long values': (victim, signal) =>
    many(4, victim, async (session) => {
      while (!signal.aborted) {
        await tries(session, "SET @undrop = REPEAT(' ', 15000000)", 'DROP TABLE x.x');
        await tries(session, "SET @s = REPEAT('a', 15000000)", 'PREPARE p FROM @s');
        await tries(session, 'SET @undrop = NULL, @s = NULL');
      }
    }),

  'texts that stand still': async ({ proxy }, signal) => {
    const start = Buffer.from(`\x03UPDATE x.x SET a = '${'a'.repeat(256 * 1024)}`);
    const packet = frame(start, 0);
    packet.writeUIntLE(16 * 1024 * 1024 - 2, 0, 3);
    while (!signal.aborted) {
      const both = await Promise.all([RawClient.open(proxy), RawClient.open(proxy)]);
      for (const client of both) client.writeRaw(packet);
      await sleep(5_000, undefined, { signal }).catch(() => undefined);
      for (const client of both) client.close('reset');
    }
  },

  'prepared statements': (victim, signal) =>
    many(4, victim, async (session, index) => {
      const text = index === 0 ? LONG_LIST : `DROP TABLE x.\`${'t'.repeat(60)}\``;
      for (let count = 0; count < 700 && !signal.aborted; count++) {
        await session.prepare(`${text} /* ${count} */`).catch(() => undefined);
      }
      await sleep(2_000, undefined, { signal }).catch(() => undefined);
    }),

  'costly patterns': (victim, signal) =>
    many(20, victim, async (session) => {
      while (!signal.aborted) await tries(session, COSTLY_LIST);
    }),

  'locks on the ledger': (victim, signal) =>
    many(4, victim, async (session) => {
      while (!signal.aborted) {
        await tries(session, 'BEGIN', 'SELECT * FROM _undrop.ledger LOCK IN SHARE MODE');
        await tries(session, 'SELECT * FROM _undrop.ledger FOR UPDATE', 'COMMIT');
      }
    }),

  'many names': async (victim, signal) => {
    for (let count = 0; !signal.aborted; count++) {
      const [user, table] = [`nobody${count % 40}`, `${ANYBODYS}.t${count}`];
      const proxy = { ...victim.proxy, user, password: '' };
      await many(1, { ...victim, proxy }, (session) =>
        tries(session, `CREATE TABLE ${table} (id INT)`, `DROP TABLE ${table}`),
      );
    }
  },

  'slow requests': async ({ admin }, signal) => {
    if (admin === null) return;
    const [host, port] = admin.split(':');
    const sockets = Array.from({ length: 100 }, () => {
      const socket = dial({ host: host ?? '', port: Number(port) });
      socket.on('error', () => undefined);
      socket.write(
        `POST /console/sign-in HTTP/1.1\r\nHost: ${admin}\r\nContent-Length: 999\r\n\r\n`,
      );
      return socket;
    });
    while (!signal.aborted) {
      for (const socket of sockets) socket.write('a');
      await sleep(500, undefined, { signal }).catch(() => undefined);
    }
    for (const socket of sockets) socket.destroy();
  },
};

/** The schema of the anonymous account. */
export const ANYBODYS = 'crowd_anybody';
const TURN_MS = 8_000;

/** One attack after the other, until the signal. */
export async function attackInTurns(victim: Victim, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    for (const attack of Object.values(ATTACKS)) {
      if (signal.aborted) return;
      await attack(victim, AbortSignal.any([signal, AbortSignal.timeout(TURN_MS)]));
    }
  }
}
