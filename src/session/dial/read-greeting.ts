/**
 * Reads the version of a server from its greeting, without an account. The login that follows is
 * abandoned as that of a client that has gone (abandon-login.ts).
 */
import type { ServerAddress } from '../../service/server-address.js';
import {
  bareVersion,
  decodeHandshakeV10,
  parseServerVersion,
  type ServerVersion,
} from '../../wire/connection/handshake-v10.js';
import { HEADER_BYTES } from '../../wire/framing.js';
import { abandonUnanswered } from './abandon-login.js';
import { dialUpstream } from './dial.js';

interface Greeting {
  readonly version: string;
  readonly server: ServerVersion;
  /** The address of this host on that connection. */
  readonly seenFrom: string;
}

/** The first address that greets counts; UNDROP_UPSTREAM_UNREACHABLE if none does. */
export async function readGreeting(
  addresses: readonly ServerAddress[],
  { timeoutMs }: { readonly timeoutMs: number },
): Promise<Greeting> {
  const times = { connectTimeoutMs: timeoutMs, greetingTimeoutMs: timeoutMs };
  const dialled = await dialUpstream(addresses, times);
  const { serverVersion } = decodeHandshakeV10(dialled.greeting.subarray(HEADER_BYTES));
  const seenFrom = dialled.socket.localAddress ?? 'localhost';
  abandonUnanswered({ ...dialled, received: dialled.greeting, onBroken: () => undefined });
  const server = parseServerVersion(serverVersion);
  return { version: bareVersion(serverVersion), server, seenFrom };
}
