/**
 * The message of a webhook: the body in the format of its receiver, made once, and the headers of
 * one try, with the signature. Pure but for the id and the time, which the caller gives.
 */
import { createHmac } from 'node:crypto';
import type { IssuedNews, Sentence } from '../news.js';

export type MessageFormat = 'text' | 'card' | 'event';

/** News on their way to receivers. */
export interface Message extends IssuedNews {
  /** The server behind undrop, as in UNDROP_UPSTREAM. */
  readonly server: string;
}

/** A name longer than that is cut: the bodies of some receivers are small. */
const VALUE_CHARACTERS_MAX = 1_000;

export function bodyOf(message: Message, format: MessageFormat): string {
  const { id, at, kind: event, sentence, fields, server } = message;
  switch (format) {
    case 'text':
      return JSON.stringify({
        text: `undrop on ${quoted(server)}: ${join(sentence, quoted)}\nEvent ${id}`,
      });
    case 'card':
      return JSON.stringify(card(`undrop on ${server}: ${join(sentence, plain)}`, `Event ${id}`));
    case 'event':
      return JSON.stringify({
        eventId: id,
        event,
        at,
        server,
        message: join(sentence, plain),
        ...fields,
      });
  }
}

/**
 * `Undrop-Signature` is the HMAC-SHA256, in hex digits, of the timestamp, a dot, and the body; none
 * without a secret. `nowMs`: of this try, so that a receiver can refuse what is old.
 */
export function headersOf(
  { id, kind }: Message,
  body: string,
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

function join({ texts, values }: Sentence, show: (value: string) => string): string {
  return texts.map((text, index) => `${text}${show(values[index] ?? '')}`).join('');
}

/** Without line breaks and other control characters. */
function plain(value: string): string {
  const text = value.replaceAll(/\p{Cc}+/gu, ' ');
  return text.length <= VALUE_CHARACTERS_MAX ? text : `${text.slice(0, VALUE_CHARACTERS_MAX)}…`;
}

/**
 * Marked as code, so that a table named `@channel` or `<!here>` notifies no people. Slack reads &,
 * < and > as marks even there.
 */
function quoted(value: string): string {
  const text = plain(value).replaceAll('`', "'");
  const escaped = text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
  return escaped.trim() === '' ? escaped : `\`${escaped}\``;
}

/** A RichTextBlock has no markup: a name can't become a link in it. */
function card(text: string, subtle: string): object {
  const run = (one: string, more = {}) => ({
    type: 'RichTextBlock',
    inlines: [{ type: 'TextRun', text: one, ...more }],
  });
  const content = {
    $schema: 'http://adaptivecards.io/schemas/adaptive-card.json',
    type: 'AdaptiveCard',
    version: '1.2',
    body: [run(text), run(subtle, { isSubtle: true, size: 'small' })],
  };
  const contentType = 'application/vnd.microsoft.card.adaptive';
  return { type: 'message', attachments: [{ contentType, contentUrl: null, content }] };
}
