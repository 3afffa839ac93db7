/** The bodies of webhooks: what a receiver of each kind gets, whatever the names are. */
import { describe, expect, test } from '@jest/globals';
import type { AuditEvent } from '../../src/audit.js';
import { NEWS_KINDS, newsOfAudit, sizeText } from '../../src/news.js';
import { bodyOf, type MessageFormat } from '../../src/webhook/message.js';

type Held = AuditEvent<'held'>;

function held(table: string, more: Partial<Held> = {}): Held {
  return {
    event: 'held',
    ...{ user: 'deploy', client: '10.0.0.7:4711', threadId: 9 },
    ...{ id: `id-${table}`, dropId: 'd1', schema: 'shop', table },
    ...{ holdSchema: '_undrop', holdName: '_vt_HOLD_x', how: 'DROP TABLE', bytes: 2e9 },
    ...{ until: '2026-12-05T09:00:00.000Z', because: null, tags: { traceparent: '00-1-2-01' } },
    ...more,
  };
}

const SETTINGS = { kinds: NEWS_KINDS, dropBytesMin: 1e9 };

function bodies(format: MessageFormat, events: readonly AuditEvent[]) {
  return newsOfAudit(events, SETTINGS).map((news) => {
    const message = { ...news, id: '01a1', at: '2026-11-28T09:00:00.000Z', server: 'db:3306' };
    return JSON.parse(bodyOf(message, format)) as Readonly<Record<string, unknown>>;
  });
}

describe('a drop is news', () => {
  test('from a size on, all tables of a statement together', () => {
    const small = held('a', { bytes: 6e8 });
    expect(bodies('text', [small])).toEqual([]);
    expect(bodies('text', [held('a', { bytes: null })])).toEqual([]);
    expect(bodies('text', [small, held('b', { bytes: 6e8 })])).toEqual([
      {
        text:
          'undrop on `db:3306`: `deploy` dropped `shop.a, shop.b` (`DROP TABLE`, `2 tables`, `1.2 GB`). ' +
          'Held until `2026-12-05T09:00:00.000Z`.\nEvent 01a1',
      },
    ]);
  });

  test('of a schema always, and once', () => {
    const tables = Array.from({ length: 5_000 }, (_, index) =>
      held(`t${index}`, { how: 'DROP DATABASE', bytes: 1e3 }),
    );
    expect(bodies('event', tables)).toEqual([
      {
        ...{ eventId: '01a1', event: 'drop-database', at: '2026-11-28T09:00:00.000Z' },
        ...{ server: 'db:3306', dropId: 'd1', how: 'DROP DATABASE', schema: 'shop' },
        ...{ user: 'deploy', client: '10.0.0.7:4711', threadId: 9 },
        ...{ tableCount: 5_000, bytes: 5e6, until: '2026-12-05T09:00:00.000Z' },
        tags: { traceparent: '00-1-2-01' },
        tables: tables.slice(0, 10).map(({ table }) => `shop.${table}`),
        message: expect.stringContaining(
          'deploy dropped shop (DROP DATABASE, 5000 tables, 5.0 MB)',
        ),
      },
    ]);
  });

  test('unless it is not asked for; a big schema is then a big drop', () => {
    const events = [held('a', { how: 'DROP DATABASE' })];
    const kinds = ['drop', 'used-while-held'] as const;
    expect(newsOfAudit(events, { kinds, dropBytesMin: 1e9 })).toMatchObject([{ kind: 'drop' }]);
    expect(newsOfAudit(events, { kinds: ['disk'], dropBytesMin: 1e9 })).toEqual([]);
  });
});

test('neither a name nor a user becomes a mention, a link or a line', () => {
  const events = [held('<!channel>`x`\n@here & [a](http://evil)', { user: '@all' })];
  const [text] = bodies('text', events);
  expect(text?.['text']).toContain(
    "`@all` dropped `shop.&lt;!channel&gt;'x' @here &amp; [a](http://evil)`",
  );
  const card = JSON.stringify(bodies('card', events)[0]);
  expect(card).toContain('application/vnd.microsoft.card.adaptive');
  expect(card).toContain('RichTextBlock');
  expect(card).toContain('Event 01a1');
  expect(card).not.toContain('"TextBlock"');
});

test('no statement gets into a body', () => {
  const statement = "DROP TABLE a /* password='hunter2' */";
  const refused = { event: 'refused', code: 'UNDROP_RULE', statement } as const;
  expect(
    bodies('event', [refused, { event: 'hint', hints: ['x'], code: null, statement }]),
  ).toEqual([]);
});

test('statements that use a held table are news', () => {
  const used = {
    ...{ id: 'id1', dropId: 'd1', schema: 'shop', table: 'a' },
    user: 'app',
    count: 3,
  };
  expect(bodies('event', [{ event: 'used-while-held', ...used }])).toMatchObject([
    { event: 'used-while-held', eventId: '01a1', ...used },
  ]);
});

test.each([
  [null, 'an unknown size'],
  [0, '0 B'],
  [999, '999 B'],
  [1_000, '1.0 kB'],
  [102e6, '102 MB'],
  [3.2e15, '3.2 PB'],
])('a size of %s bytes is %s', (bytes, text) => {
  expect(sizeText(bytes)).toBe(text);
});
