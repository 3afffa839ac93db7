/**
 * The news of a service: chooses those that UNDROP_WEBHOOK_EVENTS names, and hands them to the
 * webhooks. It lives in the control process; proxies send their news there.
 *
 * Invariant: before `begin` nothing is sent, because the process before it may still send.
 */
import { withinMs } from '../clock.js';
import { type IssuedNews, type News, type NewsKind, sentenceOf } from '../news.js';
import type { Message } from './message.js';
import { ServerNews, type ServerNewsOptions } from './server-news.js';
import { END_WITHIN_MS, Webhook, type WebhookOptions } from './webhook.js';

interface NewsDeskOptions extends WebhookOptions {
  readonly kinds: readonly NewsKind[];
  /** The server behind undrop, for people. */
  readonly server: string;
  /** Gives news of this process their id. */
  issue(news: News): IssuedNews;
}

/** For the next process of the service: JSON. */
export interface Handover {
  readonly messages: readonly Message[];
  readonly reported: readonly string[];
}

/** A table that is used all the time is news once a day. */
const USE_EVERY_MS = 86_400_000;
const USED_TABLES_MAX = 10_000;
const REASON_CHARACTERS_MAX = 300;

export class NewsDesk {
  readonly #options: NewsDeskOptions;
  readonly #webhook: Webhook;
  readonly #stopping = new AbortController();
  /** By the id of the table, when its use was last news. */
  readonly #usedAtMs = new Map<string, number>();
  #server: ServerNews | null = null;
  #running: Promise<void> = Promise.resolve();
  #handedOver: Handover | null = null;

  constructor(options: NewsDeskOptions) {
    this.#options = options;
    this.#webhook = new Webhook(options);
  }

  /** Never waits, never throws. */
  readonly add = (news: readonly IssuedNews[]): void => {
    const { kinds, server } = this.#options;
    for (const one of news) {
      if (!kinds.includes(one.kind) || this.#isKnownUse(one)) continue;
      this.#webhook.add({ ...one, server });
    }
  };

  /** Takes the fields of a warning of the log: a table that the collector can't move on. */
  readonly onWarn = (fields: object): void => {
    const { event, because, ...table } = fields as Readonly<Record<string, unknown>>;
    if (event !== 'left') return;
    const reason = String(because).slice(0, REASON_CHARACTERS_MAX);
    const name = `${table['schema']}.${table['name']}`;
    const sentence = sentenceOf`The held table ${name} could not be moved on, and stays: ${reason}`;
    const news = { kind: 'left', sentence, fields: { ...table, because: reason } } as const;
    this.add([this.#options.issue(news)]);
  };

  /** No other process of this service sends. */
  begin(watch: Omit<ServerNewsOptions, 'add' | 'clock' | 'log' | 'signal'>): void {
    const { clock, log, urls, issue } = this.#options;
    if (urls.length === 0) return;
    const { signal } = this.#stopping;
    const add = (news: News) => this.add([issue(news)]);
    this.#server = new ServerNews({ ...watch, clock, log, signal, add });
    if (this.#handedOver !== null) this.#server.resume(this.#handedOver.reported);
    this.#webhook.begin();
    this.#running = this.#server.run();
  }

  /** From the process before it. */
  take(handover: Handover): void {
    this.#handedOver = handover;
    for (const message of handover.messages) this.#webhook.add(message);
  }

  /**
   * Ends within two seconds; resolves to what is left for the next process. `isEnd`: there is none.
   */
  async stop({ isEnd }: { readonly isEnd: boolean }): Promise<Handover> {
    this.#stopping.abort();
    const messages = await this.#webhook.stop();
    await withinMs(END_WITHIN_MS, this.#running);
    if (isEnd && messages.length > 0) {
      const what = 'cannot send events to a webhook before the end; giving them up';
      this.#options.log.warn({ event: 'webhook', ids: messages.map(({ id }) => id) }, what);
    }
    return { messages, reported: this.#server?.reported ?? [] };
  }

  #isKnownUse({ kind, fields }: News): boolean {
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
