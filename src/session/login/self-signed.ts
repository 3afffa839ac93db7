/**
 * The certificate that clients see where nobody gave one: signed by its own key, made at the start
 * of a proxy, in memory. It hides what is said from whoever listens; a client that checks
 * certificates does not take it, as it proves nothing of who shows it.
 *
 * Invariant: it is never written to disk, and a process has but one.
 */
import { createPublicKey, generateKeyPair, type KeyObject, randomBytes, sign } from 'node:crypto';
import { promisify } from 'node:util';
import forge from 'node-forge';

/** In PEM. */
export interface CertificateAndKey {
  readonly cert: string;
  readonly key: string;
}

/**
 * RSA, as every client knows it, and passwords can be encrypted with it (connection-security.ts).
 */
const KEY_BITS = 2048;
const NAME = 'undrop_auto_generated_server_certificate';
const DAY_MS = 86_400_000;
/** Clocks differ. */
const VALID_BEFORE_DAYS = 1;
const VALID_DAYS = 3_650;

let made: Promise<CertificateAndKey> | null = null;

/** The one of this process, made at the first call. */
export function selfSigned(): Promise<CertificateAndKey> {
  made ??= make();
  return made;
}

async function make(): Promise<CertificateAndKey> {
  const { privateKey } = await promisify(generateKeyPair)('rsa', { modulusLength: KEY_BITS });
  const publicPem = createPublicKey(privateKey).export({ type: 'spki', format: 'pem' }).toString();
  const certificate = forge.pki.createCertificate();
  certificate.publicKey = forge.pki.publicKeyFromPem(publicPem);
  // A first byte below 0x80: serial numbers are positive.
  certificate.serialNumber = `01${randomBytes(15).toString('hex')}`;
  certificate.validity.notBefore = new Date(Date.now() - VALID_BEFORE_DAYS * DAY_MS);
  certificate.validity.notAfter = new Date(Date.now() + VALID_DAYS * DAY_MS);
  const names = [{ name: 'commonName', value: NAME }];
  certificate.setSubject(names);
  certificate.setIssuer(names);
  certificate.setExtensions([
    { name: 'basicConstraints', cA: false, critical: true },
    { name: 'keyUsage', digitalSignature: true, keyEncipherment: true, critical: true },
    { name: 'extKeyUsage', serverAuth: true },
  ]);
  signWith(privateKey, certificate);
  const key = privateKey.export({ type: 'pkcs1', format: 'pem' }).toString();
  return { cert: forge.pki.certificateToPem(certificate), key };
}

/** Node.js signs, because the arithmetic of node-forge takes a quarter of a second. */
function signWith(privateKey: KeyObject, certificate: forge.pki.Certificate): void {
  const signature = (): string => {
    const bytes = forge.asn1.toDer(certificate.tbsCertificate).getBytes();
    return sign('sha256', Buffer.from(bytes, 'binary'), privateKey).toString('binary');
  };
  // It asks nothing else of a key.
  const key: Partial<forge.pki.rsa.PrivateKey> = { sign: signature };
  certificate.sign(key as forge.pki.rsa.PrivateKey, forge.md.sha256.create());
}
