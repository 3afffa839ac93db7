/**
 * The one place that reaches behind @databases/mysql: for the thread id, to listen for the breaking
 * of a connection that is taken but idle, which mysql2 would throw at the process, to send a text
 * that isn't in UTF-8, and to log in with TLS by what the server offers. Checked on every
 * connection, so that another version of the library can't fail silently.
 */
import type { Duplex } from 'node:stream';
import type { Connection } from '@databases/mysql';
import type { Connection as CoreConnection } from 'mysql2';
import { assert } from '../assert.js';

interface DriverClient {
  readonly threadId: number;
  on(event: 'error', listener: (error: Error) => void): void;
  removeListener(event: 'error', listener: (error: Error) => void): void;
}

/** The mysql2 connection of a task. */
export function driverClientOf(connection: Connection): DriverClient {
  const driver: unknown = Reflect.get(connection, '_driver');
  const client = isObject(driver) ? Reflect.get(driver, 'client') : undefined;
  assert(isDriverClient(client), 'the locked version of @databases/mysql has _driver.client');
  return client;
}

/** In mysql2 the charset whose characters are bytes. */
const BINARY = 63;
/** utf8mb4_general_ci. */
const UTF8MB4 = 45;

/** The next text is sent as UTF-8, or each of its characters as one byte. */
export function sendAs(connection: Connection, encoding: 'utf8mb4' | 'bytes'): void {
  const inner: unknown = Reflect.get(driverClientOf(connection), 'connection');
  const config: unknown = isObject(inner) ? Reflect.get(inner, 'config') : undefined;
  assert(
    isObject(config) && typeof Reflect.get(config, 'charsetNumber') === 'number',
    'the locked version of mysql2 has connection.config.charsetNumber',
  );
  Reflect.set(config, 'charsetNumber', encoding === 'bytes' ? BINARY : UTF8MB4);
}

/** What the driver reads and writes: a TLSSocket once it is in TLS. */
export function driverStreamOf(connection: CoreConnection): Duplex {
  const stream: unknown = Reflect.get(connection, 'stream');
  assert(
    isObject(stream) && typeof Reflect.get(stream, 'prependListener') === 'function',
    'the locked version of mysql2 has connection.stream',
  );
  return stream as unknown as Duplex;
}

/** To be called before the driver reads the greeting. */
export function goOnWithoutTls(connection: CoreConnection): void {
  const config: unknown = Reflect.get(connection, 'config');
  assert(
    isObject(config) && isObject(Reflect.get(config, 'ssl')),
    'the locked version of mysql2 has connection.config.ssl',
  );
  Reflect.set(config, 'ssl', false);
}

function isDriverClient(value: unknown): value is DriverClient {
  if (!isObject(value)) return false;
  const { threadId, on } = value as Partial<DriverClient>;
  return typeof threadId === 'number' && typeof on === 'function';
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
