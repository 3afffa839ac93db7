/**
 * The response to a part of a text: as it came where it is the only one, with other sequence ids
 * and flags where it isn't, and the same however the network cut it.
 */
import { type PartEnd, StatementRelay } from '../../../src/session/commands/relay-part.js';
import * as com from '../../../src/wire/commands.js';
import { encodePacket } from '../../../src/wire/framing.js';
import { everySplit, lend, packetsIn, singleBytes } from '../../support/chunks.js';
import { conversation, conversations, exchange } from '../../support/conversation.js';

type Relayed = { readonly said: Buffer; readonly end: PartEnd | null };

function relay(
  name: string,
  chunks: readonly Buffer[],
  options: { readonly sequenceId: number; readonly isLast: boolean; readonly sentPackets?: number },
): Relayed {
  const said: Buffer[] = [];
  let end: PartEnd | null = null;
  const part = new StatementRelay({
    sentPackets: 1,
    ...options,
    capabilities: conversation(name).agreed,
    connections: { toClient: (bytes) => said.push(Buffer.from(bytes)) },
    onDone: (done) => {
      end = done;
    },
  });
  for (const chunk of chunks) lend(chunk, (memory) => part.feed(memory));
  return { said: Buffer.concat(said), end };
}

/** Answers to one COM_QUERY each, in every conversation that was captured. */
const answers = conversations().flatMap(({ name, exchanges }) =>
  exchanges
    .filter(({ commands }) => commands.length === 1 && commands[0] === com.COM_QUERY)
    .filter(({ spoken }) => spoken.filter(({ by }) => by === 'client').length === 1)
    .filter(({ answer }) => answer.length > 0)
    .map(({ title, answer }) => ({ name, title, answer })),
);

/** The same packets with sequence ids that are higher by so much. */
function shifted(bytes: Buffer, by: number): Buffer {
  const packets = packetsIn(bytes).map((packet) => {
    const moved = Buffer.from(packet);
    moved[3] = ((packet[3] ?? 0) + by) & 0xff;
    return moved;
  });
  return Buffer.concat(packets);
}

test('there are answers to look at', () => expect(answers.length).toBeGreaterThan(100));

describe.each(answers)('$name, $title', ({ name, answer }) => {
  test('as the only part it goes through as it came, and the end of it is found', () => {
    const { said, end } = relay(name, [answer], { sequenceId: 1, isLast: true });
    expect(said.equals(answer)).toBe(true);
    expect(end?.rest).toHaveLength(0);
  });

  test('as the last part only its sequence ids go on', () => {
    const { said } = relay(name, [answer], { sequenceId: 251, isLast: true });
    expect(said.equals(shifted(answer, 250))).toBe(true);
  });

  test('in answer to a part of several packets its sequence ids go on after them', () => {
    const options = { sequenceId: 3, isLast: true, sentPackets: 2 };
    const { said } = relay(name, [shifted(answer, 1)], options);
    expect(said.equals(shifted(answer, 2))).toBe(true);
  });

  test('it is the same at every cut', () => {
    const options = { sequenceId: 7, isLast: false };
    const whole = relay(name, [answer], options);
    const cuts = answer.length > 1500 ? [singleBytes(answer)] : everySplit(answer);
    for (const cut of [...cuts, singleBytes(answer)]) {
      const { said, end } = relay(name, cut, options);
      expect(said.equals(whole.said)).toBe(true);
      expect(end).toEqual(whole.end);
    }
  });
});

describe.each(['mysql-9.7/eof', 'mysql-9.7/deprecate-eof', 'mariadb-11.8/eof'])('%s', (name) => {
  const options = { sequenceId: 1, isLast: false };
  const answerTo = (title: string) => exchange(name, title).answer;

  test('rows of a part that is not the last say that more follows, wherever they say anything', () => {
    const answer = answerTo('one row of two columns, one of them NULL');
    const { said, end } = relay(name, [answer], options);
    const changed = [...answer].filter((byte, index) => said[index] !== byte);
    expect(said).toHaveLength(answer.length);
    expect(changed).toHaveLength(name.endsWith('deprecate-eof') ? 1 : 2);
    expect(end).toMatchObject({ hasFailed: false });
    expect(end?.sequenceId).toBe(packetsIn(answer).length + 1);
  });

  test.each([true, false])('an error goes to the client, and nothing after it (%s)', (isLast) => {
    const answer = answerTo('an ERR');
    const both = Buffer.concat([answer, answer]);
    const { said, end } = relay(name, [both], { sequenceId: 3, isLast });
    expect(said).toHaveLength(answer.length);
    expect(said[3]).toBe(3);
    expect(end).toMatchObject({ hasFailed: true, sequenceId: 4 });
    expect(end?.rest.equals(answer)).toBe(true);
  });
});

test('a report of progress among rows is neither an end nor an error', () => {
  const name = 'mariadb-11.8/eof';
  const packets = packetsIn(exchange(name, 'one row of two columns, one of them NULL').answer);
  const report = encodePacket(Buffer.from('ffffff010101e80300036f6e65', 'hex'), 9);
  for (let at = 1; at < packets.length; at++) {
    const answer = Buffer.concat([...packets.slice(0, at), report, ...packets.slice(at)]);
    for (const chunks of everySplit(answer)) {
      const { said, end } = relay(name, chunks, { sequenceId: 1, isLast: false });
      expect(said).toHaveLength(answer.length);
      expect(end).toMatchObject({ hasFailed: false });
    }
  }
});
