/** MariaDB's client for Node.js. */
import { type Connection, type ConnectionConfig, createConnection } from 'mariadb';

/** Its own limit is a second; a busy machine is slow, not wrong. */
export function createMariadb(options: ConnectionConfig): Promise<Connection> {
  return createConnection({ connectTimeout: 60_000, ...options });
}
