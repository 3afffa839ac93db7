/** The message of a webhook: its body, made once, and the headers of a try, with the signature. */
import { createHmac } from 'node:crypto';
import { type IssuedNews, marked, type NewsKind } from './news.js';

/** News on their way to receivers; JSON, for the next process of the service as well. */
export interface Message {
  readonly id: string;
  readonly kind: NewsKind;
  readonly body: string;
}

/** `server`: the server behind undrop, as in UNDROP_UPSTREAM. */
export function messageOf({ id, kind, at, text, fields }: IssuedNews, server: string): Message {
  const shown = `${marked`undrop on ${server}: `}${text}\nEvent ${id}`;
  const body = { text: shown, eventId: id, event: kind, at, server, ...fields };
  return { id, kind, body: JSON.stringify(body) };
}

/**
 * `Undrop-Signature` is the HMAC-SHA256, in hex digits, of the timestamp, a dot, and the body; none
 * without a secret. `nowMs`: of this try, so that a receiver can refuse what is old.
 */
export function headersOf(
  { id, kind, body }: Message,
  { secret, nowMs }: { readonly secret: string; readonly nowMs: number },
): Readonly<Record<string, string | number>> {
  const timestamp = String(Math.floor(nowMs / 1_000));
  const signature = createHmac('sha256', secret).update(`${timestamp}.${body}`).digest('hex');
  return {
    'Content-Type': 'application/json',
    'Content-Length': Buffer.byteLength(body),
    'User-Agent': 'undrop',
    'Undrop-Event': kind,
    'Undrop-Event-Id': id,
    'Undrop-Timestamp': timestamp,
    ...(secret === '' ? {} : { 'Undrop-Signature': `v1=${signature}` }),
  };
}
