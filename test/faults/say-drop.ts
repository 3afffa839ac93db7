/** A client that says something, and what it is told: an answer, or the end of its connection. */
import type { ConnectionOptions } from 'mysql2/promise';
import { connect, type Session } from '../support/servers.js';
import type { FaultRig } from './fault-rig.js';

export type Outcome =
  | { readonly kind: 'ok' }
  | { readonly kind: 'error'; readonly errno: number; readonly message: string }
  | { readonly kind: 'lost' };

/** Nobody waits longer for an answer, whatever breaks. */
const ANSWER_MS = 60_000;

const LOST: readonly unknown[] = ['PROTOCOL_CONNECTION_LOST', 'ECONNRESET', 'EPIPE'];

/**
 * In a session through the proxy, in the rig's schema. Rejects where the client waits for ever. It
 * stays until `leave`, as clients do.
 */
export async function say(
  { proxy, schema }: Pick<FaultRig, 'proxy' | 'schema'>,
  texts: readonly string[],
  as: ConnectionOptions = {},
) {
  let client: Session | null = null;
  const talk = async (): Promise<Outcome> => {
    client = await connect(proxy, { database: schema, ...as });
    client.on('error', () => undefined);
    for (const text of texts) await client.query(text);
    return { kind: 'ok' };
  };
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    const what = `no answer within ${ANSWER_MS / 1000} s`;
    timer = setTimeout(() => reject(new Error(what)), ANSWER_MS);
  });
  const lost = proxy.killed.then((): Outcome => ({ kind: 'lost' }));
  const outcome = await Promise.race([talk().catch(outcomeOf), lost, late]).finally(() =>
    clearTimeout(timer),
  );
  return { outcome, leave: () => client?.destroy() };
}

function outcomeOf(error: unknown): Outcome {
  const { code, errno, message } = error as NodeJS.ErrnoException;
  if (LOST.includes(code)) return { kind: 'lost' };
  if (errno === undefined || errno < 0) throw error;
  return { kind: 'error', errno, message };
}
