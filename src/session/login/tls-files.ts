/**
 * The files of TLS: certificates, keys, authorities. Each is read whole and tried; what is wrong
 * with any of them is added to the list of problems, which names the variable.
 */
import { createPrivateKey, createPublicKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import tls, { type SecureContext } from 'node:tls';
import { type ServerKeySetting, spkiOf } from '../../service/login/server-key.js';
import type { CertificateAndKey } from './self-signed.js';
import type { ServiceTlsSettings } from './tls.js';

export interface Identity {
  readonly pem: CertificateAndKey;
  readonly context: SecureContext;
  readonly key: KeyObject;
}

export function identityOf(pem: CertificateAndKey): Identity {
  return { pem, context: tls.createSecureContext({ ...pem }), key: createPrivateKey(pem.key) };
}

/** A certificate and its key. `prefix`: of the two variables that name the files. */
export function readIdentity(
  { cert, key, prefix }: { readonly cert: string; readonly key: string; readonly prefix: string },
  problems: string[],
): Identity | null {
  if (cert === '' || key === '') {
    const [missing, given] = cert === '' ? ['CERT', 'KEY'] : ['KEY', 'CERT'];
    problems.push(
      `${prefix}_${missing} is not set: expected the path of a PEM file beside ${prefix}_${given}.`,
    );
    return null;
  }
  const certText = readText(`${prefix}_CERT`, cert, problems);
  const keyText = readText(`${prefix}_KEY`, key, problems);
  if (certText === null || keyText === null) return null;
  const expectedCert = `${prefix}_CERT: expected a certificate in PEM in ${cert}`;
  const expectedKey = `${prefix}_KEY: expected a private key in PEM, without a passphrase, in ${key}`;
  const certificate = attempt(() => new X509Certificate(certText), expectedCert, problems);
  const privateKey = attempt(() => createPrivateKey(keyText), expectedKey, problems);
  if (certificate === null || privateKey === null) return null;
  if (!certificate.checkPrivateKey(privateKey)) {
    problems.push(`${prefix}_KEY: expected the key of the certificate in ${cert}, found another.`);
    return null;
  }
  return attempt(() => identityOf({ cert: certText, key: keyText }), expectedCert, problems);
}

export function readCa(
  { upstreamCa, upstreamTls }: ServiceTlsSettings,
  problems: string[],
): string | null {
  if (upstreamCa === '') return null;
  if (upstreamTls !== 'verify-ca' && upstreamTls !== 'verify-identity') {
    problems.push(
      `UNDROP_UPSTREAM_CA: expected UNDROP_UPSTREAM_TLS to be verify-ca or verify-identity with it, found ${upstreamTls}, which checks no certificate.`,
    );
    return null;
  }
  const text = readText('UNDROP_UPSTREAM_CA', upstreamCa, problems);
  if (text === null) return null;
  const expected = `UNDROP_UPSTREAM_CA: expected certificates in PEM in ${upstreamCa}`;
  const certificate = attempt(() => new X509Certificate(text), expected, problems);
  return certificate === null ? null : text;
}

export function readServerKey(
  { upstreamPublicKey: setting }: ServiceTlsSettings,
  problems: string[],
): ServerKeySetting {
  if (setting === 'auto' || setting === 'ask') return setting;
  const text = readText('UNDROP_UPSTREAM_PUBLIC_KEY', setting, problems);
  if (text === null) return 'auto';
  const expected = `UNDROP_UPSTREAM_PUBLIC_KEY: expected an RSA public key in PEM in ${setting}`;
  const key = attempt(() => rsaKeyOf(text), expected, problems);
  return key === null ? 'auto' : { pinned: spkiOf(key) };
}

function rsaKeyOf(pem: string): KeyObject {
  const key = createPublicKey(pem);
  if (key.asymmetricKeyType !== 'rsa') throw new Error(`a key of ${key.asymmetricKeyType}`);
  return key;
}

function readText(variable: string, path: string, problems: string[]): string | null {
  const expected = `${variable}: expected a readable file`;
  return attempt(() => readFileSync(path, 'utf8'), expected, problems);
}

function attempt<T>(read: () => T, expected: string, problems: string[]): T | null {
  try {
    return read();
  } catch (error) {
    problems.push(`${expected}, found ${(error as Error).message}.`);
    return null;
  }
}
