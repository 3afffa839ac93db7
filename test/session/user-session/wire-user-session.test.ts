/**
 * Statements of ours on the user's session: sent at once, read back in any cut, nothing mixed up.
 */

import type { UserCommand } from '../../../src/drop/steps/world.js';
import { ResponseTracker } from '../../../src/relay/response-tracker.js';
import { WireUserSession } from '../../../src/session/user-session/wire-user-session.js';
import * as com from '../../../src/wire/commands.js';
import { encodePacket, PacketAssembler } from '../../../src/wire/framing.js';
import { encodeErr, type Result } from '../../../src/wire/response.js';
import { cut, everySplit, lend, singleBytes } from '../../support/chunks.js';
import { conversation, exchange } from '../../support/conversation.js';

class Opened {
  readonly toServer: Buffer[] = [];
  readonly toClient: Buffer[] = [];
  readonly session: WireUserSession;

  constructor(
    name: string,
    options: { commands?: readonly number[]; failsPrepare?: boolean } = {},
  ) {
    const capabilities = conversation(name).agreed;
    const tracker = new ResponseTracker(capabilities);
    for (const command of options.commands ?? []) tracker.expect(command);
    this.session = new WireUserSession({
      capabilities,
      tracker,
      failsPrepare: options.failsPrepare ?? false,
      connections: {
        toServer: (bytes) => this.toServer.push(bytes),
        toClient: (bytes) => this.toClient.push(Buffer.from(bytes)),
      },
    });
  }

  /** Payloads that were sent in the `index`th write. */
  sent(index: number): readonly Buffer[] {
    const assembler = new PacketAssembler(1 << 20);
    assembler.push(this.toServer[index] ?? Buffer.alloc(0));
    const payloads: Buffer[] = [];
    for (let next = assembler.next(); next !== null; next = assembler.next()) {
      expect(next.sequenceId).toBe(0);
      payloads.push(next.payload);
    }
    return payloads;
  }

  /** The server's answer to the marker that was sent. */
  markerAnswer(): Buffer {
    const [marker] = this.sent(0);
    const text = marker?.toString('latin1').match(/undrop_[0-9a-f]{24}/)?.[0] ?? 'none';
    const message = Buffer.from(`You have an error in your SQL syntax; near '${text}' at line 1`);
    return encodePacket(encodeErr({ errno: 1064, sqlState: '42000', message }), 1);
  }

  feed(chunk: Buffer): void {
    lend(chunk, (memory) => this.session.feed(memory));
  }

  get clientGot(): Buffer {
    return Buffer.concat(this.toClient);
  }
}

const query = (text: string): UserCommand => ({ kind: 'query', text: Buffer.from(text) });
const prepare = (text: string): UserCommand => ({ kind: 'prepare', text: Buffer.from(text) });

function kinds(results: readonly Result[]): readonly string[] {
  return results.map(({ kind }) => kind);
}

test.each(['mysql-9.7/eof', 'mysql-9.7/deprecate-eof', 'mysql-5.6/eof', 'mariadb-11.8/eof'])(
  '%s answers in any cut, behind what belongs to the client',
  async (name) => {
    const answers = Buffer.concat([
      exchange(name, 'PREPARE of columns and a parameter').answer,
      exchange(name, 'one row of two columns, one of them NULL').answer,
      exchange(name, 'an ERR').answer,
      exchange(name, 'an OK').answer,
    ]);
    const commands = [prepare('SELECT ?'), query('SELECT 1'), query('SELECT x'), query('DO 1')];

    const foreign = exchange(name, 'no rows').answer;
    for (let at = 0; at <= answers.length; at += 7) {
      const opened = new Opened(name, { commands: [com.COM_QUERY] });
      const running = opened.session.run(commands);
      expect(opened.toServer).toHaveLength(1);
      const before = Buffer.concat([foreign, opened.markerAnswer(), answers.subarray(0, at)]);
      const chunks = [before, answers.subarray(at)];
      // Once byte by byte.
      for (const chunk of at === 0 ? chunks.flatMap(singleBytes) : chunks) opened.feed(chunk);
      expect(kinds(await running)).toEqual(['prepared', 'rows', 'err', 'ok']);
      expect(opened.clientGot.equals(foreign)).toBe(true);
      expect(opened.session.end()).toHaveLength(0);
    }
  },
);

describe('on the wire', () => {
  const name = 'mysql-9.7/attributes';

  test('the marker goes first, once, and everything in one write', async () => {
    const opened = new Opened(name);
    const running = opened.session.run([query('SELECT 1'), { kind: 'close', statementId: 5 }]);
    const [marker, first, close] = opened.sent(0);
    expect(marker?.subarray(0, 3).toString('hex')).toBe('030001');
    expect(marker?.subarray(3).toString('latin1')).toMatch(/^\)undrop_[0-9a-f]{24}$/);
    expect(first?.toString('latin1')).toBe('\x03\x00\x01SELECT 1');
    expect(close?.[0]).toBe(com.COM_STMT_CLOSE);
    opened.feed(opened.markerAnswer());
    opened.feed(exchange(name, 'no attributes').answer);
    expect(kinds(await running)).toEqual(['rows']);
    const again = opened.session.run([query('DO 1')]);
    expect(opened.sent(1).map((payload) => payload.toString('latin1'))).toEqual([
      '\x03\x00\x01DO 1',
    ]);
    opened.feed(Buffer.from('0700000100000002000000', 'hex'));
    expect(kinds(await again)).toEqual(['ok']);
  });

  test('a PREPARE that fails follows the marker where a PREPARE is refused', async () => {
    const opened = new Opened(name, { failsPrepare: true });
    const running = opened.session.run([query('SELECT 1')]);
    expect(opened.sent(0).map(([command]) => command)).toEqual([
      com.COM_QUERY,
      com.COM_STMT_PREPARE,
      com.COM_QUERY,
    ]);
    // By whatever it fails: this is not the parser's error.
    const message = Buffer.from("Can't create more than max_prepared_stmt_count statements");
    const failure = encodePacket(encodeErr({ errno: 1461, sqlState: '42000', message }), 1);
    const answer = exchange(name, 'no attributes').answer;
    for (const byte of singleBytes(Buffer.concat([opened.markerAnswer(), failure, answer]))) {
      opened.feed(byte);
    }
    expect(kinds(await running)).toEqual(['rows']);
    expect(opened.clientGot).toHaveLength(0);
  });

  test('a run of nothing is done with the marker', async () => {
    const opened = new Opened(name, { commands: [com.COM_QUERY] });
    const foreign = exchange(name, 'no attributes').answer;
    let isDone = false;
    const running = opened.session.run([]).then(() => {
      isDone = true;
    });
    const stream = Buffer.concat([foreign, opened.markerAnswer()]);
    for (const chunk of cut(stream, [9])) {
      expect(isDone).toBe(false);
      opened.feed(chunk);
      await Promise.resolve();
    }
    await running;
    expect(opened.clientGot.equals(foreign)).toBe(true);
  });
});

describe('the end', () => {
  const name = 'mysql-9.7/eof';

  test('what comes behind our last answer is the client’s', async () => {
    const goodbye = exchange('mysql-9.7/goodbye', 'an ERR that nobody asked for').answer;
    const answer = Buffer.concat([exchange(name, 'an OK').answer, goodbye]);
    for (const chunks of everySplit(answer)) {
      const opened = new Opened(name);
      const running = opened.session.run([query('DO 1')]);
      opened.feed(opened.markerAnswer());
      for (const chunk of chunks) opened.feed(chunk);
      await running;
      expect(opened.session.end().equals(goodbye)).toBe(true);
    }
  });

  test('of the connection rejects whoever waits, and whoever comes', async () => {
    const opened = new Opened(name);
    const running = opened.session.run([query('DO 1')]);
    opened.session.fail(new Error('gone'));
    await expect(running).rejects.toThrow('gone');
    await expect(opened.session.run([query('DO 1')])).rejects.toThrow('gone');
  });

  test('an answer that is none ends in an error, not in silence', () => {
    const opened = new Opened(name);
    opened.session.run([query('DO 1')]).catch(() => undefined);
    opened.feed(opened.markerAnswer());
    expect(() => opened.feed(encodePacket(Buffer.from('fb78', 'hex'), 1))).toThrow(
      /unexpected first byte fb/,
    );
  });
});
