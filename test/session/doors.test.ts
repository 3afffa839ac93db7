/**
 * What is thrown where Node.js calls a session, or the listener for one (events of sockets, timers,
 * new connections), ends that session with a line of the log; the one beside it is served on.
 */
import { assert } from '../../src/errors.js';
import { type Log, silentLog } from '../../src/log.js';
import { newCounters } from '../../src/metrics.js';
import type { BenchOptions, Connected, Peer } from '../support/session-bench.js';
import {
  arrives,
  endListener,
  GREETING,
  logIn,
  OK,
  openBench,
  PING,
  useWay,
  WAYS,
} from '../support/session-bench.js';

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

describe.each(WAYS)('by %s, a fault', (way) => {
  beforeAll(() => useWay(way));

  let fault: Fault;
  let log: ErrorLog;

  const open = (options: BenchOptions) => openBench({ log, ...options });

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
      await using opened = await open({ counters });
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
    await using opened = await open({ onChange: () => fault.pass() });
    const [other, ailing] = [await logIn(opened), await logIn(opened)];
    fault.arm();
    ailing[which].destroy();
    await isLogged(other.client, /^an error occurred after the end of a session$/);
    await isServed(other);
  });

  test('where a client takes too long ends its session', async () => {
    await using opened = await open({ loginTimeoutMs: 50 });
    const other = await logIn(opened);
    const late = await opened.client();
    fault.arm();
    (await opened.accepted()).send(GREETING);
    await isLogged(other.client, /^cannot end a session; cutting it off$/);
    await late.ended();
    await isServed(other);
  });

  test('where a client arrives costs that client', async () => {
    const isAnnounced = () => {
      fault.pass();
      return false;
    };
    await using opened = await open({ isAnnounced });
    const other = await logIn(opened);
    fault.arm();
    const late = await opened.client();
    await late.ended();
    expect(log.errors).toEqual(['cannot serve a client; closing the connection']);
    await isServed(other);
  });

  test('where a login breaks off is a line of the log', async () => {
    const broken = new Fault();
    await using opened = await open({ onBrokenLogin: () => broken.pass() });
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
    await using opened = await open({ onChange: () => fault.pass() });
    const first = await logIn(opened);
    const second = await logIn(opened);
    fault.arm();
    await endListener(opened.listener, { timeoutMs: 20 });
    await first.client.ended();
    await second.client.ended();
    expect(log.errors).toEqual(['an error occurred after the end of a session']);
  });
});
