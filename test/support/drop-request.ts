/** A DROP TABLE as a session hands it over: recognised, with the ids that its tables get. */
import type { DropRequest } from '../../src/drop/steps/world.js';
import { parseServerVersion } from '../../src/wire/connection/handshake-v10.js';
import { classifyUnderAll } from './classify.js';

const VERSIONS: Readonly<Record<string, string>> = {
  'mysql-9.7': '9.7.4',
  'mysql-8.0': '8.0.11',
  'mysql-5.6': '5.6.24-log',
  'mariadb-10.11': '5.5.5-10.11.19-MariaDB-log',
  'mariadb-11.8': '11.8.9-MariaDB',
};
const GROUP_ID = '0195a1b2c3d070008000000000000000';

export function idOf(index: number): string {
  return `0195a1b2c3d070008${(index + 1).toString(16).padStart(15, '0')}`;
}

export function requestOf(of: { readonly server: string; readonly sql: string }): DropRequest {
  const { server, sql } = of;
  const version = parseServerVersion(VERSIONS[server] ?? server);
  const text = Buffer.from(sql);
  const protect = new Set(['truncate'] as const);
  const verdict = classifyUnderAll(text, version, { multiStatements: true, protect });
  if (verdict.kind !== 'drop-table') throw new Error(`${sql} is ${verdict.kind}`);
  return {
    text,
    statement: verdict.statement,
    server: version,
    charset: 'utf8',
    session: { threadId: 42, upstreamLocalPort: 50_001, clientAddress: '10.0.0.1:40000' },
    dropId: GROUP_ID,
    ids: verdict.statement.names.map((_name, index) => idOf(index)),
  };
}
