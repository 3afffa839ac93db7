/**
 * The conversations under test/packets, which a client had with real servers: packet by
 * packet, `>` from the client and `<` from the server, `##` before each exchange.
 */
import * as caps from '../../src/wire/capabilities.js';
import { decodeHandshakeResponse41 } from '../../src/wire/connection/handshake-response41.js';
import { decodeHandshakeV10 } from '../../src/wire/connection/handshake-v10.js';
import { HEADER_BYTES } from '../../src/wire/framing.js';
import { listFiles, readText } from './source-file.js';

/** A framed packet, header and all. */
export type Spoken = { readonly by: 'client' | 'server'; readonly packet: Buffer };

export type Exchange = ReturnType<typeof readExchange>;
export type Conversation = ReturnType<typeof parseConversation>;

/** Every conversation, by name. */
export function conversations(): readonly Conversation[] {
  return listFiles('test/packets', ['.hex']).map(readConversation);
}

/** One of them, by its name. */
export function conversation(name: string): Conversation {
  return readConversation(`test/packets/${name}.hex`);
}

/** One exchange of a conversation, by its title. */
export function exchange(name: string, title: string): Exchange {
  const all = conversation(name);
  const found = [all.login, ...all.exchanges].find((one) => one?.title === title);
  if (!found) throw new Error(`${name} has no exchange "${title}"`);
  return found;
}

/** Payloads of the server's packets. */
export function payloads({ spoken }: Exchange): readonly Buffer[] {
  return spoken.filter(({ by }) => by === 'server').map(({ packet }) => payload(packet));
}

export function payload(packet: Buffer): Buffer {
  return packet.subarray(HEADER_BYTES);
}

const known = new Map<string, Conversation>();

function readConversation(path: string): Conversation {
  const found = known.get(path) ?? parseConversation(path);
  known.set(path, found);
  return found;
}

function parseConversation(path: string) {
  const name = path.replace(/^test\/packets\//, '').replace(/\.hex$/, '');
  const [, ...sections] = readText(path).split(/^## /m);
  const exchanges = sections.map(readExchange);
  const [first] = exchanges;
  const login = first?.title === 'login' ? first : null;
  return {
    /** `mysql-9.7/eof` */
    name,
    server: name.slice(0, name.indexOf('/')),
    /** Without the login. */
    exchanges: login === null ? exchanges : exchanges.slice(1),
    /** Null where the server refused before its greeting. */
    login,
    agreed: login === null ? { flags: 0, mariadb: 0 } : agreedIn(login),
  };
}

function readExchange(section: string) {
  const [title = '', ...lines] = section.trimEnd().split('\n');
  const spoken = lines.map((line): Spoken => {
    const packet = Buffer.from(line.slice(2), 'hex');
    if (packet.length !== HEADER_BYTES + packet.readUIntLE(0, 3)) throw new Error(`${title}: cut`);
    return { by: line.startsWith('>') ? 'client' : 'server', packet };
  });
  const of = (by: Spoken['by']) =>
    spoken.filter((one) => one.by === by).map(({ packet }) => packet);
  const commands = of('client').filter((packet) => packet[3] === 0);
  return {
    title,
    spoken: spoken as readonly Spoken[],
    /** All bytes of the server. */
    answer: Buffer.concat(of('server')) as Buffer,
    /** Command bytes of the client; COM_SLEEP for an empty packet. */
    commands: commands.map((packet) => packet[HEADER_BYTES] ?? 0),
  };
}

function agreedIn({ spoken }: Exchange): caps.Capabilities {
  const [greeting, response] = spoken;
  if (greeting === undefined || response === undefined) throw new Error('no login');
  return caps.agreedCapabilities(
    decodeHandshakeV10(payload(greeting.packet)).capabilities,
    decodeHandshakeResponse41(payload(response.packet)).capabilities,
  );
}

/** A greeting, framed, of a server that has TLS, or none. */
export function greetingWith(greeting: Buffer, offersTls: boolean): Buffer {
  const copy = Buffer.from(greeting);
  const at = HEADER_BYTES + decodeHandshakeV10(payload(greeting)).lowOffset;
  const low = copy.readUInt16LE(at) & ~caps.CLIENT_SSL;
  copy.writeUInt16LE(low | (offersTls ? caps.CLIENT_SSL : 0), at);
  return copy;
}
