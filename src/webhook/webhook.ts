/**
 * Sends news to the receivers of UNDROP_WEBHOOK: each has a queue and its own loop, so that one
 * that hangs holds up no other. A message that fails is tried again in growing pauses, up to a
 * bound. It lives in the control process; proxies send their news there.
 *
 * Invariants: `add` never waits and never throws. A queue is bounded: the oldest go first, and are
 * counted. A message may come twice (a response was lost, a reload), with the same id. Before
 * `begin` nothing is sent, because the process before it may still send.
 */
import { type Clock, withinMs } from '../clock.js';
import type { Log } from '../log.js';
import type { Counters } from '../metrics.js';
import { pauseBefore, WEBHOOK } from '../tries.js';
import { headersOf, type Message, messageOf } from './message.js';
import type { IssuedNews } from './news.js';
import { type Posted, post } from './post.js';

const QUEUE_MAX = 1_000;
const TIMEOUT_MS = 10_000;
/** A shutdown waits no longer for messages that are under way. */
const END_WITHIN_MS = 2_000;
/** A table that is used all the time is news once a day. */
const USE_EVERY_MS = 86_400_000;
const USED_TABLES_MAX = 10_000;

export interface WebhookOptions {
  readonly urls: readonly string[];
  /** Empty: messages aren't signed. */
  readonly secret: string;
  /** The server behind undrop, for people. */
  readonly server: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly counters: Pick<Counters, 'webhookSent' | 'webhookLost'>;
  /** The limit of one request; default: 10 s. */
  readonly timeoutMs?: number;
}

export class Webhook {
  readonly #options: WebhookOptions;
  readonly #stopping = new AbortController();
  readonly #receivers: readonly Receiver[];
  /** By the id of the table, when its use was last news. */
  readonly #usedAtMs = new Map<string, number>();

  constructor(options: WebhookOptions) {
    this.#options = options;
    const { signal } = this.#stopping;
    this.#receivers = options.urls.map((url, index) => {
      return new Receiver({ ...options, url, number: index + 1, signal });
    });
  }

  /** Does nothing with news that is queued already. */
  add(news: readonly IssuedNews[]): void {
    const added = news.filter((one) => !this.#isKnownUse(one));
    this.take(added.map((one) => messageOf(one, this.#options.server)));
  }

  /** From the process before it. */
  take(messages: readonly Message[]): void {
    for (const receiver of this.#receivers) {
      for (const message of messages) receiver.add(message);
    }
  }

  /** No other process of this service sends. */
  begin(): void {
    for (const receiver of this.#receivers) receiver.begin();
  }

  /**
   * Ends within two seconds; resolves to the messages that some receiver doesn't have, for the next
   * process. `isEnd`: there is none.
   */
  async stop({ isEnd }: { readonly isEnd: boolean }): Promise<readonly Message[]> {
    const idle = Promise.all(this.#receivers.map((receiver) => receiver.idle));
    await withinMs(END_WITHIN_MS, idle);
    this.#stopping.abort();
    await idle;
    const left = this.#receivers.flatMap((receiver) => receiver.left);
    const byId = new Map(left.map((message) => [message.id, message]));
    if (isEnd && byId.size > 0) {
      const what = 'cannot send events to a webhook before the end; giving them up';
      this.#options.log.warn({ event: 'webhook', ids: [...byId.keys()] }, what);
    }
    return [...byId.values()];
  }

  #isKnownUse({ kind, fields }: IssuedNews): boolean {
    if (kind !== 'used-while-held') return false;
    const [id, nowMs] = [String(fields['id']), this.#options.clock.nowMs()];
    const atMs = this.#usedAtMs.get(id) ?? Number.NEGATIVE_INFINITY;
    if (nowMs - atMs < USE_EVERY_MS) return true;
    this.#usedAtMs.delete(id);
    this.#usedAtMs.set(id, nowMs);
    const [oldest] = this.#usedAtMs.keys();
    if (this.#usedAtMs.size > USED_TABLES_MAX && oldest !== undefined) {
      this.#usedAtMs.delete(oldest);
    }
    return false;
  }
}

interface ReceiverOptions extends WebhookOptions {
  readonly url: string;
  /** Its place in UNDROP_WEBHOOK, from 1 on: it stands for the URL in the log. */
  readonly number: number;
  readonly signal: AbortSignal;
}

class Receiver {
  readonly #options: ReceiverOptions;
  /** By id, oldest first. */
  readonly #queue = new Map<string, { readonly message: Message; readonly sinceMs: number }>();
  #hasBegun = false;
  #running: Promise<void> | null = null;
  /** The queue has overflowed since it was last empty. */
  #isOver = false;

  constructor(options: ReceiverOptions) {
    this.#options = options;
  }

  get left(): readonly Message[] {
    return [...this.#queue.values()].map(({ message }) => message);
  }

  /** Resolves when nothing is left to do, or after an abort. */
  get idle(): Promise<void> {
    return this.#running ?? Promise.resolve();
  }

  begin(): void {
    this.#hasBegun = true;
    this.#start();
  }

  add(message: Message): void {
    if (this.#queue.has(message.id)) return;
    this.#queue.set(message.id, { message, sinceMs: this.#options.clock.nowMs() });
    const [oldest] = this.#queue.keys();
    if (this.#queue.size > QUEUE_MAX && oldest !== undefined) this.#overflow(oldest);
    this.#start();
  }

  #overflow(oldest: string): void {
    const { log, counters, number: receiver } = this.#options;
    this.#queue.delete(oldest);
    counters.webhookLost++;
    if (this.#isOver) return;
    this.#isOver = true;
    const what = 'too many events wait for a webhook; dropping the oldest';
    log.warn({ event: 'webhook', receiver, queued: QUEUE_MAX }, what);
  }

  #start(): void {
    if (!this.#hasBegun || this.#queue.size === 0 || this.#options.signal.aborted) return;
    this.#running ??= this.#run().finally(() => {
      this.#running = null;
      this.#start();
    });
  }

  async #run(): Promise<void> {
    const { clock, signal } = this.#options;
    for (let tries = 0; !signal.aborted; ) {
      const [first] = this.#queue.values();
      if (first === undefined) break;
      const failure = await this.#try(first.message);
      if (failure !== null && signal.aborted) return;
      if (failure === null || this.#isGivenUp(first.sinceMs, failure)) {
        tries = 0;
        this.#end(first.message, failure);
        continue;
      }
      const pauseMs = Math.max(pauseBefore(WEBHOOK, tries++), failure.retryAfterMs);
      await clock.sleep(Math.min(pauseMs, pauseBefore(WEBHOOK, Number.MAX_VALUE)), signal);
    }
    this.#isOver = false;
  }

  /** Null: it has arrived. */
  async #try(message: Message): Promise<Failure | null> {
    const { url, secret, clock, signal, timeoutMs = TIMEOUT_MS } = this.#options;
    const headers = headersOf(message, { secret, nowMs: clock.nowMs() });
    try {
      return failureOf(await post(url, { body: message.body, headers, timeoutMs, signal }));
    } catch (error) {
      const cause = error instanceof Error ? error.message : 'no connection';
      return { cause, isFinal: false, retryAfterMs: 0 };
    }
  }

  #isGivenUp(sinceMs: number, { isFinal }: Failure): boolean {
    return isFinal || this.#options.clock.nowMs() - sinceMs >= WEBHOOK.givenUpMs;
  }

  #end({ id, kind: news }: Message, failure: Failure | null): void {
    const { log, counters, number: receiver } = this.#options;
    // It was dropped meanwhile, and counted.
    if (!this.#queue.delete(id)) return;
    if (failure === null) {
      counters.webhookSent++;
      return;
    }
    counters.webhookLost++;
    const fields = { event: 'webhook', receiver, id, news, cause: failure.cause };
    log.warn(fields, 'cannot send an event to a webhook; giving it up');
  }
}

interface Failure {
  readonly cause: string;
  /** Another try would fail as well. */
  readonly isFinal: boolean;
  readonly retryAfterMs: number;
}

/** Request Timeout, Too Early, Too Many Requests. */
const PASSING = [408, 425, 429];

function failureOf({ status, retryAfterMs }: Posted): Failure | null {
  if (status >= 200 && status < 300) return null;
  const isFinal = status >= 300 && status < 500 && !PASSING.includes(status);
  return { cause: `status ${status}`, isFinal, retryAfterMs: retryAfterMs ?? 0 };
}
