/**
 * The certificate that a proxy makes at its start, as OpenSSL and Node.js read it. Go and Java do
 * so in test/server/tls-programs.test.ts.
 */
import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeSelfSigned } from '../../../src/session/login/certificates.js';

let folder = '';

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'undrop-self-signed-'));
});

afterAll(() => rmSync(folder, { recursive: true }));

async function certificateFor(...hosts: readonly string[]): Promise<X509Certificate> {
  const listen = hosts.map((host) => ({ host, port: 3307 }));
  const { cert } = await makeSelfSigned([...listen, { socketPath: '/run/undrop.sock' }]);
  writeFileSync(join(folder, 'cert.pem'), cert);
  return new X509Certificate(cert);
}

/** Of `openssl` on the certificate that was made last. */
function openssl(...args: readonly string[]): string {
  return execFileSync('openssl', args, { cwd: folder, encoding: 'utf8' });
}

describe('the certificate that is made at the start', () => {
  test('has strings of the characters that their types allow', async () => {
    await certificateFor('127.0.0.1');
    const parsed = openssl('asn1parse', '-in', 'cert.pem');
    const strings = [...parsed.matchAll(/prim: (\w*STRING) *:(.*)$/gm)];
    const printable = strings.filter(([, type]) => type === 'PRINTABLESTRING');
    expect(printable.length).toBeGreaterThan(0);
    for (const [, , text] of printable) expect(text).toMatch(/^[A-Za-z0-9 '()+,\-./:=?]+$/);
    // Not in a serial number, which is hexadecimal.
    expect(parsed).not.toMatch(/BAD [A-Z]/);
  });

  test('has the extensions of a TLS server, and a positive serial number', async () => {
    await certificateFor('db.example', '10.1.2.3', '::1');
    const text = openssl('x509', '-in', 'cert.pem', '-noout', '-text');
    expect(text).toMatch(/Version: 3 /);
    expect(text).toMatch(/X509v3 Basic Constraints: critical\s+CA:FALSE/);
    expect(text).toMatch(/X509v3 Key Usage: critical\s+Digital Signature, Key Encipherment/);
    expect(text).toMatch(/X509v3 Extended Key Usage: *\s+TLS Web Server Authentication/);
    expect(text).toMatch(/X509v3 Subject Key Identifier:/);
    expect(text).not.toMatch(/Serial Number:\s+\(Negative\)/);
  });

  test.each([
    { how: 'as by default', options: [] },
    { how: 'strictly', options: ['-x509_strict', '-partial_chain'] },
  ])('is verified by a client that pins it, $how', async ({ options }) => {
    await certificateFor('127.0.0.1');
    for (const host of [
      ['-verify_hostname', 'localhost'],
      ['-verify_ip', '127.0.0.1'],
    ]) {
      const args = ['verify', ...options, ...host, '-purpose', 'sslserver'];
      expect(openssl(...args, '-CAfile', 'cert.pem', 'cert.pem')).toBe('cert.pem: OK\n');
    }
  });

  test('names localhost and where the proxy listens', async () => {
    const certificate = await certificateFor('db.example', '10.1.2.3', '2001:db8::5');
    for (const name of ['localhost', 'db.example']) expect(certificate.checkHost(name)).toBe(name);
    for (const address of ['127.0.0.1', '::1', '10.1.2.3', '2001:db8::5']) {
      expect(certificate.checkIP(address)).toBe(address);
    }
    expect(certificate.checkHost('other.example')).toBeUndefined();
    expect(certificate.checkIP('10.1.2.4')).toBeUndefined();
  });

  test('names the machine and its addresses where the proxy listens on all of them', async () => {
    const certificate = await certificateFor('0.0.0.0');
    expect(certificate.checkIP('0.0.0.0')).toBeUndefined();
    expect(certificate.checkIP('127.0.0.1')).toBe('127.0.0.1');
    expect(certificate.subjectAltName?.split(', ')).toContain(`DNS:${hostname()}`);
  });

  test('leaves out a name that no strict parser takes', async () => {
    const certificate = await certificateFor('my_db', 'ünder.example', '-x.example');
    expect(certificate.subjectAltName).toBe(
      'DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1',
    );
    expect(Date.parse(certificate.validTo)).toBeGreaterThan(Date.now());
    expect(Date.parse(certificate.validFrom)).toBeLessThan(Date.now());
  });
});
