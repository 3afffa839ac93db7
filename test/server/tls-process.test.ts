/**
 * TLS of a proxy as a process of its own, in front of each server: certificates that are renewed
 * under live sessions, clients that ask for TLS and then don't speak it, and a log that knows of no
 * password, at its most talkative.
 */
import { once } from 'node:events';
import { copyFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { expect } from '@jest/globals';
import { CLIENT_PROTOCOL_41, CLIENT_SSL } from '../../src/wire/capabilities.js';
import { encodePacket } from '../../src/wire/framing.js';
import { makeCertificates } from '../support/certificates.js';
import { heldRows } from '../support/client-held.js';
import { inHooks, onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { type ProxyProcess, spawnProxy, type Variables } from '../support/proxy.js';
import { connect, freshSchema, query, type Target } from '../support/servers.js';
import { Peer } from '../support/session-bench.js';
import { startTls } from '../support/tls-peers.js';

const IN_TLS = { ssl: { rejectUnauthorized: false } };
const RESPONSE_HEAD = (() => {
  const head = Buffer.alloc(32);
  head.writeUInt32LE((CLIENT_PROTOCOL_41 | CLIENT_SSL) >>> 0, 0);
  head.writeUInt32LE(1 << 24, 4);
  head[8] = 45;
  return head;
})();
const SSL_REQUEST = encodePacket(RESPONSE_HEAD, 1);

const { each, open } = inHooks();
const files = open(makeCertificates);

async function start(target: Target, variables: Variables): Promise<ProxyProcess> {
  const own = { TLS_CERT: files.cert, TLS_KEY: files.key, LOG_LEVEL: 'debug' };
  return each.keep(await spawnProxy(target, { ...own, ...variables }));
}

async function dial({ host, port }: Target): Promise<Peer> {
  const socket = net.connect({ host, port, allowHalfOpen: true });
  await once(socket, 'connect');
  return new Peer(socket);
}

/** Of what a new client is shown. */
async function certificateOf(target: Target): Promise<string> {
  const client = await dial(target);
  await client.packet();
  const secured = await startTls(client, { first: SSL_REQUEST });
  const { peerFingerprint } = secured;
  secured.end();
  return peerFingerprint;
}

onServers('a proxy process with TLS on $name', (server, on) => {
  const { test } = on;
  test.each(['1', '2'])('SIGHUP renews the certificate, in %s processes', async (workers) => {
    const [cert, key] = [join(files.folder, 'live.pem'), join(files.folder, 'live-key.pem')];
    const install = (fromCert: string, fromKey: string) => {
      copyFileSync(fromCert, cert);
      copyFileSync(fromKey, key);
    };
    install(files.cert, files.key);
    const running = await start(server, { TLS_CERT: cert, TLS_KEY: key, WORKERS: workers });
    const reload = async () => {
      const said = () => running.lines.filter(({ event }) => event === 'reload');
      const before = said().length;
      running.kill('SIGHUP');
      await until(() => said().length > before, 'a reload');
      return said().at(-1);
    };
    // As many as meet each process.
    const seen = async () => {
      const all = [];
      for (let time = 0; time < 2 * Number(workers); time++) all.push(await certificateOf(running));
      return [...new Set(all)];
    };
    await using schema = await freshSchema(server);
    const live = await connect(running, { ...IN_TLS, database: schema.name });
    await live.query('CREATE TABLE t AS SELECT 1 AS a');
    const first = await seen();
    expect(first).toHaveLength(1);

    install(files.renewedCert, files.renewedKey);
    expect(await seen()).toEqual(first);
    await reload();
    const second = await seen();
    expect(second).toHaveLength(1);
    expect(second).not.toEqual(first);

    install(files.cert, files.ecKey);
    expect(await reload()).toMatchObject({ err: { code: 'UNDROP_CONFIG' } });
    expect(await seen()).toEqual(second);
    // The session that was open all the while goes on.
    await live.query('DROP TABLE t');
    await live.end();
    expect(await heldRows(server, schema.name)).toEqual({ t: 1 });
  });

  test('a client that asks for TLS and speaks none is not read, and the next is served', async () => {
    const running = await start(server, {});
    await using schema = await freshSchema(server);
    await query(server, `CREATE TABLE ${schema.name}.t (a INT)`);
    const login = Buffer.concat([RESPONSE_HEAD, Buffer.from('root\0\0')]);
    const drop = encodePacket(Buffer.from(`\x03DROP TABLE ${schema.name}.t`), 0);
    const rest = [
      Buffer.concat([encodePacket(login, 2), drop]),
      drop,
      Buffer.from('GET / HTTP/1.1\r\n\r\n'),
      Buffer.from([0x16, 0x03, 0x01, 0xff, 0xff, ...drop]),
      Buffer.concat([Buffer.from([0x16, 0x03, 0x01, 0x00, drop.length]), drop, drop]),
    ];
    for (const bytes of rest) {
      for (const isAtOnce of [true, false]) {
        const client = await dial(running);
        await client.packet();
        if (isAtOnce) client.send(SSL_REQUEST, bytes);
        else {
          client.send(SSL_REQUEST);
          client.send(bytes);
        }
        // A record that says it is longer would be waited for.
        client.end();
        await client.ended();
        expect(client.received.toString('latin1')).not.toContain('denied');
      }
      await using _next = await connect(running, IN_TLS);
    }
    expect(await query(server, `SHOW TABLES FROM ${schema.name}`)).toHaveLength(1);
    expect(await heldRows(server, schema.name)).toEqual({});
  });

  test('no log has a password or what stands for it, whatever the login', async () => {
    const secrets = ['the s3rvice secret', 'the 0wn secret', 'a wr0ng secret'];
    const [ofService = '', own = '', wrong = ''] = secrets;
    const unique = freshName();
    const [service, user] = [`s_${unique}`, `u_${unique}`];
    await query(
      server,
      `CREATE USER ${service}@'%' IDENTIFIED BY '${ofService}'`,
      `GRANT ALL ON *.* TO ${service}@'%'`,
      `CREATE USER ${user}@'%' IDENTIFIED BY '${own}'`,
    );
    const { host, port } = server;
    const target = { host, port, user: service, password: ofService };
    const answers: Buffer[] = [];
    for (const variables of [
      {},
      // Not the server's key: a password that would have to go by it is refused.
      { UPSTREAM_TLS: 'disabled', UPSTREAM_PUBLIC_KEY: files.publicKey },
    ]) {
      const running = await start(target, variables);
      const watched = await watchAnswers(running, answers);
      for (const options of [{}, IN_TLS]) {
        for (const password of [wrong, own, own]) {
          const opening = connect({ ...watched, user, password }, options);
          const [opened] = await Promise.allSettled([opening]);
          if (opened?.status === 'fulfilled') opened.value.destroy();
        }
      }
      await watched.close();
      running.kill('SIGTERM');
      await running.ended;
      expect(running.lines).toContainEqual(expect.objectContaining({ event: 'stopped' }));
      const log = JSON.stringify(running.lines);
      const kept = [...secrets.map((secret) => Buffer.from(secret)), ...answers];
      for (const bytes of kept) {
        for (const form of formsOf(bytes)) expect(log.includes(form)).toBe(false);
      }
    }
    expect(answers.length).toBeGreaterThan(5);
    await query(server, `DROP USER ${service}@'%'`, `DROP USER ${user}@'%'`);
  });
});

function freshName(): string {
  return Math.random().toString(36).slice(2, 10);
}

/** As a log could have them. */
function formsOf(bytes: Buffer): readonly string[] {
  return [
    bytes.toString('latin1'),
    bytes.toString('hex'),
    bytes.toString('base64').replace(/=+$/, ''),
    [...bytes].join(','),
  ];
}

/**
 * A relay to a proxy that keeps what clients without TLS answer in their logins: the scramble, a
 * key's block, whatever comes behind the head of a packet.
 */
async function watchAnswers(target: Target, answers: Buffer[]) {
  const listener = net.createServer((client) => {
    const upstream = net.connect(target.port, target.host);
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      from.on('error', () => to.destroy());
      from.on('close', () => to.destroy());
      from.pipe(to);
    }
    client.on('data', (chunk: Buffer) => {
      const isRequest = chunk.length === SSL_REQUEST.length;
      // The scramble of a response stands behind the user's name and its own length.
      const from = chunk.length > 60 && chunk[3] === 1 ? chunk.indexOf(0, 36) + 2 : 4;
      const answer = chunk.subarray(from, from + 20);
      if (!isRequest && answer.length === 20) answers.push(Buffer.from(answer));
    });
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { port } = listener.address() as net.AddressInfo;
  const { user, password } = target;
  return {
    ...{ host: '127.0.0.1', port, user, password },
    close: async () => {
      listener.close();
      await once(listener, 'close');
    },
  };
}
