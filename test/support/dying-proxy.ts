/** A proxy that dies in the middle of a statement of its client, for whoever recovers from it. */
import { until } from './poll.js';
import { proxyInFront } from './proxy.js';
import { RawClient } from './raw-client.js';
import type { Target } from './servers.js';
import { type TapMoment, wireTap } from './wire-tap.js';

/**
 * Says a text through a proxy that is cut off from its server at that moment of the first command
 * with these words. Resolves when it has ended; the server may still have its sessions.
 */
export async function sayToDying(
  server: Target,
  text: string,
  { schema, moment, words }: { schema: string; moment: TapMoment; words: string },
): Promise<void> {
  let isDead = false;
  const tap = await wireTap(server, (event) => {
    isDead ||= event.moment === moment && event.command.includes(words);
    return !isDead;
  });
  const proxy = await proxyInFront(tap);
  const client = await RawClient.open(proxy, { schema });
  // It may have no answer.
  const said = client.query(text).catch(() => undefined);
  await until(() => isDead, 'the proxy is dead');
  client.close();
  await said;
  tap.cut();
  await proxy.stop();
  await tap.close();
}
