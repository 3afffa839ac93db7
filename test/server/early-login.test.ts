/**
 * Clients that don't wait for the greeting: HAProxy's `option mysql-check user …` sends its login,
 * and the command that ends the session, with the connection. What it hears through the proxy is
 * what it hears from the server.
 */
import { once } from 'node:events';
import net from 'node:net';
import { onServers } from '../support/on-servers.js';
import type { Target } from '../support/servers.js';
import { packetOf, packetsOf } from '../support/wire-talk.js';

const QUIT = packetOf(Buffer.of(0x01), 0);

/** As HAProxy composes it, with `post-41` (its default) and with `pre-41`. */
function checkOf(user: string, kind: 'post-41' | 'pre-41'): Buffer {
  const name = Buffer.concat([Buffer.from(user), Buffer.of(0, 0)]);
  const head =
    kind === 'pre-41'
      ? Buffer.from('0080000001', 'hex')
      : Buffer.concat([Buffer.from('008200000080000121', 'hex'), Buffer.alloc(23)]);
  return Buffer.concat([packetOf(Buffer.concat([head, name]), 1), QUIT]);
}

/** A server that refuses leaves it unread, and what it closes then may lose its last words. */
function withoutQuit(check: Buffer): Buffer {
  return check.subarray(0, -QUIT.length);
}

/** First bytes and error numbers of all packets until the end. */
async function heard({ host, port }: Target, bytes: Buffer): Promise<readonly string[]> {
  const socket = net.connect({ host, port });
  socket.write(bytes);
  const chunks: Buffer[] = [];
  socket.on('data', (chunk) => chunks.push(chunk));
  socket.on('error', () => undefined);
  await once(socket, 'close');
  return packetsOf(Buffer.concat(chunks)).map(({ payload, sequenceId }) => {
    const isErr = payload[0] === 0xff;
    return `${sequenceId} ${payload[0]}${isErr ? ` ${payload.readUInt16LE(1)}` : ''}`;
  });
}

onServers('a login that comes before the greeting, on $name', (server, on) => {
  const { test } = on;
  const user = 'haproxy_check';
  const isModern = server.name === 'mysql-9.7';

  on.account(user);
  const proxy = on.proxy();

  test('is answered as by the server', async () => {
    const whole = checkOf(user, 'post-41');
    const check = isModern ? withoutQuit(whole) : whole;
    const direct = await heard(server, check);
    expect(await heard(proxy, check)).toEqual(direct);
    if (!isModern) expect(direct).toEqual(['0 10', '2 0']);
  });

  test('by nobody whom the server knows, too', async () => {
    const check = withoutQuit(checkOf('no_such_user', 'post-41'));
    expect(await heard(proxy, check)).toEqual(await heard(server, check));
  });

  test('of an older protocol is told so behind the greeting', async () => {
    expect(await heard(proxy, checkOf(user, 'pre-41'))).toEqual(['0 10', '2 255 1043']);
  });

  test('is bounded', async () => {
    const said = await heard(proxy, packetOf(Buffer.alloc(70_000, 7), 1));
    expect(said.at(-1)).toMatch(/255 1835$/);
  });
});
