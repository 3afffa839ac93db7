/** Where the stream becomes ours: armed anywhere, cut anywhere, behind any response. */
import { ResponseTracker } from '../../../src/relay/response-tracker.js';
import { MarkerSeeker } from '../../../src/session/user-session/wire-user-session.js';
import * as com from '../../../src/wire/commands.js';
import { encodePacket, PAYLOAD_BYTES_MAX } from '../../../src/wire/framing.js';
import { MalformedPacketError } from '../../../src/wire/packet-reader.js';
import { encodeErr } from '../../../src/wire/response.js';
import { cut, lend, singleBytes } from '../../support/chunks.js';
import { conversation, conversations, exchange } from '../../support/conversation.js';

/** What the client of the conversations has sent as a syntax error. */
const TEXT = 'undrop_0123456789abcdef01234567';
const OWN = encodePacket(Buffer.from('what is ours, undrop_0123 too'), 1);

const whole = (rest: Buffer) => [rest];

type Found = { readonly foreign: Buffer; readonly own: Buffer };

function check(found: Found, expected: Found): void {
  if (found.foreign.equals(expected.foreign) && found.own.equals(expected.own)) return;
  expect(found).toEqual(expected);
}

/** `armedAt`: bytes that the tracker has followed before the marker was sent. */
function seek(
  name: string,
  options: {
    readonly commands: readonly number[];
    readonly stream: Buffer;
    readonly armedAt: number;
    readonly chunksOf: (rest: Buffer) => readonly Buffer[];
    readonly text?: string;
  },
): Found {
  const { commands, stream, armedAt, chunksOf, text = TEXT } = options;
  const tracker = new ResponseTracker(conversation(name).agreed);
  for (const command of commands) tracker.expect(command);
  tracker.feed(stream, 0, armedAt);
  const seeker = new MarkerSeeker(tracker, text);
  const foreign = [stream.subarray(0, armedAt)];
  let own: Buffer[] | null = null;
  for (const chunk of chunksOf(stream.subarray(armedAt))) {
    if (own !== null) {
      own.push(chunk);
      continue;
    }
    own = lend(chunk, (memory) => {
      const found = seeker.feed(memory);
      foreign.push(Buffer.from(found.foreign));
      return found.own === null ? null : [Buffer.from(found.own)];
    });
  }
  if (own === null) throw new Error('the marker was not found');
  if (!tracker.idle) throw new Error('the tracker has lost its way');
  return { foreign: Buffer.concat(foreign), own: Buffer.concat(own) };
}

const PIPELINE = 'CLOSE, which has no answer, and commands behind it in one write';

test.each(['mysql-9.7/eof', 'mysql-9.7/deprecate-eof', 'mysql-5.6/eof', 'mariadb-11.8/eof'])(
  'behind a pipeline of %s, armed at every byte, the rest in one, or byte for byte',
  (name) => {
    const { answer, commands } = exchange(name, PIPELINE);
    const marker = exchange(name, 'a syntax error').answer;
    const stream = Buffer.concat([answer, marker, OWN]);
    const expected = { foreign: answer, own: OWN };

    let enabled = 0;
    for (let armedAt = 0; armedAt <= answer.length; armedAt++) {
      const ways = armedAt % 9 === 0 ? [singleBytes, whole] : [whole];
      for (const chunksOf of ways) {
        check(seek(name, { commands, stream, armedAt, chunksOf }), expected);
        enabled++;
      }
    }
    expect(enabled).toBeGreaterThan(answer.length);
  },
);

test('behind every response that was ever captured', () => {
  let seen = 0;
  for (const { name, exchanges, login } of conversations()) {
    for (const { answer, commands } of login === null ? [] : exchanges) {
      if (answer.length === 0 || commands.length === 0) continue;
      const marker = exchange(`${name.replace(/\/.*/, '')}/eof`, 'a syntax error').answer;
      const stream = Buffer.concat([answer, marker, OWN]);
      const armedAt = Math.min(answer.length, 5);
      const chunksOf = (rest: Buffer) => cut(rest, [1, 4, 300]);
      const found = seek(name, { commands, stream, armedAt, chunksOf });
      expect(found).toEqual({ foreign: answer, own: OWN });
      seen++;
    }
  }
  expect(seen).toBeGreaterThan(300);
});

describe('errors of others', () => {
  const name = 'mysql-9.7/eof';
  const marker = exchange(name, 'a syntax error').answer;

  const err = (message: string | Buffer, errno = 1064) =>
    encodePacket(
      encodeErr({ errno, sqlState: '42000', message: Buffer.from(message as string) }),
      1,
    );

  /** Before what is the marker's, and behind so many statements. */
  function isTheirs(foreign: Buffer, { mark = marker, statements = 1 } = {}): void {
    const stream = Buffer.concat([foreign, mark, OWN]);
    const commands = Array<number>(statements).fill(com.COM_QUERY);
    for (const chunksOf of [singleBytes, whole]) {
      const found = seek(name, { commands, stream, armedAt: 0, chunksOf });
      expect(found).toEqual({ foreign, own: OWN });
    }
  }

  test.each([
    ['a syntax error with another nonce', err('near undrop_ffffffffffffffffffffffff at line 1')],
    ['half of the nonce', err(TEXT.slice(0, -1))],
    ['an ERR longer than any marker’s', err('x'.repeat(5_000))],
    ['an ERR without a text', err('')],
  ])('%s is theirs', (_name, foreign) => isTheirs(foreign));

  test.each(['', 'Y'])('a text cut off to %j is ours where nothing is owed', (message) => {
    const mark = err(message);
    isTheirs(Buffer.concat([mark, mark]), { mark, statements: 2 });
  });

  test.each([1317, 1969])('an interruption (%i) is ours where nothing is owed', (errno) => {
    const theirs = err('Query execution was interrupted', errno);
    for (const mark of [theirs, marker]) {
      isTheirs(Buffer.concat([theirs, theirs]), { mark, statements: 2 });
    }
  });

  test('a row that carries the nonce is theirs', () => {
    const foreign = Buffer.concat([
      Buffer.from('0100000101' + '0b000002' + '0364656600000001610001', 'hex'),
      Buffer.from('05000003fe00000200', 'hex'),
      encodePacket(Buffer.from(`\x1f${TEXT}`, 'latin1'), 4),
      Buffer.from('05000005fe00000200', 'hex'),
    ]);
    isTheirs(foreign);
  });

  test.each([
    ['utf16', (text: string) => Buffer.from(text, 'utf16le').swap16()],
    ['utf16le', (text: string) => Buffer.from(text, 'utf16le')],
    [
      'utf32',
      (text: string) =>
        Buffer.concat([...text].map((letter) => Buffer.from([0, 0, 0, letter.charCodeAt(0)]))),
    ],
  ])('the marker’s text may come in %s', (_charset, encode) => {
    const mark = err(encode(`You have an error near '${TEXT}' at line 1`));
    isTheirs(exchange(name, 'an OK').answer, { mark });
  });
});

test('armed between the parts of a packet of 16 MiB, and in its continuation’s header', () => {
  const name = 'mysql-9.7/deprecate-eof';
  const marker = exchange(name, 'a syntax error').answer;
  const row = Buffer.alloc(PAYLOAD_BYTES_MAX + 7, 0x61);
  Buffer.from('fe0000000100000000', 'hex').copy(row);
  row[PAYLOAD_BYTES_MAX] = 0xff;
  const foreign = Buffer.concat([
    Buffer.from('0100000101' + '0b000002' + '0364656600000001610001', 'hex'),
    encodePacket(row, 3),
    Buffer.from('07000005fe000002000000', 'hex'),
  ]);
  const edge = foreign.length - 11 - 11;
  const stream = Buffer.concat([foreign, marker, OWN]);
  for (let armedAt = edge - 3; armedAt <= edge + 6; armedAt++) {
    const commands = [com.COM_QUERY];
    const found = seek(name, { commands, stream, armedAt, chunksOf: singleBytes });
    expect(found.foreign.equals(foreign)).toBe(true);
    expect(found.own.equals(OWN)).toBe(true);
  }
});

test('each marker is another one, and no word of a statement', () => {
  const tracker = new ResponseTracker(conversation('mysql-9.7/eof').agreed);
  const texts = Array.from({ length: 1_000 }, () => new MarkerSeeker(tracker).text.toString());
  expect(new Set(texts).size).toBe(1_000);
  for (const text of texts) expect(text).toMatch(/^\)undrop_[0-9a-f]{24}$/);
});

test('a session that is not followed any more ends at an error that may be the marker', () => {
  const tracker = new ResponseTracker(conversation('mysql-9.7/eof').agreed);
  for (let count = 0; count <= 100_000; count++) tracker.expect(com.COM_QUERY);
  const seeker = new MarkerSeeker(tracker, TEXT);
  const wordless = Buffer.from('\xff\x28\x04#42000', 'latin1');
  expect(() => seeker.feed(encodePacket(wordless, 1))).toThrow(MalformedPacketError);
});
