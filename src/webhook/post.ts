/**
 * Sends one POST of a webhook. It follows no redirection, so a signed body reaches no other host
 * than the configured one.
 *
 * Invariant: an error never has the URL in it, which is a secret, nor what the receiver wrote.
 */
import http from 'node:http';
import https from 'node:https';

export interface PostOptions {
  readonly body: string;
  readonly headers: Readonly<Record<string, string | number>>;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

export interface Posted {
  readonly status: number;
  /** From the header Retry-After, in seconds; null: there is none, or it is a date. */
  readonly retryAfterMs: number | null;
}

/** The connection ends after that much of a response. */
const RESPONSE_BYTES_MAX = 4_096;

/** Rejects with an error whose message is a code, such as ECONNREFUSED. */
export function post(url: string, options: PostOptions): Promise<Posted> {
  const { body, headers, timeoutMs, signal } = options;
  const { request } = url.startsWith('https:') ? https : http;
  return new Promise((resolve, reject) => {
    const fail = (error: unknown) => reject(new Error(codeOf(error)));
    const ends = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
    const how = { method: 'POST', headers, signal: ends, agent: false };
    const sent = request(new URL(url), how, (response) => {
      const { statusCode: status = 0, headers: found } = response;
      const seconds = /^\d{1,6}$/.exec(found['retry-after'] ?? '')?.[0];
      const retryAfterMs = seconds === undefined ? null : Number(seconds) * 1_000;
      let bytes = 0;
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > RESPONSE_BYTES_MAX) response.destroy();
      });
      // The status is enough, however the body ends.
      response.on('error', () => undefined);
      response.on('close', () => resolve({ status, retryAfterMs }));
    });
    sent.on('error', fail);
    // No body follows, and the time limit doesn't end such a connection.
    sent.on('upgrade', (_response, socket) => {
      socket.destroy();
      fail({});
    });
    sent.end(body);
  });
}

function codeOf(error: unknown): string {
  const { code, name } = error as { readonly code?: unknown; readonly name?: unknown };
  const isCode = typeof code === 'string' && /^[A-Z0-9_]+$/.test(code);
  if (name === 'AbortError' || name === 'TimeoutError') return 'no answer in time';
  return isCode ? code : 'no connection';
}
