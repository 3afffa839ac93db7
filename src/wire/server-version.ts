/**
 * What product and version a server is, by the version string of its greeting. MariaDB before 11
 * puts `5.5.5-` in front, for old replicas (MDEV-4088).
 */
export interface ServerVersion {
  readonly flavour: 'mysql' | 'mariadb';
  /** major × 10000 + minor × 100 + patch, as in version comments: 90704, 50624, 101119. */
  readonly versionId: number;
}

/** Reads `9.7.4`, `5.6.24-log`, `5.5.5-10.11.19-MariaDB-log`, `11.8.9-MariaDB`. */
export function parseServerVersion(serverVersion: string): ServerVersion {
  const isMariadb = /mariadb/i.test(serverVersion);
  const bare = bareVersion(serverVersion);
  const [, major = '0', minor = '0', patch = '0'] = /^(\d+)\.(\d+)\.(\d+)/.exec(bare) ?? [];
  return {
    flavour: isMariadb ? 'mariadb' : 'mysql',
    versionId: Number(major) * 10_000 + Number(minor) * 100 + Number(patch),
  };
}

/** As the server says it in SQL, `10.11.19-MariaDB-log`. */
export function bareVersion(serverVersion: string): string {
  return /mariadb/i.test(serverVersion) ? serverVersion.replace(/^5\.5\.5-/, '') : serverVersion;
}
