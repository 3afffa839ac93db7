/**
 * Requests of the admin listener for an app of hono, which has the routes. The app gets the method
 * and the address; headers, body and socket stay those of Node.js, within the listener's limits.
 */
import type http from 'node:http';
import type { Log } from '../../log.js';
import { wrongParam } from './dropped-tables.js';
import type { Gate } from './gate.js';
import type { Operator } from './operator.js';
import type { People } from './web/people.js';

/** The apps are made of it. */
export interface ConsoleOptions {
  readonly gate: Gate;
  readonly people: People;
  readonly operator: Operator;
  readonly version: string;
  readonly log: Log;
  /** `MySQL 9.7.4 at db1:3306` */
  server(): string;
  /** Why clients can't be served; empty: they can. */
  problems(): Promise<readonly string[]>;
}

/** The `env` of an app. */
export interface Bindings {
  readonly incoming: http.IncomingMessage;
}

export type Serve = (
  incoming: http.IncomingMessage,
  response: http.ServerResponse,
) => Promise<void>;

/** `methods`: those of the routes. `headers`: of each answer, unless it has its own. */
export function serverOf(
  { fetch }: { fetch(request: Request, env: Bindings): Response | Promise<Response> },
  about: Readonly<{ methods: readonly string[]; headers: Record<string, string> }>,
): Serve {
  return async (incoming, response) => {
    const { method = '', url = '' } = incoming;
    // A Request refuses some methods, and hono handles HEAD as GET.
    const routed = about.methods.includes(method) ? method : 'OPTIONS';
    const request = new Request(`http://localhost${url}`, { method: routed });
    const answer = await fetch(request, { incoming });
    const body = Buffer.from(await answer.arrayBuffer());
    response.writeHead(answer.status, {
      ...about.headers,
      ...Object.fromEntries(answer.headers),
      // The rest of a body is not read.
      ...(incoming.complete ? {} : { connection: 'close' }),
    });
    response.end(body, () => {
      if (!incoming.complete) incoming.destroy();
    });
  };
}

/**
 * The body of a POST. Rejects with UNDROP_API_REQUEST if it is of another type, or has more than
 * `bytesMax` bytes, and reads no more.
 */
export async function readBody(
  incoming: http.IncomingMessage,
  { type, bytesMax }: { readonly type: string; readonly bytesMax: number },
): Promise<string> {
  const found = incoming.headers['content-type']?.split(';')[0]?.trim().toLowerCase();
  if (found !== type) throw wrongParam('Content-Type', type, found);
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > bytesMax) throw wrongParam('body', `at most ${bytesMax} bytes`, 'more');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}
