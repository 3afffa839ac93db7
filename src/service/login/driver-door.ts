/**
 * The one place that uses what @databases/mysql hides: for the thread id, to listen for the
 * breaking of a connection that is taken but idle, which mysql2 would throw at the process, to send
 * a text that isn't in UTF-8, to log in with TLS by what the server offers, and to take leave.
 * Checked on every connection, so that another version of the library can't fail silently.
 */
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Connection } from '@databases/mysql';
import type { Connection as CoreConnection } from 'mysql2';
import { assert } from '../../assert.js';

/** The mysql2 connection of a task, as far as it is used. */
export interface DriverClient {
  readonly threadId: number;
  readonly connection: { readonly stream: Socket; readonly config: { charsetNumber: number } };
  on(event: 'error', listener: (error: Error) => void): void;
  removeListener(event: 'error', listener: (error: Error) => void): void;
  /** Resolves when the goodbye is on its way. */
  end(): Promise<void>;
}

interface Driver {
  readonly client: DriverClient;
  dispose(): Promise<void>;
}

/** Those that take leave before the library closes them, whenever and why ever it does. */
const polite = new WeakSet<Driver>();

/** The same object for each task of a connection. It takes leave of the server at its end. */
export function driverClientOf(connection: Connection): DriverClient {
  const { _driver: driver } = connection as unknown as { readonly _driver?: Driver };
  const isKnown =
    typeof driver?.dispose === 'function' &&
    typeof driver.client?.threadId === 'number' &&
    typeof driver.client.on === 'function' &&
    typeof driver.client.connection?.config?.charsetNumber === 'number';
  assert(isKnown, 'the locked versions of @databases/mysql and mysql2 have what is used here');
  if (!polite.has(driver)) {
    polite.add(driver);
    const dispose = driver.dispose.bind(driver);
    driver.dispose = async () => {
      await quit(driver.client);
      await dispose();
    };
  }
  return driver.client;
}

/** A server that is there answers sooner; a way that swallows bytes takes so long. */
const QUIT_WITHIN_MS = 1_000;

/**
 * Takes leave: servers count and log a connection that just ends. Resolves when the server has
 * ended it, or had its time for that, and it is closed; a statement that is running is waited for
 * as long.
 */
async function quit(client: DriverClient): Promise<void> {
  const { stream: socket } = client.connection;
  assert(socket instanceof Socket, 'the locked version of mysql2 has connection.stream');
  if (socket.destroyed) return;
  client.on('error', () => undefined);
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, QUIT_WITHIN_MS);
    socket.once('close', () => {
      clearTimeout(timer);
      resolve();
    });
    client.end().catch(() => undefined);
  });
  socket.destroy();
}

/** In mysql2 the charset whose characters are bytes. */
const BINARY = 63;
/** utf8mb4_general_ci. */
const UTF8MB4 = 45;

/** The next text is sent as UTF-8, or each of its characters as one byte. */
export function sendAs({ connection }: DriverClient, encoding: 'utf8mb4' | 'bytes'): void {
  connection.config.charsetNumber = encoding === 'bytes' ? BINARY : UTF8MB4;
}

/** What the driver reads and writes: a TLSSocket once it is in TLS. */
export function driverStreamOf(connection: CoreConnection): Duplex {
  const { stream } = connection as unknown as { readonly stream?: Duplex };
  assert(
    typeof stream?.prependListener === 'function',
    'the locked version of mysql2 has connection.stream',
  );
  return stream;
}

/** To be called before the driver reads the greeting. */
export function goOnWithoutTls(connection: CoreConnection): void {
  const { config } = connection as unknown as { readonly config?: { ssl?: object | false } };
  assert(typeof config?.ssl === 'object', 'the locked version of mysql2 has connection.config.ssl');
  config.ssl = false;
}
