/** What kind of server this is and in what state. Read anew by whoever decides by it. */
import type { ServiceConnection } from './pools.js';

export interface ServerFacts {
  readonly flavour: 'mysql' | 'mariadb';
  /** As the server says it: `10.11.19-MariaDB-log`. */
  readonly version: string;
  /** 90704 for 9.7.4, 50624, 101119. */
  readonly versionId: number;
  readonly readOnly: boolean;
  readonly adaptiveHashIndex: boolean;
  readonly lowerCaseTableNames: 0 | 1 | 2;
  /** The same as long as it is the same data directory: the uuid, or what comes nearest. */
  readonly serverIdentity: string;
  readonly performanceSchema: boolean;
  readonly utcNow: Date;
  /** By the server's own uptime, to the second. */
  readonly startedAt: Date;
}

export function readServerFacts(_connection: ServiceConnection): Promise<ServerFacts> {
  throw new Error('not built yet');
}
