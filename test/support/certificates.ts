/**
 * Certificates for one test run, by the openssl command line: an authority, certificates of it for
 * this machine with an RSA and an EC key, and what is wrong with others. Each in a file of its own.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Names of the files, each in the folder. */
const FILES = {
  ca: 'ca.pem',
  /** Of the authority, for localhost, 127.0.0.1 and 127.0.0.2, with an RSA key of 2048 bits. */
  ...{ cert: 'cert.pem', key: 'key.pem' },
  /** Another one of the same, with its own key, as after a renewal. */
  ...{ renewedCert: 'renewed-cert.pem', renewedKey: 'renewed-key.pem' },
  /** The same with an EC key. */
  ...{ ecCert: 'ec-cert.pem', ecKey: 'ec-key.pem' },
  /** For another name. */
  otherNameCert: 'other-name-cert.pem',
  /** An authority that signed none of these. */
  otherCa: 'other-ca.pem',
  /** The key of `cert` with a passphrase. */
  lockedKey: 'locked-key.pem',
  /** The public half of `key`. */
  publicKey: 'public-key.pem',
};

/** The folder, the path of each file in it, and its end. */
export interface Certificates extends Readonly<typeof FILES>, AsyncDisposable {
  readonly folder: string;
  remove(): void;
}

export function makeCertificates(): Certificates {
  const folder = mkdtempSync(join(tmpdir(), 'undrop-certificates-'));
  const at = (name: string) => join(folder, name);
  const openssl = (...args: readonly string[]) =>
    execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'], cwd: folder });
  const rsa = (name: string) => openssl('genrsa', '-out', name, '2048');
  const ec = (name: string) =>
    openssl('ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', name);
  const authority = (name: string, key: string) => {
    ec(key);
    const options = ['-days', '3', '-subj', `/CN=${name}`];
    openssl('req', '-x509', '-new', '-key', key, ...options, '-out', name);
  };
  const sign = (cert: string, key: string, names: string) => {
    writeFileSync(at('names.txt'), `subjectAltName=${names}\n`);
    openssl('req', '-new', '-key', key, '-subj', '/CN=a test of undrop', '-out', 'request.pem');
    const by = ['-CA', 'ca.pem', '-CAkey', 'ca-key.pem', '-CAcreateserial', '-days', '2'];
    openssl('x509', '-req', '-in', 'request.pem', ...by, '-extfile', 'names.txt', '-out', cert);
  };
  const here = 'DNS:localhost,IP:127.0.0.1,IP:127.0.0.2';
  authority('ca.pem', 'ca-key.pem');
  authority('other-ca.pem', 'other-ca-key.pem');
  for (const key of ['key.pem', 'renewed-key.pem']) rsa(key);
  ec('ec-key.pem');
  sign('cert.pem', 'key.pem', here);
  sign('renewed-cert.pem', 'renewed-key.pem', here);
  sign('ec-cert.pem', 'ec-key.pem', here);
  sign('other-name-cert.pem', 'key.pem', 'DNS:elsewhere.example');
  openssl('rsa', '-in', 'key.pem', '-aes128', '-passout', 'pass:secret', '-out', 'locked-key.pem');
  openssl('rsa', '-in', 'key.pem', '-pubout', '-out', 'public-key.pem');
  const remove = () => rmSync(folder, { recursive: true, force: true });
  const paths = Object.entries(FILES).map(([key, name]) => [key, at(name)]);
  const files = Object.fromEntries(paths) as typeof FILES;
  return { folder, ...files, remove, [Symbol.asyncDispose]: async () => remove() };
}
