/** A client that drops, and what it is told: an answer, or the end of its connection. */
import type { Connection } from 'mysql2/promise';
import { connect, type Target } from '../support/servers.js';
import { DROPPER, ONE_STATEMENT, type Scene } from './scenes.js';

export type Outcome =
  | { readonly kind: 'ok' }
  | { readonly kind: 'error'; readonly errno: number; readonly message: string }
  | { readonly kind: 'lost' };

/** Nobody waits longer for an answer, whatever breaks. */
const ANSWER_MS = 40_000;

const LOST: readonly unknown[] = ['PROTOCOL_CONNECTION_LOST', 'ECONNRESET', 'EPIPE'];

export interface Said {
  readonly outcome: Outcome;
  /** The client goes; until then it stays, as clients do. */
  leave(): void;
}

export async function sayDrop(proxy: Target, schema: string, scene: Scene): Promise<Said> {
  let client: Connection | null = null;
  const outcome = await outcomeOf(async () => {
    const user = scene.grants === undefined ? {} : { user: DROPPER, password: '' };
    client = await connect(proxy, { database: schema, ...user });
    client.on('error', () => undefined);
    const { text } = scene.drop ?? ONE_STATEMENT;
    for (const statement of [...scene.before, text]) await client.query(statement);
  });
  return { outcome, leave: () => client?.destroy() };
}

/** Rejects where the client waits for ever. */
export async function outcomeOf(talk: () => Promise<void>): Promise<Outcome> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    const what = `no answer within ${ANSWER_MS / 1000} s`;
    timer = setTimeout(() => reject(new Error(what)), ANSWER_MS);
  });
  const talking = talk();
  try {
    await Promise.race([talking, late]);
    return { kind: 'ok' };
  } catch (error) {
    talking.catch(() => undefined);
    const { code, errno, message } = error as NodeJS.ErrnoException;
    if (LOST.includes(code)) return { kind: 'lost' };
    if (errno === undefined || errno < 0) throw error;
    return { kind: 'error', errno, message };
  } finally {
    clearTimeout(timer);
  }
}
