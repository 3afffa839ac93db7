/**
 * An expression by which two sessions find out that they are on one server, whatever stands between
 * them and it: what the server calls itself, in its own words. Pure text, as it is asked on the
 * user's session too.
 */
export function serverIdentitySql(server: {
  readonly flavour: 'mysql' | 'mariadb';
  readonly versionId: number;
}): string {
  // A session of MariaDB's may have a server_id of its own, as those of mariadb-binlog's text have.
  const names = ['@@hostname', '@@port', '@@datadir', '@@global.server_id'];
  if (server.flavour === 'mysql' && server.versionId >= 50600) names.push('@@server_uuid');
  return `CONCAT_WS('|', ${names.join(', ')})`;
}
