/** TLS between a fake client, the real session and a fake server, on real sockets. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { UndropError } from '../../../src/errors.js';
import { openProxyTls, type TlsSettings } from '../../../src/session/login/tls.js';
import * as caps from '../../../src/wire/capabilities.js';
import { decodeHandshakeResponse41 } from '../../../src/wire/connection/handshake-response41.js';
import { decodeHandshakeV10 } from '../../../src/wire/connection/handshake-v10.js';
import { encodePacket } from '../../../src/wire/framing.js';
import { type Certificates, makeCertificates } from '../../support/certificates.js';
import { greetingWith, payload } from '../../support/conversation.js';
import { loginAnswer } from '../../support/login-answers.js';
import type { Bench, BenchOptions, Peer } from '../../support/session-bench.js';
import {
  errorTo,
  GREETING,
  NO_TLS,
  openBench,
  PING,
  passes,
  RESPONSE,
  serverIsExcused,
  useWay,
  WAYS,
} from '../../support/session-bench.js';
import { acceptTls, startTls } from '../../support/tls-peers.js';

let files: Certificates;
let bench: Bench | null = null;

beforeAll(() => {
  files = makeCertificates();
});

afterEach(async () => {
  await bench?.close();
  bench = null;
});

afterAll(() => files.remove());

const OK = Buffer.from('00000002000000', 'hex');

function userIn(response: Buffer): string {
  return decodeHandshakeResponse41(payload(response)).user;
}

/** The client's response and its SSLRequest, with the flag set. */
function inTls(): { readonly request: Buffer; readonly response: Buffer } {
  const response = Buffer.from(payload(RESPONSE));
  response.writeUInt32LE((response.readUInt32LE(0) | caps.CLIENT_SSL) >>> 0, 0);
  const request = encodePacket(response.subarray(0, 32), 1);
  return { request, response: encodePacket(response, 2) };
}

async function greeted(
  tls: Partial<TlsSettings>,
  options: BenchOptions & { readonly serverHasTls?: boolean } = {},
) {
  bench = await openBench({ ...options, tls });
  const client = await bench.client();
  const server = await bench.accepted();
  const sent = greetingWith(GREETING, options.serverHasTls ?? true);
  server.send(sent);
  const seen = decodeHandshakeV10(payload(await client.take(sent.length)));
  // As the client sees it.
  return { client, server, offersTls: caps.hasFlag(seen.capabilities, caps.CLIENT_SSL) };
}

/** A client in TLS that has sent its request alone, before a server without TLS. */
async function unequalLegs(options: { readonly cut?: number } = {}) {
  const { client, server } = await greeted({ ...withCertificate(), upstreamTls: 'disabled' });
  const { request, response } = inTls();
  return { server, response, secured: await startTls(client, { first: request, ...options }) };
}

function withCertificate(): Partial<TlsSettings> {
  return { tlsCert: files.cert, tlsKey: files.key };
}

/** Both are told OK, each by its own sequence id, and a command goes through. */
async function finishLogin(
  peers: { readonly client: Peer; readonly server: Peer },
  sequenceIds: { readonly client: number; readonly server: number },
): Promise<void> {
  const { client, server } = peers;
  server.send(encodePacket(OK, sequenceIds.server));
  expect((await client.packet()).equals(encodePacket(OK, sequenceIds.client))).toBe(true);
  client.send(PING);
  expect((await server.packet()).equals(PING)).toBe(true);
  server.send(encodePacket(OK, 1));
  expect((await client.packet()).equals(encodePacket(OK, 1))).toBe(true);
}

/** Undrop has asked whether the client got in by undrop's own TLS: it did not. */
async function answerQuestions(server: Peer, count: number): Promise<void> {
  const { capabilities } = decodeHandshakeResponse41(payload(RESPONSE));
  for (let answered = 0; answered < count; answered++) {
    const question = payload(await server.packet()).toString('latin1');
    const packets = loginAnswer(question, caps.relayedCapabilities(capabilities));
    server.send(...packets.map((packet, index) => encodePacket(packet, index + 1)));
  }
}

/** What the client sent after its header goes to the server as it is, its flags aside. */
function expectSameResponse(packet: Buffer, sequenceId: number, wantsTls: boolean): void {
  expect(packet[3]).toBe(sequenceId);
  expect(packet.subarray(8).equals(RESPONSE.subarray(8))).toBe(true);
  const { capabilities } = decodeHandshakeResponse41(payload(packet));
  expect(caps.hasFlag(capabilities, caps.CLIENT_SSL)).toBe(wantsTls);
}

describe.each(WAYS)('by %s', (way) => {
  beforeAll(() => useWay(way));

  describe('a client', () => {
    test('[20] is offered none without a certificate, and TLS never passes through (wire 20)', async () => {
      const { client, server, offersTls } = await greeted({});
      expect(offersTls).toBe(false);
      client.send(inTls().request);
      const { text, sequenceId } = await errorTo(client);
      expect(text).toMatch(/^UNDROP_TLS_NOT_OFFERED: /);
      expect(sequenceId).toBe(2);
      await serverIsExcused(server);
    });

    test.each([
      ['its request and its ClientHello in one segment', {}],
      ['both in segments of one byte', { cut: 1 }],
      ['both in segments of 40 bytes, the first ending in the ClientHello', { cut: 40 }],
    ])('[30] logs in with %s', async (_name, options) => {
      const { secured, server, response } = await unequalLegs(options);
      secured.send(response);
      expectSameResponse(await server.packet(), 1, false);
      await finishLogin({ client: secured, server }, { client: 3, server: 2 });
    });

    test.each(['behind its request', 'a moment later'])(
      '[30] that sends no TLS %s is cut off, and it is not read (wire 30)',
      async (when) => {
        const { client, server } = await greeted(withCertificate());
        const { request, response } = inTls();
        const sent = [request, response, encodePacket(Buffer.from('\x03DROP TABLE t'), 0)];
        if (when === 'a moment later') for (const packet of sent) client.send(packet);
        else client.send(...sent);
        await client.ended();
        if (when !== 'a moment later') expect(client.received).toHaveLength(0);
        client.end();
        await serverIsExcused(server);
        expect(server.received).toHaveLength(0);
      },
    );

    test.each(['end', 'destroy'] as const)('that leaves amid TLS by %s is excused', async (way) => {
      const { client, server } = await greeted(withCertificate());
      client.send(inTls().request);
      client[way]();
      await serverIsExcused(server);
    });

    test('that keeps silent amid TLS is cut off, and the server is excused', async () => {
      const { client, server } = await greeted(withCertificate(), { loginTimeoutMs: 100 });
      client.send(inTls().request);
      await client.ended();
      client.end();
      await serverIsExcused(server);
    });

    test('gets an error in its TLS, by its own sequence id', async () => {
      const { secured, server } = await unequalLegs();
      secured.send(encodePacket(Buffer.from('0500000000root\0', 'latin1'), 2));
      const { text, sequenceId } = await errorTo(secured);
      expect(text).toMatch(/^UNDROP_MALFORMED_PACKET: /);
      expect(sequenceId).toBe(3);
      await serverIsExcused(server);
    });

    test('that names other capabilities in its response has those of its request', async () => {
      const { secured, server, response } = await unequalLegs();
      const careless = Buffer.from(response);
      careless.writeUInt32LE(0, 4);
      secured.send(careless);
      expectSameResponse(await server.packet(), 1, false);
    });

    test('sends and gets what is longer than a record, at every edge of one', async () => {
      const { secured, server, response } = await unequalLegs();
      secured.send(response);
      await server.packet();
      await finishLogin({ client: secured, server }, { client: 3, server: 2 });
      for (const size of [16_379, 16_380, 16_381, 32_768, 65_536, 1_000_000, 10_000_000]) {
        // COM_STMT_SEND_LONG_DATA, of which nothing is read, and an ERR that nobody asked for.
        const data = encodePacket(Buffer.concat([Buffer.of(0x18), Buffer.alloc(size, 'd')]), 0);
        await passes(secured, server, data);
        const answer = encodePacket(Buffer.concat([Buffer.of(0xff), Buffer.alloc(size, 'e')]), 1);
        await passes(server, secured, answer);
      }
    });
  });

  describe('a server', () => {
    test('is asked for TLS where that is required, and by the ids of its own leg (wire 25)', async () => {
      const { client, server } = await greeted({ upstreamTls: 'required' });
      client.send(RESPONSE);
      const request = await server.packet();
      expect([request.length, request[3]]).toEqual([36, 1]);
      expect(request.readUInt32LE(4) & caps.CLIENT_SSL).not.toBe(0);
      const secured = await acceptTls(server, files);
      expectSameResponse(await secured.packet(), 2, true);
      const finished = finishLogin({ client, server: secured }, { client: 2, server: 3 });
      await answerQuestions(secured, 2);
      await finished;
    });

    test('commands that a client sends ahead wait for TLS as well', async () => {
      const { client, server } = await greeted({ upstreamTls: 'preferred' });
      client.send(RESPONSE, PING);
      await server.packet();
      const secured = await acceptTls(server, files);
      await secured.packet();
      secured.send(encodePacket(OK, 3));
      await answerQuestions(secured, 2);
      expect((await secured.packet()).equals(PING)).toBe(true);
    });

    test.each([
      ['as-client, without the client', 'as-client', true],
      ['preferred, where it has none', 'preferred', false],
      ['disabled', 'disabled', true],
    ] as const)('is not asked with %s', async (_name, upstreamTls, serverHasTls) => {
      const { client, server } = await greeted({ upstreamTls }, { serverHasTls });
      client.send(RESPONSE);
      expectSameResponse(await server.packet(), 1, false);
    });

    test('that has none where it is required: the client is told', async () => {
      const none = { serverHasTls: false };
      const { client, server } = await greeted({ upstreamTls: 'required' }, none);
      client.send(RESPONSE);
      const { text, sequenceId } = await errorTo(client);
      expect(text).toMatch(/^UNDROP_UPSTREAM_TLS: No TLS with the server; the log/);
      expect(sequenceId).toBe(2);
      await serverIsExcused(server);
    });

    test('what it sends unasked before TLS is not read as if it had come by TLS', async () => {
      const { client, server } = await greeted({ upstreamTls: 'required' });
      // The beginning of a packet that would be completed within TLS.
      server.send(Buffer.from('07000002', 'hex'));
      await server.until(
        'arrived',
        () => (bench?.counters.bytesFromServers ?? 0) > GREETING.length,
      );
      client.send(RESPONSE);
      expect((await errorTo(client)).text).toMatch(/^UNDROP_MALFORMED_PACKET: /);
    });

    test('is excused behind TLS where the session ends before that is there (wire 33)', async () => {
      const { client, server } = await greeted({ ...withCertificate(), upstreamTls: 'required' });
      client.send(RESPONSE);
      await server.packet();
      bench?.listener.endWhenIdle('used-end', () => undefined);
      expect((await errorTo(client)).text).toMatch(/^UNDROP_SHUTTING_DOWN/);
      const peer = await acceptTls(server, files);
      await serverIsExcused(peer, 2);
    });

    test.each([
      ['verify-ca', 'ca', 'cert', true],
      ['verify-ca', 'ca', 'otherNameCert', true],
      ['verify-ca', 'otherCa', 'cert', false],
      ['verify-ca', null, 'cert', false],
      ['verify-identity', 'ca', 'cert', true],
      ['verify-identity', 'ca', 'otherNameCert', false],
    ] as const)('by %s and %s is trusted with %s: %s', async (upstreamTls, ca, cert, isTrusted) => {
      const upstreamCa = ca === null ? '' : files[ca];
      const { client, server } = await greeted({ ...withCertificate(), upstreamTls, upstreamCa });
      client.send(RESPONSE);
      await server.packet();
      // With the key of them all, as making another takes its time.
      const peer = await acceptTls(server, { cert: files[cert], key: files.key });
      // A server that isn't trusted hears of nobody, and refuses that.
      expect(userIn(await peer.packet()) !== '').toBe(isTrusted);
      if (!isTrusted) expect((await errorTo(client)).text).toMatch(/UNDROP_UPSTREAM_TLS/);
    });
  });

  describe('a password in clear', () => {
    const SECRET = 'the secret';
    const askFor = (plugin: string, first = 0xfe) =>
      Buffer.concat([Buffer.of(first), Buffer.from(`${plugin}\0`)]);

    test.each([
      ['mysql_clear_password', 0xfe],
      ['dialog', 0xfe],
      ['mysql_clear_password', 0x02],
    ])('[24] by %s is not asked for over a lesser leg (%d)', async (plugin, first) => {
      const { secured, server, response } = await unequalLegs();
      secured.send(response);
      await server.packet();
      server.send(encodePacket(askFor(plugin, first), 2));
      const { text, sequenceId } = await errorTo(secured);
      expect(text).toMatch(new RegExp(`^UNDROP_CLEARTEXT_PASSWORD: .* ${plugin} would send`));
      expect(sequenceId).toBe(3);
      // The server is answered with nothing, by the next id of its leg.
      expect(await server.packet()).toEqual(encodePacket(Buffer.alloc(0), 3));
    });

    test('[24] that comes unasked does not go on over a lesser leg (wire 24)', async () => {
      const { client, server } = await greeted({ ...withCertificate(), upstreamTls: 'disabled' });
      const plain = payload(inTls().response);
      const { user, authResponse } = decodeHandshakeResponse41(plain);
      const at = plain.indexOf(`${user}\0`) + user.length + 1;
      const named = Buffer.concat([
        plain.subarray(0, at),
        Buffer.from(`${String.fromCharCode(SECRET.length + 1)}${SECRET}\0`),
        plain.subarray(at + 1 + authResponse.length),
      ]);
      const from = named.indexOf('caching_sha2_password');
      const response = Buffer.concat([
        named.subarray(0, from),
        Buffer.from('mysql_clear_password'),
        named.subarray(from + 'caching_sha2_password'.length),
      ]);
      const secured = await startTls(client, { first: inTls().request });
      secured.send(encodePacket(response, 2));
      expect((await errorTo(secured)).text).toMatch(/^UNDROP_CLEARTEXT_PASSWORD: /);
      await serverIsExcused(server);
      expect(server.received.includes(SECRET)).toBe(false);
    });

    test('[24] goes through between equal legs (wire 24)', async () => {
      const { client, server } = await greeted({});
      client.send(RESPONSE);
      await server.packet();
      server.send(encodePacket(askFor('mysql_clear_password'), 2));
      await client.packet();
      client.send(encodePacket(Buffer.from(`${SECRET}\0`), 3));
      expect(await server.packet()).toEqual(encodePacket(Buffer.from(`${SECRET}\0`), 3));
    });
  });
});

describe('[56] the files', () => {
  const upstream = [{ host: '127.0.0.1', port: 1 }];
  const settings = { ...NO_TLS, upstream, tls: 'offered', upstreamTls: 'as-client' } as const;

  async function problemsOf(some: Partial<TlsSettings>): Promise<string> {
    try {
      await openProxyTls({ ...settings, ...some });
      return '';
    } catch (error) {
      if (!(error instanceof UndropError)) throw error;
      expect(error.code).toBe('UNDROP_CONFIG');
      return error.message;
    }
  }

  test('stop the start where one is wrong, and say which and why', async () => {
    const { cert, key } = files;
    const missing = join(files.folder, 'missing.pem');
    expect(await problemsOf({ tlsCert: missing, tlsKey: key })).toMatch(
      /^UNDROP_TLS_CERT: expected a readable file, found ENOENT/,
    );
    expect(await problemsOf({ tlsCert: cert })).toMatch(/^UNDROP_TLS_KEY is not set: .*_CERT\./);
    expect(await problemsOf({ tlsKey: key })).toMatch(/^UNDROP_TLS_CERT is not set: .*_KEY\./);
    expect(await problemsOf({ tlsCert: key, tlsKey: key })).toMatch(
      /^UNDROP_TLS_CERT: expected a certificate in PEM in .*key\.pem, found /,
    );
    expect(await problemsOf({ tlsCert: cert, tlsKey: cert })).toMatch(
      /^UNDROP_TLS_KEY: expected a private key in PEM, without a passphrase, in .*cert\.pem/,
    );
    expect(await problemsOf({ tlsCert: cert, tlsKey: files.lockedKey })).toMatch(
      /^UNDROP_TLS_KEY: .* without a passphrase/,
    );
    expect(await problemsOf({ tlsCert: cert, tlsKey: files.ecKey })).toMatch(
      /^UNDROP_TLS_KEY: expected the key of the certificate in .*cert\.pem, found another\./,
    );
    expect(await problemsOf({ upstreamTls: 'verify-ca', upstreamCa: key })).toMatch(
      /^UNDROP_UPSTREAM_CA: expected certificates in PEM in .*key\.pem, found /,
    );
    expect(await problemsOf({ upstreamTls: 'required', upstreamCa: files.ca })).toMatch(
      /^UNDROP_UPSTREAM_CA: expected UNDROP_UPSTREAM_TLS to be verify-ca or verify-identity/,
    );
    expect(await problemsOf({ upstreamTls: 'required', upstreamCert: cert })).toMatch(
      /^UNDROP_UPSTREAM_KEY is not set: .* beside UNDROP_UPSTREAM_CERT\./,
    );
    const identity = { upstreamCert: cert, upstreamKey: files.ecKey };
    expect(await problemsOf({ upstreamTls: 'required', ...identity })).toMatch(
      /^UNDROP_UPSTREAM_KEY: expected the key of the certificate in .*cert\.pem, found another\./,
    );
    expect(await problemsOf({ ...identity, upstreamKey: key, upstreamTls: 'disabled' })).toMatch(
      /^UNDROP_UPSTREAM_CERT: expected UNDROP_UPSTREAM_TLS other than disabled with it, found disabled/,
    );
    expect(await problemsOf({ upstreamPublicKey: missing })).toMatch(
      /^UNDROP_UPSTREAM_PUBLIC_KEY: expected a readable file/,
    );
    expect(await problemsOf({ upstreamPublicKey: files.ecKey })).toMatch(
      /^UNDROP_UPSTREAM_PUBLIC_KEY: expected an RSA public key/,
    );
  });

  test('are all named at once', async () => {
    const said = await problemsOf({ tlsCert: files.cert, upstreamCa: files.ca });
    expect(said).toContain('UNDROP_TLS_KEY');
    expect(said).toContain('UNDROP_UPSTREAM_CA');
  });

  test('with an EC key, or with the chain behind the certificate, will do', async () => {
    const chain = join(files.folder, 'chain.pem');
    writeFileSync(chain, readFileSync(files.cert, 'utf8') + readFileSync(files.ca, 'utf8'));
    expect(await problemsOf({ tlsCert: files.ecCert, tlsKey: files.ecKey })).toBe('');
    expect(await problemsOf({ tlsCert: chain, tlsKey: files.key })).toBe('');
    expect(await problemsOf({ upstreamPublicKey: files.publicKey })).toBe('');
  });
});
