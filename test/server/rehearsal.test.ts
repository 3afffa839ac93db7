/**
 * A proxy keeps the code and the connections of drops ready by drops without a client and without a
 * table: they only read, and the first drop of a client finds the connections open.
 */
import { expect } from '@jest/globals';
import { COM_QUERY } from '../../src/wire/commands.js';
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { spawnProxy } from '../support/proxy.js';
import { RawClient } from '../support/raw-client.js';
import { SERVICE_ACCOUNT } from '../support/service-account.js';
import { type TapEvent, wireTap } from '../support/wire-tap.js';

/** In this order; a rehearsal ends when both are answered. */
const READS = ['AS holdUntil', 'information_schema.TRIGGERS'];
/** Statements of a start. */
const REHEARSALS = 3;

onServers('rehearsed drops on $name', (server, on) => {
  const { testOnEach: test } = on;
  const schema = on.schema('rehearsed');
  const root = on.session({ schema });

  test('only read, and the first drop opens no connection of the service', async () => {
    const events: TapEvent[] = [];
    await using tap = await wireTap(server, (event) => {
      if (event.user === SERVICE_ACCOUNT.user) events.push(event);
      return true;
    });
    await using proxy = await spawnProxy(tap);
    const texts = (moment: TapEvent['moment'], at = events) =>
      at
        .filter((event) => event.moment === moment && event.command[0] === COM_QUERY)
        .map(({ command }) => command.toString('latin1', 1));
    const isRead = (text: string) => READS.some((part) => text.includes(part));
    const answered = () => texts('after answer').filter(isRead).length;
    await until(() => answered() >= REHEARSALS * READS.length, 'they are over');
    const rehearsed = texts('before statement').filter((text) => text.includes("'mysql'"));
    expect(rehearsed.length).toBeGreaterThanOrEqual(REHEARSALS * READS.length);
    for (const text of rehearsed) {
      expect(text).not.toMatch(/^(INSERT|UPDATE|DELETE|RENAME|ALTER|DROP|CREATE|TRUNCATE)\b/im);
    }
    await root.query('CREATE TABLE t (id INT PRIMARY KEY)');
    await using client = await RawClient.open(proxy, { schema: schema.name });
    const before = events.length;
    expect((await client.query('DROP TABLE t')).results).toMatchObject([{ kind: 'ok' }]);
    // The collector may log in beside it.
    const known = new Set(events.slice(0, before).map(({ connection }) => connection));
    const isOfDrop = (text: string) => /undrop (record|inspect|take-over)\b/.test(text);
    const ofDrop = events
      .slice(before)
      .filter(({ moment }) => moment === 'before statement')
      .map(({ command, connection }) => ({ text: command.toString('latin1', 1), connection }))
      .filter(({ text }) => isOfDrop(text));
    expect(ofDrop.map(({ text }) => text).join('\n')).toContain('/* undrop take-over ');
    expect(ofDrop.filter(({ connection }) => !known.has(connection))).toEqual([]);
  });
});
