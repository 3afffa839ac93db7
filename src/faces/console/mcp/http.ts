/**
 * The tools by Streamable HTTP at `/mcp`, for requests that the API has let in: each message is
 * answered on its own, as JSON, so nothing is kept between two of them.
 * https://modelcontextprotocol.io/specification/2025-06-18/basic/transports
 */
import type http from 'node:http';
import { WebStandardStreamableHTTPServerTransport as Transport } from '@modelcontextprotocol/sdk/server/webStandardStreamableHttp.js';
import type { Log } from '../../../log.js';
import type { SqlSession } from '../session.js';
import { newMcpServer } from './tools.js';

interface Asked {
  /** Parsed. */
  readonly body: unknown;
  /** The account that asks has it. */
  readonly session: SqlSession;
  readonly version: string;
  readonly log: Log;
}

export async function answerMcp(
  { headers }: http.IncomingMessage,
  { body: parsedBody, session, version, log }: Asked,
): Promise<Response> {
  const server = newMcpServer({
    version,
    inSession: (work) => work(session),
    onDefect: (err) => log.error({ event: 'admin', err }, 'cannot answer a call of a tool'),
  });
  const transport = new Transport({ enableJsonResponse: true });
  await server.connect(transport);
  const request = new Request('http://localhost/mcp', { method: 'POST' });
  for (const name of ['accept', 'content-type', 'mcp-protocol-version']) {
    const value = headers[name];
    if (typeof value === 'string') request.headers.set(name, value);
  }
  return transport.handleRequest(request, { parsedBody }).finally(() => server.close());
}
