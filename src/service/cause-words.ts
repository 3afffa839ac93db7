/**
 * The words of an error of somebody else, to stand within a sentence of ours. OpenSSL's name its
 * own source files, on several lines: of those, only what is wrong is left. Invariant: nothing is
 * added.
 */

/** As in `80EC42:error:0A000102:SSL routines:ssl_choose_client_version:unsupported protocol:…`. */
const OPENSSL_REASON = /:error:[0-9A-F]+:[^:]+:[^:]*:([^:]+):/;

/** Without a stop at the end. */
export function causeWords(error: unknown): string {
  const words = error instanceof Error ? error.message : String(error);
  const [, reason = words] = OPENSSL_REASON.exec(words) ?? [];
  return reason.trim().replace(/\.$/, '');
}
