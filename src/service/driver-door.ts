/**
 * The one place that reaches behind @databases/mysql: for the thread id, and to listen for the
 * breaking of a connection that is taken but idle, which mysql2 would throw at the process.
 * Checked on every connection, so that another version of the library can't fail silently.
 */
import type { Connection } from '@databases/mysql';
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

function isDriverClient(value: unknown): value is DriverClient {
  if (!isObject(value)) return false;
  const { threadId, on } = value as Partial<DriverClient>;
  return typeof threadId === 'number' && typeof on === 'function';
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
