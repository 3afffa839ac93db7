/**
 * sysbench, directly and through the proxy, with and without TLS: what it counts is the same, and
 * what it drops is held. Dumps and their reload: tools-debian-dumps.test.ts.
 */
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { tryCommand } from '../../throwaway-servers/run-command.js';
import { makeCertificates } from '../support/certificates.js';
import { heldRows } from '../support/client-held.js';
import { sysbenchCommand } from '../support/clients.js';
import { onServer } from '../support/on-servers.js';
import { sample } from '../support/sample.js';
import { newSchemaName, query, type Target, testServers } from '../support/servers.js';

const MODES = ['disable', 'auto'] as const;
/** Each server with and without TLS of the client, and with either way to prepare statements. */
const CELLS = sample(
  testServers().flatMap((server) =>
    [false, true].flatMap((tls) => MODES.map((psMode) => ({ server, tls, psMode }))),
  ),
  { name: 'sysbench', kind: ({ server, tls, psMode }) => [`${server.name} ${tls}`, psMode] },
);

describe.each(CELLS)('[64] $server.name, TLS: $tls (wire 64)', ({ server, tls, psMode }) => {
  const account = { user: newSchemaName('u'), password: 'pa$$ word;' };
  const on = onServer(server);
  on.account(account.user, { password: account.password, grants: ['ALL ON *.*'] });
  const schemas = [on.schema('bench').name, on.schema('bench').name];
  const certificates = on.open(makeCertificates);
  const proxy = on.proxy(() => ({ TLS_CERT: certificates.cert, TLS_KEY: certificates.key }));
  on.beforeAll(() => {
    // The names that sysbench looks for in the folder where it runs.
    for (const [from, to] of [
      [certificates.ca, 'cacert.pem'],
      [certificates.cert, 'client-cert.pem'],
      [certificates.key, 'client-key.pem'],
    ] as const) {
      copyFileSync(from, join(certificates.folder, to));
    }
  });

  test(`sysbench with --db-ps-mode=${psMode}`, async () => {
    const ways = [server, proxy].map(({ host, port }, index) =>
      bench({ host, port, ...account }, schemas[index] ?? '', tls && index === 1 ? 'on' : 'off'),
    );
    const [direct, through] = await Promise.all(ways);
    expect(through).toEqual(direct);
    expect(through?.said).toEqual(
      expect.arrayContaining(['oltp_read_write run 0', 'total number of events: 2000']),
    );
    expect(await heldRows(server, schemas[1] ?? '')).toEqual({ sbtest1: 1000 });
  });

  /** sysbench wants a certificate to be of its authority; here only the proxy's is. */
  async function bench(target: Target, schema: string, ssl: 'on' | 'off') {
    const said: string[] = [];
    const { argv, env } = await sysbenchCommand();
    const common = [`--mysql-ssl=${ssl}`, `--db-ps-mode=${psMode}`];
    const run = async (script: string, command: string, ...options: readonly string[]) => {
      const args = [...sysbenchOptions(target, schema), ...common, ...options, command];
      const { code, stdout, stderr } = await tryCommand([...argv, script, ...args], {
        env,
        cwd: certificates.folder,
      });
      said.push(`${script} ${command} ${code}`, ...countsIn(stdout), stderr);
    };
    await run('oltp_read_write', 'prepare');
    await run('oltp_read_write', 'run', '--events=40');
    await run('oltp_point_select', 'run', '--events=2000', '--threads=8');
    const rows = await query(server, `SELECT COUNT(*) AS n FROM ${schema}.sbtest1`);
    await run('oltp_read_write', 'cleanup');
    return { said, rows };
  }
});

/** Ended by a number of events, not by a time: then everything that is counted is the same. */
function sysbenchOptions(target: Target, schema: string): readonly string[] {
  return [
    `--mysql-host=${target.host}`,
    `--mysql-port=${target.port}`,
    `--mysql-user=${target.user}`,
    `--mysql-password=${target.password}`,
    `--mysql-db=${schema}`,
    ...['--tables=1', '--table-size=1000', '--time=0'],
  ];
}

/** What sysbench counted, without what it measured. */
function countsIn(report: string): readonly string[] {
  const counts = report.matchAll(
    /^\s*(read|write|other|total|total number of events|transactions|ignored errors|reconnects): +(\d+)/gm,
  );
  return [...counts].map(([, name, count]) => `${name}: ${count}`);
}
