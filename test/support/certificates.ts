/**
 * Certificates for one test run, by the openssl command line: an authority, certificates of it for
 * this machine with an RSA and an EC key, and what is wrong with others. Each in a file of its own.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Certificates extends AsyncDisposable {
  readonly folder: string;
  readonly ca: string;
  /** Of the authority, for localhost, 127.0.0.1 and 127.0.0.2, with an RSA key of 2048 bits. */
  readonly cert: string;
  readonly key: string;
  /** Another one of the same, with its own key, as after a renewal. */
  readonly renewedCert: string;
  readonly renewedKey: string;
  /** The same with an EC key. */
  readonly ecCert: string;
  readonly ecKey: string;
  /** For another name. */
  readonly otherNameCert: string;
  /** An authority that signed none of these. */
  readonly otherCa: string;
  /** The key of `cert` with a passphrase. */
  readonly lockedKey: string;
  /** The public half of `key`. */
  readonly publicKey: string;
  remove(): void;
}

export function makeCertificates(): Certificates {
  const folder = mkdtempSync(join(tmpdir(), 'undrop-certificates-'));
  const at = (name: string) => join(folder, name);
  const openssl = (...args: readonly string[]) => {
    execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'], cwd: folder });
  };
  const rsa = (name: string) => openssl('genrsa', '-out', name, '2048');
  const ec = (name: string) => {
    openssl('ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', name);
  };
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
  return {
    folder,
    ca: at('ca.pem'),
    cert: at('cert.pem'),
    key: at('key.pem'),
    renewedCert: at('renewed-cert.pem'),
    renewedKey: at('renewed-key.pem'),
    ecCert: at('ec-cert.pem'),
    ecKey: at('ec-key.pem'),
    otherNameCert: at('other-name-cert.pem'),
    otherCa: at('other-ca.pem'),
    lockedKey: at('locked-key.pem'),
    publicKey: at('public-key.pem'),
    remove,
    [Symbol.asyncDispose]: async () => remove(),
  };
}
