/**
 * The sender of webhooks against real receivers: slow, failing, hanging, redirecting, gone. The
 * pauses are of a clock that a test moves.
 */
import { expect, test } from '@jest/globals';
import type { Clock } from '../../src/clock.js';
import { type Log, silentLog } from '../../src/log.js';
import { newCounters } from '../../src/metrics.js';
import { type IssuedNews, marked } from '../../src/webhook/news.js';
import { post } from '../../src/webhook/post.js';
import { Webhook, type WebhookOptions } from '../../src/webhook/webhook.js';
import { makeCertificates } from '../support/certificates.js';
import { until } from '../support/poll.js';
import { type HookReceiver, isSigned, receiveHooks, status } from '../support/webhook-receiver.js';

const SECRET = 'a secret of the test';

/** A clock whose sleeps are over at once, and that has moved by them. */
class QuickClock implements Clock {
  ms = Date.UTC(2026, 10, 28);
  readonly pausesMs: number[] = [];

  nowMs(): number {
    return this.ms;
  }

  async sleep(delayMs: number): Promise<void> {
    this.pausesMs.push(delayMs);
    this.ms += delayMs;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

function opened(urls: readonly string[], more: Pick<WebhookOptions, 'timeoutMs'> = {}) {
  const lines: Readonly<Record<string, unknown>>[] = [];
  const log: Log = { ...silentLog, warn: (fields, msg) => void lines.push({ ...fields, msg }) };
  const [clock, counters] = [new QuickClock(), newCounters()];
  const options = { urls, secret: SECRET, server: 'db:3306', clock, log, counters };
  const webhook = new Webhook({ ...options, ...more });
  webhook.begin();
  return { webhook, lines, clock, counters };
}

function news(number: number, more: Partial<IssuedNews> = {}): readonly IssuedNews[] {
  const at = '2026-11-28T00:00:00.000Z';
  const text = marked`${'app'} dropped it`;
  return [{ kind: 'drop', id: `id${number}`, at, text, fields: { number }, ...more }];
}

const numbersOf = ({ hooks }: HookReceiver) => hooks.map(({ body }) => body['number']);

test('a message arrives signed, with its id in the header and in the body', async () => {
  await using receiver = await receiveHooks();
  const { webhook, counters } = opened([receiver.url]);
  webhook.add(news(1));
  webhook.add(news(1));
  await until(() => counters.webhookSent === 1, 'it is sent');
  expect(await webhook.stop({ isEnd: false })).toEqual([]);
  const [hook] = receiver.hooks;
  expect(receiver.hooks).toHaveLength(1);
  expect(hook?.body).toMatchObject({ eventId: 'id1', event: 'drop', number: 1 });
  expect(hook?.headers).toMatchObject({ 'undrop-event-id': 'id1', 'undrop-event': 'drop' });
  expect(hook !== undefined && isSigned(hook, SECRET)).toBe(true);
  expect(hook !== undefined && isSigned(hook, 'another')).toBe(false);
  expect(hook?.text).not.toContain(SECRET);
});

test('a receiver whose certificate no authority signed gets nothing', async () => {
  await using certificates = makeCertificates();
  const { cert, key } = certificates;
  await using receiver = await receiveHooks({ tls: { cert, key } });
  const { signal } = new AbortController();
  const sent = post(receiver.url, { body: '{}', headers: {}, timeoutMs: 60_000, signal });
  await expect(sent).rejects.toThrow('UNABLE_TO_VERIFY_LEAF_SIGNATURE');
  expect(receiver.hooks).toEqual([]);
});

test('ten minutes of 500 lose nothing: the pauses grow, id and body stay, each try is signed anew', async () => {
  await using receiver = await receiveHooks();
  const { webhook, clock, counters, lines } = opened([receiver.url]);
  const endMs = clock.ms + 600_000;
  receiver.answer = (response) => response.writeHead(clock.ms < endMs ? 500 : 200).end();
  for (let number = 0; number < 5; number++) webhook.add(news(number));
  await until(() => counters.webhookSent === 5, 'all are sent');
  const tries = receiver.hooks.filter(({ body }) => body['number'] === 0);
  expect(tries.length).toBeGreaterThan(3);
  expect(new Set(tries.map(({ text }) => text)).size).toBe(1);
  expect(new Set(tries.map(({ headers }) => headers['undrop-timestamp'])).size).toBe(tries.length);
  expect(tries.every((hook) => isSigned(hook, SECRET))).toBe(true);
  expect([...clock.pausesMs]).toEqual([...clock.pausesMs].sort((one, other) => one - other));
  expect([...new Set(numbersOf(receiver))]).toEqual([0, 1, 2, 3, 4]);
  expect({ lines, lost: counters.webhookLost }).toEqual({ lines: [], lost: 0 });
});

test('a receiver that is gone gets all of it once it is back on its port', async () => {
  const gone = await receiveHooks();
  await gone[Symbol.asyncDispose]();
  const { webhook, clock, counters } = opened([gone.url]);
  webhook.add(news(1));
  webhook.add(news(2));
  await until(() => clock.pausesMs.length > 2, 'it was tried');
  await using back = await receiveHooks({ port: gone.port });
  await until(() => counters.webhookSent === 2, 'both are sent');
  expect(numbersOf(back)).toEqual([1, 2]);
});

test('what fails for six hours is one line of the log, without the URL, and is counted', async () => {
  await using receiver = await receiveHooks();
  receiver.answer = status(503);
  const { webhook, counters, lines } = opened([receiver.url]);
  webhook.add(news(1));
  await until(() => counters.webhookLost === 1, 'it is given up');
  expect(lines).toEqual([
    {
      ...{ event: 'webhook', receiver: 1, id: 'id1', news: 'drop', cause: 'status 503' },
      msg: 'cannot send an event to a webhook; giving it up',
    },
  ]);
  expect(JSON.stringify(lines)).not.toMatch(/T0SECRET|127\.0\.0\.1/);
});

test.each([301, 404, 410])(
  'an answer %d is final: no other host is asked, and the next message has its turn',
  async (code) => {
    await using other = await receiveHooks();
    await using receiver = await receiveHooks();
    receiver.answer = (response, hook) => {
      const isFirst = hook.body['number'] === 1;
      response.writeHead(isFirst ? code : 204, { Location: other.url }).end();
    };
    const { webhook, counters, lines } = opened([receiver.url]);
    webhook.add(news(1));
    webhook.add(news(2));
    await until(() => counters.webhookSent === 1, 'the second is sent');
    expect(numbersOf(receiver)).toEqual([1, 2]);
    expect(other.hooks).toEqual([]);
    expect(lines).toMatchObject([{ id: 'id1', cause: `status ${code}` }]);
  },
);

test('a receiver says when to come again', async () => {
  await using receiver = await receiveHooks();
  receiver.answer = status(429, { 'Retry-After': '42' });
  const { webhook, clock, counters } = opened([receiver.url]);
  webhook.add(news(1));
  await until(() => clock.pausesMs.length > 0, 'it was tried');
  receiver.answer = status(200);
  await until(() => counters.webhookSent === 1, 'it is sent');
  expect(clock.pausesMs[0]).toBe(42_000);
});

test('one that hangs holds up no other, and no shutdown; what it lacks is handed over', async () => {
  await using hanging = await receiveHooks();
  hanging.answer = () => undefined;
  await using receiver = await receiveHooks();
  const { webhook, counters } = opened([hanging.url, receiver.url]);
  webhook.add(news(1));
  webhook.add(news(2));
  await until(() => counters.webhookSent === 2, 'the other has both');
  await until(() => hanging.hooks.length === 1, 'it hangs');
  expect((await webhook.stop({ isEnd: false })).map(({ id }) => id)).toEqual(['id1', 'id2']);
});

test('a request that hangs ends after its time, and is tried again', async () => {
  await using receiver = await receiveHooks();
  receiver.answer = (response) => {
    if (receiver.hooks.length > 1) response.end();
  };
  const { webhook, counters } = opened([receiver.url], { timeoutMs: 50 });
  webhook.add(news(1));
  await until(() => counters.webhookSent === 1, 'it is sent');
  expect(receiver.hooks).toHaveLength(2);
});

test('a table that is used all the time is news once a day', async () => {
  await using receiver = await receiveHooks();
  const { webhook, clock, counters } = opened([receiver.url]);
  const use = (number: number, id: string) =>
    webhook.add(news(number, { kind: 'used-while-held', fields: { number, id } }));
  use(1, 'a');
  use(2, 'a');
  use(3, 'b');
  clock.ms += 86_400_000;
  use(4, 'a');
  await until(() => counters.webhookSent === 3, 'they are sent');
  expect(numbersOf(receiver)).toEqual([1, 3, 4]);
});

test('of more than a queue takes the oldest go, counted, with one line', async () => {
  const EXTRA = 7;
  await using receiver = await receiveHooks();
  receiver.answer = () => undefined;
  const { webhook, counters, lines } = opened([receiver.url]);
  for (let number = 0; number < 1_000 + EXTRA; number++) webhook.add(news(number));
  expect(counters.webhookLost).toBe(EXTRA);
  expect(lines).toMatchObject([{ event: 'webhook', receiver: 1 }]);
  const left = await webhook.stop({ isEnd: false });
  expect(left[0]?.id).toBe(`id${EXTRA}`);
  expect(left).toHaveLength(1_000);
});
