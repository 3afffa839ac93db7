/**
 * Passwords by the server's RSA key: caching_sha2_password sends them so if its connection isn't
 * secure. Who stands in between may send a key of their own, so whether the key that comes is
 * believed is a policy, the same for the sessions of users
 * (session/login/auth-bridge.ts) and for the service's own logins (driver-login.ts).
 *
 * Invariant: a password is encrypted for a key that the policy allows, or not at all.
 */
import { constants, createPublicKey, type KeyObject, publicEncrypt } from 'node:crypto';
import { UndropError } from '../../errors.js';
import type { ServerAddress } from '../pool/pools.js';

/** As it is set: `auto` asks a server on this machine for it, `ask` any; or a certain one. */
export type ServerKeySetting = 'auto' | 'ask' | { readonly pinned: Buffer };

/** For one server: never, as it comes, or if it is a certain one (SPKI, DER). */
export type ServerKeyPolicy = 'refuse' | 'ask' | { readonly pinned: Buffer };

/** With `auto`: nobody stands between two programs of one machine. */
export function keyPolicyFor(setting: ServerKeySetting, upstream: ServerAddress): ServerKeyPolicy {
  if (setting !== 'auto') return setting;
  return isOnThisMachine(upstream) ? 'ask' : 'refuse';
}

export function isOnThisMachine(upstream: ServerAddress): boolean {
  if ('socketPath' in upstream) return true;
  const isLoopback = upstream.host === '::1' || /^(::ffff:)?127\./.test(upstream.host);
  return isLoopback || upstream.host === 'localhost';
}

export const OAEP = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha1' } as const;
/** What the padding takes of a block. */
const OAEP_BYTES = 42;

/** What the server said, and what is thought of it. */
export interface SentKey {
  /** The key in PEM, as it came. */
  readonly sent: Buffer;
  readonly nonce: Buffer;
  readonly policy: ServerKeyPolicy;
}

/** `password` with its NUL; it is overwritten. UNDROP_SERVER_KEY if it can't be encrypted. */
export function encryptPassword(password: Buffer, { sent, nonce, policy }: SentKey): Buffer {
  const key = trusted(sent, policy);
  const modulusBits = key.asymmetricKeyDetails?.modulusLength ?? 0;
  if (password.length > modulusBits / 8 - OAEP_BYTES) {
    throw refusal(`the password is too long for the server's key of ${modulusBits} bits`);
  }
  return publicEncrypt({ key, ...OAEP }, xor(password, nonce));
}

/** No key of the server would do, whichever it sends. */
export const KEY_AS_IT_COMES = 'its key would have to be believed as it comes';

function trusted(sent: Buffer, policy: ServerKeyPolicy): KeyObject {
  if (policy === 'refuse') throw refusal(KEY_AS_IT_COMES);
  const key = publicKeyOf(sent);
  if (typeof policy === 'string' || spkiOf(key).equals(policy.pinned)) return key;
  throw refusal('its key is not the one in UNDROP_UPSTREAM_PUBLIC_KEY');
}

function publicKeyOf(pem: Buffer): KeyObject {
  try {
    const key = createPublicKey(pem);
    if (key.asymmetricKeyType === 'rsa') return key;
  } catch {
    // Whatever it is, it is no key.
  }
  throw refusal('what it sent is no RSA key');
}

function refusal(problem: string): UndropError {
  return new UndropError('UNDROP_SERVER_KEY', { problem });
}

/** A public key in the form in which keys are compared. */
export function spkiOf(key: KeyObject): Buffer {
  return key.export({ type: 'spki', format: 'der' });
}

/** In place. The nonce is repeated as often as it takes. */
export function xor(bytes: Buffer, nonce: Buffer): Buffer {
  for (let index = 0; index < bytes.length; index++) {
    bytes[index] = (bytes[index] ?? 0) ^ (nonce[index % nonce.length] ?? 0);
  }
  return bytes;
}
