/** The estimate of drops that reached a server without undrop, from numbers of different age. */
import fc from 'fast-check';
import { DropsElsewhere } from '../../src/collector/drops-elsewhere.js';

const at = (second: number) => new Date(second * 1_000);
const service = (id: string, second: number, dropsSent: number | null) => ({
  ...{ id, dropsSent },
  seenAt: at(second),
});

test('a drop past undrop is found once every service has written its number', () => {
  const found = new DropsElsewhere();
  expect(found.take({ at: at(0), counted: 100 }, [service('a', 0, 7)])).toBe(0);
  // The drop comes now.
  expect(found.take({ at: at(10), counted: 101 }, [service('a', 0, 7)])).toBe(0);
  expect(found.take({ at: at(20), counted: 101 }, [service('a', 15, 7)])).toBe(1);
  expect(found.take({ at: at(60), counted: 101 }, [service('a', 50, 7)])).toBe(1);
});

test('drops of services are none, whether they begin, end or are killed', () => {
  const found = new DropsElsewhere();
  found.take({ at: at(0), counted: 10 }, [service('a', 0, 4)]);
  const both = [service('a', 30, 5), service('b', 30, 1)];
  expect(found.take({ at: at(40), counted: 12 }, both)).toBe(0);
  expect(found.take({ at: at(80), counted: 13 }, [service('b', 60, 2)])).toBe(0);
  expect(found.take({ at: at(120), counted: 13 }, [service('c', 110, 0)])).toBe(0);
});

test('a service that counts anew has sent no fewer', () => {
  const found = new DropsElsewhere();
  found.take({ at: at(0), counted: 50 }, [service('a', 0, 50)]);
  expect(found.take({ at: at(20), counted: 50 }, [service('a', 15, 0)])).toBe(0);
  expect(found.take({ at: at(60), counted: 51 }, [service('a', 55, 1)])).toBe(0);
  expect(found.take({ at: at(99), counted: 51 }, [service('a', 95, 1)])).toBe(0);
});

test('a restart of the server keeps what was found', () => {
  const found = new DropsElsewhere();
  found.take({ at: at(0), counted: 10 }, [service('a', 0, 0)]);
  found.take({ at: at(10), counted: 12 }, [service('a', 0, 0)]);
  expect(found.take({ at: at(20), counted: 12 }, [service('a', 19, 0)])).toBe(2);
  expect(found.take({ at: at(30), counted: 0 }, [service('a', 19, 0)])).toBe(2);
  expect(found.take({ at: at(60), counted: 1 }, [service('a', 59, 0)])).toBe(2);
});

test('a service that does not count makes it unknown', () => {
  const found = new DropsElsewhere();
  expect(found.take({ at: at(0), counted: 10 }, [service('a', 0, null)])).toBeNull();
});

test('whatever the order of looks and rows, no drop of a service counts', () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant('sent' as const), of: fc.nat(2) }),
    fc.record({ kind: fc.constant('row' as const), of: fc.nat(2) }),
    fc.record({ kind: fc.constant('look' as const), of: fc.nat(2) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const found = new DropsElsewhere();
      const sent = [0, 0, 0];
      const rows = sent.map((_, nr) => service(`${nr}`, 0, 0));
      for (const [now, { kind, of }] of steps.entries()) {
        const second = now * 5;
        if (kind === 'sent') sent[of] = (sent[of] ?? 0) + 1;
        if (kind === 'row') rows[of] = service(`${of}`, second, sent[of] ?? 0);
        const counted = sent.reduce((sum, one) => sum + one, 0);
        if (kind === 'look') expect(found.take({ at: at(second), counted }, rows)).toBe(0);
      }
    }),
  );
});
