/**
 * The header of the PROXY protocol, by which a proxy announces the client before all other bytes:
 * version 1 (a line of text) and version 2 (bytes) are read, version 2 is written.
 * https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt
 */
import { MalformedPacketError, PacketReader } from '../packet-reader.js';

/** An end of a connection. */
export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

/** The client of the connection; null: the proxy itself (a health check), or unknown. */
export interface ProxyHeader {
  readonly client: Endpoint | null;
  /** Length of the header. */
  readonly bytes: number;
}

const SIGNATURE_V1 = Buffer.from('PROXY ');
const SIGNATURE_V2 = Buffer.from('0d0a0d0a000d0a515549540a', 'hex');
const V1_BYTES_MAX = 107;
/** Room for addresses and for extensions after them; a longer header is refused. */
const V2_REST_BYTES_MAX = 4096;

const LOCAL = 0x20;
const PROXY = 0x21;
const TCP4 = 0x11;
const TCP6 = 0x21;

/**
 * The header at the start of `bytes`; null if it isn't whole yet. Throws `MalformedPacketError`
 * as soon as it can't become one.
 */
export function decodeProxyHeader(bytes: Buffer): ProxyHeader | null {
  if (startsLike(bytes, SIGNATURE_V2)) return decodeV2(bytes);
  if (startsLike(bytes, SIGNATURE_V1)) return decodeV1(bytes);
  throw new MalformedPacketError('expected a header of the PROXY protocol, found something else');
}

/** True also if `bytes` ends within the signature. */
function startsLike(bytes: Buffer, signature: Buffer): boolean {
  const length = Math.min(bytes.length, signature.length);
  return bytes.subarray(0, length).equals(signature.subarray(0, length));
}

/** `PROXY TCP4 <client> <proxy> <client's port> <proxy's port>\r\n`, or `PROXY UNKNOWN …\r\n` */
function decodeV1(bytes: Buffer): ProxyHeader | null {
  const end = bytes.subarray(0, V1_BYTES_MAX).indexOf('\r\n');
  if (end === -1) {
    if (bytes.length < V1_BYTES_MAX) return null;
    throw new MalformedPacketError(`PROXY v1: expected its end within ${V1_BYTES_MAX} bytes`);
  }
  const line = bytes.toString('latin1', 0, end);
  if (/^PROXY UNKNOWN( |$)/.test(line)) return { client: null, bytes: end + 2 };
  const [, family, host = '', to = '', port = '', toPort = ''] =
    /^PROXY (TCP[46]) (\S+) (\S+) (\d{1,5}) (\d{1,5})$/.exec(line) ?? [];
  const size = family === 'TCP4' ? 4 : 16;
  const [client, proxy] = [parseIpAddress(host), parseIpAddress(to)];
  const areAddresses = client?.length === size && proxy?.length === size;
  if (client === null || !areAddresses || Number(port) > 65_535 || Number(toPort) > 65_535) {
    throw new MalformedPacketError('PROXY v1: expected TCP4 or TCP6, two addresses, two ports');
  }
  return { client: { host: formatIpAddress(client), port: Number(port) }, bytes: end + 2 };
}

function decodeV2(bytes: Buffer): ProxyHeader | null {
  if (bytes.length < SIGNATURE_V2.length + 4) return null;
  const reader = new PacketReader(bytes, 'PROXY v2');
  reader.bytes(SIGNATURE_V2.length, 'signature'); //                         string[12]
  const command = reader.int(1, 'version and command'); //                    int<1>
  const family = reader.int(1, 'family and transport'); //                    int<1>
  // In network byte order, unlike all integers of MySQL.
  const length = reader.bytes(2, 'length').readUInt16BE(); //                int<2>
  if (command !== LOCAL && command !== PROXY) {
    throw new MalformedPacketError(`PROXY v2: unknown command 0x${command.toString(16)}`);
  }
  if (length > V2_REST_BYTES_MAX) {
    throw new MalformedPacketError(`PROXY v2: at most ${V2_REST_BYTES_MAX} bytes, found ${length}`);
  }
  if (reader.left < length) return null;
  const rest = new PacketReader(reader.bytes(length, 'addresses'), 'PROXY v2 addresses');
  const end = SIGNATURE_V2.length + 4 + length;
  const size = family === TCP4 ? 4 : family === TCP6 ? 16 : 0;
  // For other families (unix sockets, datagrams) the address of the connection itself counts.
  if (command === LOCAL || size === 0) return { client: null, bytes: end };
  const client = rest.bytes(size, 'source address'); //                      string[4 or 16]
  rest.bytes(size, 'destination address'); //                                string[4 or 16]
  const port = rest.bytes(2, 'source port').readUInt16BE(); //               int<2>
  rest.bytes(2, 'destination port'); //                                      int<2>
  return { client: { host: formatIpAddress(client), port }, bytes: end };
}

/**
 * A header of version 2 for a client that connected `from` there `to` us. Without addresses (a unix
 * socket), or with invalid ones, it declares the connection as undrop's own.
 */
export function encodeProxyHeader(from: Endpoint | null, to: Endpoint | null): Buffer {
  const client = from && parseIpAddress(from.host);
  const proxy = to && parseIpAddress(to.host);
  if (!from || !to || !client || !proxy) return headerV2(LOCAL, 0, Buffer.alloc(0));
  const [client4, proxy4] = [toIpv4(client), toIpv4(proxy)];
  const ports = Buffer.alloc(4);
  ports.writeUInt16BE(from.port, 0);
  ports.writeUInt16BE(to.port, 2);
  return client4 !== null && proxy4 !== null
    ? headerV2(PROXY, TCP4, Buffer.concat([client4, proxy4, ports]))
    : headerV2(PROXY, TCP6, Buffer.concat([toIpv6(client), toIpv6(proxy), ports]));
}

function headerV2(command: number, family: number, addresses: Buffer): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(addresses.length);
  return Buffer.concat([SIGNATURE_V2, Buffer.of(command, family), length, addresses]);
}

/** 4 or 16 bytes, or null if `text` isn't an address. A zone (`%eth0`) is not part of one. */
export function parseIpAddress(text: string): Buffer | null {
  return text.includes(':') ? parseIpv6(text) : parseIpv4(text);
}

/** IPv4 in dots, IPv6 as RFC 5952 writes it (`2001:db8::1`); IPv4 in IPv6 as IPv4. */
export function formatIpAddress(bytes: Buffer): string {
  const four = toIpv4(bytes);
  if (four !== null) return four.join('.');
  const groups = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(index * 2));
  return shortIpv6(groups.map((group) => group.toString(16)).join(':'));
}

/** 16 bytes: an IPv4 address as IPv6 writes it; an IPv6 address unchanged. */
export function toIpv6(bytes: Buffer): Buffer {
  return bytes.length === 16 ? bytes : Buffer.concat([MAPPED, bytes]);
}

/** Four bytes of an IPv4 address in either notation; null for others. */
export function toIpv4(bytes: Buffer): Buffer | null {
  if (bytes.length === 4) return bytes;
  return bytes.subarray(0, 12).equals(MAPPED) ? bytes.subarray(12) : null;
}

/** The beginning of an IPv4 address as IPv6 writes it. */
const MAPPED = Buffer.from('00000000000000000000ffff', 'hex');

function parseIpv4(text: string): Buffer | null {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (match === null) return null;
  const parts = match.slice(1);
  const isPlain = parts.every((part) => Number(part) <= 255 && String(Number(part)) === part);
  return isPlain ? Buffer.from(parts.map(Number)) : null;
}

function parseIpv6(text: string): Buffer | null {
  const isAddress = /^[0-9a-f:.]+$/i.test(text) && URL.canParse(`http://[${text}]`);
  if (!isAddress) return null;
  const [head = '', tail = ''] = shortIpv6(text).split('::');
  const [before, after] = [groupsOf(head), groupsOf(tail)];
  const zeros = Array.from({ length: 8 - before.length - after.length }, () => 0);
  const bytes = Buffer.alloc(16);
  for (const [index, group] of [...before, ...zeros, ...after].entries()) {
    bytes.writeUInt16BE(group, index * 2);
  }
  return bytes;
}

/** A URL has an IPv6 address in its shortest form, without dots. */
function shortIpv6(address: string): string {
  return new URL(`http://[${address}]`).hostname.slice(1, -1);
}

function groupsOf(text: string): readonly number[] {
  return text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16));
}
