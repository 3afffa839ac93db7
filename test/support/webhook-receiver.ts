/** A receiver of webhooks: an HTTP server that answers as a test wants it to. */
import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import type { AddressInfo } from 'node:net';

interface ReceivedHook {
  readonly headers: http.IncomingHttpHeaders;
  readonly text: string;
  /** The body, parsed. */
  readonly body: Readonly<Record<string, unknown>>;
}

type Answer = (response: http.ServerResponse, hook: ReceivedHook) => void;

export interface HookReceiver extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  /** All that came, in their order, whatever the answer. */
  readonly hooks: readonly ReceivedHook[];
  /** How it answers from now on. */
  answer: Answer;
}

export function status(code: number, headers: http.OutgoingHttpHeaders = {}): Answer {
  return (response) => response.writeHead(code, headers).end('no');
}

interface ReceiverOptions {
  /** Default: a free one. */
  readonly port?: number;
  /** Files; then it speaks HTTPS. */
  readonly tls?: { readonly cert: string; readonly key: string };
}

export async function receiveHooks({ port = 0, tls }: ReceiverOptions = {}): Promise<HookReceiver> {
  const hooks: ReceivedHook[] = [];
  const listener: http.RequestListener = (request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const text = Buffer.concat(chunks).toString();
      const body = JSON.parse(text) as ReceivedHook['body'];
      const hook = { headers: request.headers, text, body };
      hooks.push(hook);
      receiver.answer(response, hook);
    });
  };
  const server =
    tls === undefined
      ? http.createServer(listener)
      : https.createServer({ cert: readFileSync(tls.cert), key: readFileSync(tls.key) }, listener);
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  const bound = (server.address() as AddressInfo).port;
  const receiver: HookReceiver = {
    url: `http${tls === undefined ? '' : 's'}://127.0.0.1:${bound}/hooks/T0SECRET`,
    port: bound,
    hooks,
    answer: status(200),
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return receiver;
}

/** Checked as docs/reference/events.md says. */
export function isSigned({ headers, text }: ReceivedHook, secret: string): boolean {
  const signed = `${headers['undrop-timestamp']}.${text}`;
  const expected = createHmac('sha256', secret).update(signed).digest('hex');
  return headers['undrop-signature'] === `v1=${expected}`;
}
