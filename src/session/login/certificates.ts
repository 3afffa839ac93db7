/**
 * The certificates and keys of a proxy: those in files, which are read whole and tried, so that a
 * list of problems names the variable of each wrong one; and those that are created at the start if
 * none are configured. The self-signed certificate protects against eavesdropping; a client that
 * checks certificates refuses it, because it proves no identity.
 *
 * Invariant: what was created is never written to disk, and a process creates it once.
 */

import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPair,
  type KeyObject,
  randomBytes,
  sign,
  X509Certificate,
} from 'node:crypto';
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { hostname, networkInterfaces } from 'node:os';
import type { SecureContext } from 'node:tls';
import tls from 'node:tls';
import { promisify } from 'node:util';
import forge from 'node-forge';
import { type ServerKeySetting, spkiOf } from '../../service/login/server-key.js';
import type { ServerAddress } from '../../service/server-address.js';
import type { ProxyKey } from './login-check.js';

interface Identity {
  readonly pem: CertificateAndKey;
  readonly context: SecureContext;
  readonly key: KeyObject;
}

/** With an ECDSA certificate beside it, OpenSSL takes the one that the client can use. */
export function loadIdentity(pem: SelfSigned, ticketKeys: Buffer | null = null): Identity {
  const all = pem.ecdsa === undefined ? [pem] : [pem, pem.ecdsa];
  const options = { cert: all.map(({ cert }) => cert), key: all.map(({ key }) => key) };
  const context = tls.createSecureContext({ ...options, ...(ticketKeys && { ticketKeys }) });
  return { pem, context, key: createPrivateKey(pem.key) };
}

/** A certificate and its key. `prefix`: of the two variables that name the files. */
export function readIdentity(
  {
    cert,
    key,
    prefix,
    ticketKeys = null,
  }: {
    readonly cert: string;
    readonly key: string;
    readonly prefix: string;
    readonly ticketKeys?: Buffer | null;
  },
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
  const certificate = attempt(() => new X509Certificate(text), expected, problems);
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

/** A certificate and its key, in PEM. */
export interface CertificateAndKey {
  readonly cert: string;
  readonly key: string;
}

/** A certificate that every client can use, and one whose handshake takes a tenth of the CPU. */
export interface SelfSigned extends CertificateAndKey {
  readonly ecdsa?: CertificateAndKey;
}

/** Passwords can be encrypted with it, too. */
const RSA_BITS = 2048;
const CURVE = 'P-256';
/** A PrintableString, which has no underscore: strict parsers refuse others. */
const NAME = 'undrop auto-generated server certificate';
const DAY_MS = 86_400_000;
/** Clocks differ. */
const VALID_BEFORE_DAYS = 1;
const VALID_DAYS = 3_650;

let made: Promise<SelfSigned> | null = null;

/** The certificates of this process, created at the first call for the addresses of the proxy. */
export function selfSigned(listen: readonly ServerAddress[]): Promise<SelfSigned> {
  made ??= makeSelfSigned(listen);
  return made;
}

/** Creates certificates for `localhost` and for the addresses in `listen`, and their keys. */
export async function makeSelfSigned(listen: readonly ServerAddress[]): Promise<SelfSigned> {
  const make = promisify(generateKeyPair);
  const [rsa, ecdsa] = await Promise.all([
    make('rsa', { modulusLength: RSA_BITS }),
    make('ec', { namedCurve: CURVE }),
  ]);
  return { ...certify(rsa.privateKey, listen), ecdsa: certify(ecdsa.privateKey, listen) };
}

function certify(key: KeyObject, listen: readonly ServerAddress[]): CertificateAndKey {
  const isRsa = key.asymmetricKeyType === 'rsa';
  const spki = createPublicKey(key).export({ type: 'spki', format: 'der' });
  // Its types know only one of the options.
  const parse = forge.asn1.fromDer as unknown as (der: string, options: object) => forge.asn1.Asn1;
  const keyInfo = parse(spki.toString('binary'), { decodeBitStrings: false });
  const certificate = forge.pki.createCertificate();
  // node-forge knows only RSA keys: it writes this one, which is replaced below.
  certificate.publicKey = forge.pki.setRsaPublicKey(ONE, ONE);
  // A first byte below 0x80: serial numbers are positive.
  certificate.serialNumber = `01${randomBytes(15).toString('hex')}`;
  certificate.validity.notBefore = new Date(Date.now() - VALID_BEFORE_DAYS * DAY_MS);
  certificate.validity.notAfter = new Date(Date.now() + VALID_DAYS * DAY_MS);
  const names = [{ name: 'commonName', value: NAME }];
  certificate.setSubject(names);
  certificate.setIssuer(names);
  certificate.setExtensions([
    { name: 'basicConstraints', cA: false, critical: true },
    { name: 'keyUsage', digitalSignature: true, keyEncipherment: isRsa, critical: true },
    { name: 'extKeyUsage', serverAuth: true },
    { id: forge.pki.oids['subjectKeyIdentifier'], value: keyIdentifier(keyInfo) },
    { name: 'subjectAltName', altNames: altNamesOf(listen) },
  ]);
  certificate.signatureOid = SHA256_WITH_RSA;
  certificate.siginfo.algorithmOid = SHA256_WITH_RSA;
  const algorithm = signatureAlgorithm(isRsa);
  const [tbs] = forge.pki.certificateToAsn1(certificate).value as [forge.asn1.Asn1];
  const fields = tbs.value as forge.asn1.Asn1[];
  fields[TBS_SIGNATURE] = algorithm;
  fields[TBS_KEY] = keyInfo;
  const signature = sign('sha256', derOf(tbs), key).toString('binary');
  const body = derOf(sequence([tbs, algorithm, primitive(Type.BITSTRING, `\0${signature}`)]));
  const cert = forge.pem.encode({ type: 'CERTIFICATE', body: body.toString('binary') });
  return { cert, key: key.export({ type: 'pkcs8', format: 'pem' }).toString() };
}

const ONE = new forge.jsbn.BigInteger('1');
const { Class, Type } = forge.asn1;
/** Positions in a TBSCertificate (RFC 5280). */
const TBS_SIGNATURE = 2;
const TBS_KEY = 6;
const ECDSA_WITH_SHA256 = '1.2.840.10045.4.3.2';
const SHA256_WITH_RSA = '1.2.840.113549.1.1.11';

/** RSA's has a NULL as its parameters, ECDSA's has none (RFC 4055, RFC 5758). */
function signatureAlgorithm(isRsa: boolean): forge.asn1.Asn1 {
  const oid = forge.asn1.oidToDer(isRsa ? SHA256_WITH_RSA : ECDSA_WITH_SHA256).getBytes();
  const name = primitive(Type.OID, oid);
  return sequence(isRsa ? [name, primitive(Type.NULL, '')] : [name]);
}

/** The SHA-1 of the key's bits, as an OCTET STRING (RFC 5280, 4.2.1.2). */
function keyIdentifier(keyInfo: forge.asn1.Asn1): string {
  const [, bits] = keyInfo.value as forge.asn1.Asn1[];
  const digest = createHash('sha1').update(String(bits?.value).slice(1), 'binary').digest('binary');
  return derOf(primitive(Type.OCTETSTRING, digest)).toString('binary');
}

function sequence(parts: forge.asn1.Asn1[]): forge.asn1.Asn1 {
  return forge.asn1.create(Class.UNIVERSAL, Type.SEQUENCE, true, parts);
}

function primitive(type: forge.asn1.Type, value: string): forge.asn1.Asn1 {
  return forge.asn1.create(Class.UNIVERSAL, type, false, value);
}

function derOf(value: forge.asn1.Asn1): Buffer {
  return Buffer.from(forge.asn1.toDer(value).getBytes(), 'binary');
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

/** The key with which clients without TLS encrypt their passwords. */
export function proxyKeyOf(privateKey: KeyObject): ProxyKey {
  const publicPem = createPublicKey(privateKey).export({ type: 'spki', format: 'pem' });
  const modulusBits = privateKey.asymmetricKeyDetails?.modulusLength ?? 0;
  return { privateKey, publicPem: Buffer.from(publicPem), modulusBytes: modulusBits / 8 };
}
