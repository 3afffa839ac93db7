/**
 * Passwords encrypted with the server's RSA key: caching_sha2_password does that on insecure
 * connections. An attacker in between may send a key of their own, so a policy decides which key is
 * trusted, alike for the sessions of users (session/login/auth-bridge.ts) and for the service's own
 * logins (driver-login.ts).
 *
 * Invariant: a password is encrypted for a key that the policy allows, or not at all.
 */
import { constants, createPublicKey, type KeyObject, publicEncrypt } from 'node:crypto';
import { UndropError } from '../../errors.js';
import { isOnThisMachine, type ServerAddress } from '../server-address.js';

/**
 * The setting: `auto` requests the key from a server on this machine, `ask` from any; or a pinned
 * key.
 */
export type ServerKeySetting = 'auto' | 'ask' | { readonly pinned: Buffer };

/** For one server: never, any key, or a pinned one (SPKI, DER). */
export type ServerKeyPolicy = 'refuse' | 'ask' | { readonly pinned: Buffer };

/** With `auto`: traffic within one machine can't be intercepted. */
export function keyPolicyFor(setting: ServerKeySetting, upstream: ServerAddress): ServerKeyPolicy {
  if (setting !== 'auto') return setting;
  return isOnThisMachine(upstream) ? 'ask' : 'refuse';
}

export const OAEP = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha1' } as const;
/** Bytes of padding in a block. */
const OAEP_BYTES = 42;

/** The server's key and nonce, with the policy for them. */
export interface SentKey {
  /** The key in PEM, as it came. */
  readonly sent: Buffer;
  readonly nonce: Buffer;
  readonly policy: ServerKeyPolicy;
}

/** Encrypts `password` with its NUL, which is overwritten. UNDROP_SERVER_KEY if it can't. */
export function encryptPassword(password: Buffer, { sent, nonce, policy }: SentKey): Buffer {
  const key = trusted(sent, policy);
  const modulusBits = key.asymmetricKeyDetails?.modulusLength ?? 0;
  if (password.length > modulusBits / 8 - OAEP_BYTES) {
    throw refusal(`the password is too long for the server's key of ${modulusBits} bits`);
  }
  return publicEncrypt({ key, ...OAEP }, xor(password, nonce));
}

/** The policy allows no key that the server may send. */
export const KEY_AS_IT_COMES = 'its key could not be verified';

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
    // Any error: it isn't a key.
  }
  throw refusal('it sent something other than an RSA key');
}

function refusal(problem: string): UndropError {
  return new UndropError('UNDROP_SERVER_KEY', { problem });
}

/** A public key in a comparable form. */
export function spkiOf(key: KeyObject): Buffer {
  return key.export({ type: 'spki', format: 'der' });
}

/** In place; the nonce is repeated. */
export function xor(bytes: Buffer, nonce: Buffer): Buffer {
  for (let index = 0; index < bytes.length; index++) {
    bytes[index] = (bytes[index] ?? 0) ^ (nonce[index % nonce.length] ?? 0);
  }
  return bytes;
}
