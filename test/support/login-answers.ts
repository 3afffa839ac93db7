/**
 * The answers of a server that has nothing against a login to what undrop asks before its OK
 * (session/login/login-check.ts).
 */
import type { Capabilities } from '../../src/wire/capabilities.js';
import { encodeResultSet } from '../../src/wire/result-set.js';

/** The payloads of all packets. */
export function loginAnswer(question: string, capabilities: Capabilities): readonly Buffer[] {
  const value = question.includes('CREATE USER')
    ? "CREATE USER `me`@`%` IDENTIFIED BY PASSWORD '' REQUIRE NONE"
    : question.includes('require_secure_transport')
      ? '0'
      : '';
  const columns = [{ name: 'answer', type: 'text' }] as const;
  // Autocommit.
  const flags = { statusFlags: 0x0002, warnings: 0 };
  const options = { capabilities, ...flags, isBinary: false, charset: '' };
  return encodeResultSet({ columns, rows: [[value]] }, options);
}
