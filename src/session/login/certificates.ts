/**
 * The certificates and keys of a proxy: those in files, which are read whole and tried, so that a
 * list of problems names the variable of each wrong one; and those that are created at the start if
 * none are configured. The self-signed certificate protects against eavesdropping; a client that
 * checks certificates refuses it, because it proves no identity.
 *
 * Invariant: what was created is never written to disk, and a process creates one certificate only.
 */

import crypto from 'node:crypto';
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { hostname, networkInterfaces } from 'node:os';
import type { SecureContext } from 'node:tls';
import tls from 'node:tls';
import { promisify } from 'node:util';
import forge from 'node-forge';
import { type ServerKeySetting, spkiOf } from '../../connections/login/server-key.js';
import type { ServerAddress } from '../../connections/server-address.js';
import type { ProxyKey } from './login-check.js';

interface Identity {
  readonly pem: CertificateAndKey;
  readonly context: SecureContext;
  readonly key: crypto.KeyObject;
}

export function loadIdentity(pem: CertificateAndKey, ticketKeys: Buffer | null = null): Identity {
  const options = ticketKeys === null ? pem : { ...pem, ticketKeys };
  return {
    pem,
    context: tls.createSecureContext({ ...options }),
    key: crypto.createPrivateKey(pem.key),
  };
}

/** Paths of a certificate and its key. */
interface IdentityFiles {
  readonly cert: string;
  readonly key: string;
  /** The two variables that name the files. */
  readonly prefix: string;
  readonly ticketKeys?: Buffer | null;
}

/** A certificate and its key. */
export function readIdentity(
  { cert, key, prefix, ticketKeys = null }: IdentityFiles,
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
  const certificate = attempt(() => new crypto.X509Certificate(certText), expectedCert, problems);
  const privateKey = attempt(() => crypto.createPrivateKey(keyText), expectedKey, problems);
  if (certificate === null || privateKey === null) return null;
  if (!certificate.checkPrivateKey(privateKey)) {
    problems.push(`${prefix}_KEY: expected the key of the certificate in ${cert}, found another.`);
    return null;
  }
  return attempt(
    () => loadIdentity({ cert: certText, key: keyText }, ticketKeys),
    expectedCert,
    problems,
  );
}

export function readCa(
  { upstreamCa, upstreamTls }: { readonly upstreamCa: string; readonly upstreamTls: string },
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
  const certificate = attempt(() => new crypto.X509Certificate(text), expected, problems);
  return certificate === null ? null : text;
}

export function readServerKey(
  { upstreamPublicKey: setting }: { readonly upstreamPublicKey: string },
  problems: string[],
): ServerKeySetting {
  if (setting === 'auto' || setting === 'ask') return setting;
  const text = readText('UNDROP_UPSTREAM_PUBLIC_KEY', setting, problems);
  if (text === null) return 'auto';
  const expected = `UNDROP_UPSTREAM_PUBLIC_KEY: expected an RSA public key in PEM in ${setting}`;
  const key = attempt(() => rsaKeyOf(text), expected, problems);
  return key === null ? 'auto' : { pinned: spkiOf(key) };
}

function rsaKeyOf(pem: string): crypto.KeyObject {
  const key = crypto.createPublicKey(pem);
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

/** A certificate and its key, in PEM. */
export interface CertificateAndKey {
  readonly cert: string;
  readonly key: string;
}

/** RSA, because every client knows it, and passwords can be encrypted with it. */
const KEY_BITS = 2048;
/** A PrintableString, which has no underscore: strict parsers refuse others. */
const NAME = 'undrop auto-generated server certificate';
const DAY_MS = 86_400_000;
/** Clocks differ. */
const VALID_BEFORE_DAYS = 1;
const VALID_DAYS = 3_650;

let made: Promise<CertificateAndKey> | null = null;

/** The certificate of this process, created at the first call for the addresses of the proxy. */
export function selfSigned(listen: readonly ServerAddress[]): Promise<CertificateAndKey> {
  made ??= makeSelfSigned(listen);
  return made;
}

/** Creates a certificate for `localhost` and for the addresses in `listen`, and its key. */
export async function makeSelfSigned(listen: readonly ServerAddress[]): Promise<CertificateAndKey> {
  const { privateKey } = await promisify(crypto.generateKeyPair)('rsa', {
    modulusLength: KEY_BITS,
  });
  const { publicPem } = proxyKeyOf(privateKey);
  const certificate = forge.pki.createCertificate();
  certificate.publicKey = forge.pki.publicKeyFromPem(publicPem.toString());
  // A first byte below 0x80: serial numbers are positive.
  certificate.serialNumber = `01${crypto.randomBytes(15).toString('hex')}`;
  certificate.validity.notBefore = new Date(Date.now() - VALID_BEFORE_DAYS * DAY_MS);
  certificate.validity.notAfter = new Date(Date.now() + VALID_DAYS * DAY_MS);
  const names = [{ name: 'commonName', value: NAME }];
  certificate.setSubject(names);
  certificate.setIssuer(names);
  certificate.setExtensions([
    { name: 'basicConstraints', cA: false, critical: true },
    { name: 'keyUsage', digitalSignature: true, keyEncipherment: true, critical: true },
    { name: 'extKeyUsage', serverAuth: true },
    { name: 'subjectKeyIdentifier' },
    { name: 'subjectAltName', altNames: altNamesOf(listen) },
  ]);
  signWith(privateKey, certificate);
  const key = privateKey.export({ type: 'pkcs1', format: 'pem' }).toString();
  return { cert: forge.pki.certificateToPem(certificate), key };
}

const WILDCARDS = ['0.0.0.0', '::'];
/** RFC 1034: strict parsers refuse other names. */
const DNS_NAME =
  /^(?=.{1,253}$)[a-z\d]([a-z\d-]{0,61}[a-z\d])?(\.[a-z\d]([a-z\d-]{0,61}[a-z\d])?)*$/i;
/** A machine with many containers has an address for each. */
const ALT_NAMES_MAX = 64;

/** A wildcard stands for the machine's name and its addresses. */
function altNamesOf(listen: readonly ServerAddress[]): readonly object[] {
  const hosts = listen.flatMap((address) => ('socketPath' in address ? [] : [address.host]));
  const given = hosts.flatMap((host) => (WILDCARDS.includes(host) ? ownHosts() : [host]));
  const all = new Set(['localhost', '127.0.0.1', '::1', ...given]);
  return [...all]
    .filter((host) => isIP(host) !== 0 || DNS_NAME.test(host))
    .slice(0, ALT_NAMES_MAX)
    .map((host) => {
      if (isIP(host) !== 0) return { type: SAN_IP, ip: host };
      return { type: SAN_DNS, value: host };
    });
}

/** GeneralName of RFC 5280. */
const SAN_DNS = 2;
const SAN_IP = 7;

function ownHosts(): readonly string[] {
  const addresses = Object.values(networkInterfaces()).flatMap((some) => some ?? []);
  const routable = addresses.filter(({ scopeid = 0 }) => scopeid === 0);
  return [hostname(), ...routable.map(({ address }) => address)];
}

/** Node.js signs, because the arithmetic of node-forge takes a quarter of a second. */
function signWith(privateKey: crypto.KeyObject, certificate: forge.pki.Certificate): void {
  const signature = (): string => {
    const bytes = forge.asn1.toDer(certificate.tbsCertificate).getBytes();
    return crypto.sign('sha256', Buffer.from(bytes, 'binary'), privateKey).toString('binary');
  };
  // The library uses nothing else of a key.
  const key: Partial<forge.pki.rsa.PrivateKey> = { sign: signature };
  certificate.sign(key as forge.pki.rsa.PrivateKey, forge.md.sha256.create());
}

/** The key with which clients without TLS encrypt their passwords. */
export function proxyKeyOf(privateKey: crypto.KeyObject): ProxyKey {
  const publicPem = crypto.createPublicKey(privateKey).export({ type: 'spki', format: 'pem' });
  const modulusBits = privateKey.asymmetricKeyDetails?.modulusLength ?? 0;
  return { privateKey, publicPem: Buffer.from(publicPem), modulusBytes: modulusBits / 8 };
}
