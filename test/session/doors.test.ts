/**
 * What is thrown where Node.js calls a session, or the listener for one (events of sockets, timers,
 * new connections), ends that session with a line of the log; the one beside it is served on.
 */
import { assert } from '../../src/assert.js';
import { type Log, silentLog } from '../../src/log.js';
import { newCounters } from '../../src/metrics.js';
import { chooseRelay } from '../../src/relay/raw-handle.js';
import { ConnectionLimit, type ListenerOptions } from '../../src/session/listener.js';
import { encodePacket } from '../../src/wire/framing.js';
import { exchange } from '../support/conversation.js';
import {
  arrives,
  type Bench,
  type BenchOptions,
  type Connected,
  endListener,
  logIn,
  openBench,
  type Peer,
} from '../support/session-bench.js';

/** By streams first: raw handles are tried for once, and used from then on. */
const WAYS = ['streams', 'raw handles'];

const PING = encodePacket(Buffer.from([0x0e]), 0);
const [GREETING = Buffer.alloc(0)] = exchange('mysql-9.7/deprecate-eof', 'login').spoken.map(
  ({ packet }) => packet,
);
const OK = encodePacket(Buffer.from('00000002000000', 'hex'), 1);

/** Fails once, the next time that it is passed. */
class Fault {
  #isArmed = false;

  arm(): void {
    this.#isArmed = true;
  }

  pass(): void {
    const isFailing = this.#isArmed;
    this.#isArmed = false;
    assert(!isFailing, 'the fault of this test');
  }
}

/** A log that keeps its errors, and fails where it warns or informs. */
class ErrorLog implements Log {
  readonly errors: string[] = [];
  readonly debug = silentLog.debug;
  readonly #fault: Fault;

  constructor(fault: Fault) {
    this.#fault = fault;
  }

  warn(): void {
    this.#fault.pass();
  }

  info(): void {
    this.#fault.pass();
  }

  error(_fields: object, message: string): void {
    this.errors.push(message);
  }
}

let bench: Bench | null = null;

afterEach(async () => {
  await bench?.close();
  bench = null;
});

describe.each(WAYS)('by %s, a fault', (way) => {
  beforeAll(async () => {
    if (way === 'raw handles') expect(await chooseRelay()).toBe('raw');
  });

  let fault: Fault;
  let log: ErrorLog;

  async function open(over: Partial<ListenerOptions> = {}, options: BenchOptions = {}) {
    bench = await openBench({ ...options, over: { log, ...over } });
    return bench;
  }

  beforeEach(() => {
    fault = new Fault();
    log = new ErrorLog(fault);
  });

  /** Whatever happened beside it. */
  async function isServed({ client, server }: Connected): Promise<void> {
    client.send(PING);
    expect(await server.packet()).toEqual(PING);
    server.send(OK);
    expect(await client.packet()).toEqual(OK);
  }

  async function isLogged(peer: Peer, message: RegExp): Promise<void> {
    await peer.until('logged', () => log.errors.some((line) => message.test(line)));
  }

  const failingPermits = () =>
    new (class extends ConnectionLimit {
      override release(): void {
        super.release();
        fault.pass();
      }
    })(100);

  test.each(['bytesFromClients', 'bytesFromServers'] as const)(
    'where bytes arrive (%s) ends their session',
    async (counted) => {
      const counters = newCounters();
      let count = 0;
      Object.defineProperty(counters, counted, {
        get: () => count,
        set: (value: number) => {
          count = value;
          fault.pass();
        },
      });
      const opened = await open({ counters });
      const [other, ailing] = [await logIn(opened), await logIn(opened)];
      fault.arm();
      if (counted === 'bytesFromClients') ailing.client.send(PING);
      else ailing.server.send(OK);
      await ailing.client.ended();
      expect(log.errors).toEqual(['ending a session after an internal error']);
      await isServed(other);
    },
  );

  test.each(['client', 'server'] as const)('where the %s goes ends the session', async (which) => {
    const opened = await open({ connectionLimit: failingPermits() });
    const [other, ailing] = [await logIn(opened), await logIn(opened)];
    fault.arm();
    ailing[which].destroy();
    await isLogged(other.client, /^an error occurred after the end of a session$/);
    await isServed(other);
  });

  test('where a client takes too long ends its session', async () => {
    const opened = await open({}, { loginTimeoutMs: 50 });
    const other = await logIn(opened);
    const late = await opened.client();
    fault.arm();
    (await opened.accepted()).send(GREETING);
    await isLogged(other.client, /^cannot end a session; cutting it off$/);
    await late.ended();
    await isServed(other);
  });

  test('where a client arrives costs that client', async () => {
    const failing = new (class extends ConnectionLimit {
      override take(): boolean {
        fault.pass();
        return super.take();
      }
    })(100);
    const opened = await open({ connectionLimit: failing });
    const other = await logIn(opened);
    fault.arm();
    const late = await opened.client();
    await late.ended();
    expect(log.errors).toEqual(['cannot serve a client; closing the connection']);
    await isServed(other);
  });

  test('where a login breaks off is a line of the log', async () => {
    const broken = new Fault();
    const opened = await open({ onBrokenLogin: () => broken.pass() });
    const other = await logIn(opened);
    const ailing = await opened.client();
    broken.arm();
    const server = await opened.accepted();
    await arrives(server, ailing, GREETING);
    server.destroy();
    await ailing.ended();
    await isLogged(other.client, /^cannot complete a login; closing the connection$/);
    await isServed(other);
  });

  test('amid a drain keeps no other session from its end', async () => {
    const opened = await open({ connectionLimit: failingPermits() });
    const first = await logIn(opened);
    const second = await logIn(opened);
    fault.arm();
    await endListener(opened.listener, { timeoutMs: 20 });
    await first.client.ended();
    await second.client.ended();
    expect(log.errors).toEqual(['an error occurred after the end of a session']);
  });
});
