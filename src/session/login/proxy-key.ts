/**
 * The RSA key of a proxy, with which clients without TLS encrypt their passwords for it: that of
 * its certificate, or one that is made at the start.
 */
import { createPublicKey, generateKeyPair, type KeyObject } from 'node:crypto';
import { promisify } from 'node:util';
import type { ProxyKey } from './connection-security.js';

const KEY_BITS = 2048;

export async function generateKey(): Promise<ProxyKey> {
  const options = { modulusLength: KEY_BITS };
  return proxyKeyOf((await promisify(generateKeyPair)('rsa', options)).privateKey);
}

export function proxyKeyOf(privateKey: KeyObject): ProxyKey {
  const publicPem = createPublicKey(privateKey).export({ type: 'spki', format: 'pem' });
  const modulusBits = privateKey.asymmetricKeyDetails?.modulusLength ?? 0;
  return { privateKey, publicPem: Buffer.from(publicPem), modulusBytes: modulusBits / 8 };
}
