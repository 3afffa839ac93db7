/** IP addresses as text and as bytes in network order. */

/** 4 or 16 bytes, or null where `text` is no address. A zone (`%eth0`) is not part of one. */
export function parseIpAddress(text: string): Buffer | null {
  return text.includes(':') ? parseIpv6(text) : parseIpv4(text);
}

/** IPv4 dotted, IPv6 as RFC 5952 writes it (`2001:db8::1`), of IPv4 in IPv6 the IPv4 address. */
export function formatIpAddress(bytes: Buffer): string {
  if (bytes.length === 4) return bytes.join('.');
  if (isMapped(bytes)) return bytes.subarray(12).join('.');
  const groups = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(index * 2));
  const gap = longestZeros(groups);
  const hex = groups.map((group) => group.toString(16));
  if (gap.length < 2) return hex.join(':');
  const head = hex.slice(0, gap.start).join(':');
  const tail = hex.slice(gap.start + gap.length).join(':');
  return `${head}::${tail}`;
}

/** The 16 bytes by which IPv6 writes an IPv4 address; those of an IPv6 address are its own. */
export function toIpv6(bytes: Buffer): Buffer {
  return bytes.length === 16 ? bytes : Buffer.concat([MAPPED, bytes]);
}

/** Four bytes where it is an IPv4 address, written in whatever way. */
export function toIpv4(bytes: Buffer): Buffer | null {
  if (bytes.length === 4) return bytes;
  return isMapped(bytes) ? bytes.subarray(12) : null;
}

const MAPPED = Buffer.from('00000000000000000000ffff', 'hex');

function isMapped(bytes: Buffer): boolean {
  return bytes.subarray(0, 12).equals(MAPPED);
}

function parseIpv4(text: string): Buffer | null {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (match === null) return null;
  const parts = match.slice(1);
  const isPlain = parts.every((part) => Number(part) <= 255 && String(Number(part)) === part);
  return isPlain ? Buffer.from(parts.map(Number)) : null;
}

function parseIpv6(text: string): Buffer | null {
  const [head = '', tail, ...more] = text.split('::');
  if (more.length > 0) return null;
  const before = parseGroups(head, { dottedEnd: tail === undefined });
  const after = tail === undefined ? [] : parseGroups(tail, { dottedEnd: true });
  if (before === null || after === null) return null;
  const missing = 16 - before.length - after.length;
  if (tail === undefined ? missing !== 0 : missing < 2) return null;
  return Buffer.from([...before, ...Array.from({ length: missing }, () => 0), ...after]);
}

/** Bytes of `a:b:c`, or of `a:1.2.3.4` where a dotted end is allowed. */
function parseGroups(
  text: string,
  { dottedEnd }: { readonly dottedEnd: boolean },
): readonly number[] | null {
  if (text === '') return [];
  const groups = text.split(':');
  const bytes: number[] = [];
  for (const [index, group] of groups.entries()) {
    const dotted = dottedEnd && index === groups.length - 1 ? parseIpv4(group) : null;
    if (dotted !== null) bytes.push(...dotted);
    else if (/^[0-9a-fA-F]{1,4}$/.test(group)) {
      const value = Number.parseInt(group, 16);
      bytes.push(value >> 8, value & 0xff);
    } else return null;
  }
  return bytes;
}

function longestZeros(groups: readonly number[]): {
  readonly start: number;
  readonly length: number;
} {
  let best = { start: 0, length: 0 };
  let length = 0;
  for (const [index, group] of groups.entries()) {
    length = group === 0 ? length + 1 : 0;
    if (length > best.length) best = { start: index - length + 1, length };
  }
  return best;
}
