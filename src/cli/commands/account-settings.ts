/** Settings of the commands that aren't a proxy. */
import type { Settings } from '../../config/schema.js';

/** Settings of commands that only talk to the server, by their keys in config/schema.ts. */
export const ACCOUNT_KEYS = [
  'upstream',
  'user',
  'password',
  'passwordFile',
  'tls',
  'upstreamTls',
  'upstreamCa',
  'upstreamCert',
  'upstreamKey',
  'upstreamPublicKey',
] as const;

/** Of `doctor`, which looks whether the schemas that were meant are held, and by which settings. */
export const DOCTOR_KEYS = [
  ...ACCOUNT_KEYS,
  'lendTls',
  'schemas',
  'mode',
  'protect',
  'allowDestroy',
] as const;

/** Of `init`, which may log in as an administrator. */
export const INIT_KEYS = [
  ...ACCOUNT_KEYS,
  'tier',
  'schemas',
  'accountHost',
  'adminUser',
  'adminPassword',
  'adminPasswordFile',
  'connectTimeout',
  'greetingTimeout',
] as const;

export type InitSettings = Pick<Settings, (typeof INIT_KEYS)[number]>;

export type DoctorSettings = Pick<Settings, (typeof DOCTOR_KEYS)[number]>;

export type AccountSettings = Pick<Settings, (typeof ACCOUNT_KEYS)[number]>;
