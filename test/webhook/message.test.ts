/** The body of a webhook: what a receiver gets, whatever the names are. */
import { describe, expect, test } from '@jest/globals';
import type { AuditEvent } from '../../src/audit.js';
import { messageOf } from '../../src/webhook/message.js';
import { newsOfAudit } from '../../src/webhook/news.js';

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

function bodies(events: readonly AuditEvent[]) {
  return newsOfAudit(events).map((news) => {
    const issued = { ...news, id: '01a1', at: '2026-11-28T09:00:00.000Z' };
    const { body } = messageOf(issued, 'db:3306');
    return JSON.parse(body) as Readonly<Record<string, unknown>>;
  });
}

describe('a drop is news', () => {
  test('from a size on, all tables of a statement together', () => {
    const small = held('a', { bytes: 6e8 });
    expect(bodies([small])).toEqual([]);
    expect(bodies([held('a', { bytes: null })])).toEqual([]);
    expect(bodies([small, held('b', { bytes: 6e8 })])).toMatchObject([
      {
        event: 'drop',
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
    expect(bodies(tables)).toEqual([
      {
        ...{ eventId: '01a1', event: 'drop-database', at: '2026-11-28T09:00:00.000Z' },
        ...{ server: 'db:3306', dropId: 'd1', how: 'DROP DATABASE', schema: 'shop' },
        ...{ user: 'deploy', client: '10.0.0.7:4711', threadId: 9 },
        ...{ tableCount: 5_000, bytes: 5e6, until: '2026-12-05T09:00:00.000Z' },
        tags: { traceparent: '00-1-2-01' },
        tables: tables.slice(0, 10).map(({ table }) => `shop.${table}`),
        text: expect.stringContaining(
          '`deploy` dropped `shop` (`DROP DATABASE`, `5000 tables`, `5.0 MB`)',
        ),
      },
    ]);
  });

  test('of a schema whose size is not known', () => {
    const [body] = bodies([held('a', { how: 'DROP DATABASE', bytes: null })]);
    expect(body?.['text']).toContain('(`DROP DATABASE`, `1 table`, `an unknown size`)');
  });
});

test('neither a name nor a user becomes a mention, a link or a line', () => {
  const events = [held('<!channel>`x`\n@here & [a](http://evil)', { user: '@all' })];
  const [body] = bodies(events);
  expect(body?.['text']).toContain(
    "`@all` dropped `shop.&lt;!channel&gt;'x' @here &amp; [a](http://evil)`",
  );
});

test('no statement gets into a body', () => {
  const statement = "DROP TABLE a /* password='hunter2' */";
  const refused = { event: 'refused', code: 'UNDROP_RULE', statement } as const;
  expect(bodies([refused, { event: 'hint', hints: ['x'], code: null, statement }])).toEqual([]);
});

test('statements that use a held table are news', () => {
  const used = {
    ...{ id: 'id1', dropId: 'd1', schema: 'shop', table: 'a' },
    user: 'app',
    count: 3,
  };
  expect(bodies([{ event: 'used-while-held', ...used }])).toMatchObject([
    { event: 'used-while-held', eventId: '01a1', ...used },
  ]);
});
