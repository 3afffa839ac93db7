/**
 * The kinds of settings: texts, numbers, words, lists, durations, sizes, addresses (`host:port`,
 * `[::1]:3307`, `3307`, `/path/to.sock`) and networks (`10.0.0.0/8`, `unix` for sockets). Each
 * describes its values and parses them.
 */
import net from 'node:net';
import { parseDuration } from '../duration.js';
import { parseBytes } from '../policy/rules.js';

/** A setting without its values; `default` is written as a user would write it. */
interface Described {
  /** Null: required, for the commands that use it. */
  readonly default: string | null;
  readonly meaning: string;
  /** Continues "Change it". */
  readonly when: string;
  /** Few users change it: the page and the example list it after the others. */
  readonly expert?: true;
  /** Separates the items of a list in the file; default: a comma. */
  readonly separator?: string;
}

interface Expected {
  /** Describes the values, for messages and docs. */
  readonly expected: string;
}

export interface Setting<T> extends Described, Expected {
  /** The value, or null if `text` isn't one. */
  parse(text: string): T | null;
  /** The problems of `text`; default: one, that it isn't as `expected`. */
  problems?(text: string): readonly string[];
}

export function oneOf<T extends string>(values: readonly T[]): (text: string) => T | null {
  return (text) => {
    const word = text.toLowerCase().replaceAll('_', '-');
    return values.find((value) => value === word) ?? null;
  };
}

export function listOf<T>(
  parse: (text: string) => T | null,
): (text: string) => readonly T[] | null {
  return (text) => {
    const items = text.split(',').map((item) => parse(item.trim()));
    return items.every((item): item is Exclude<typeof item, null> => item !== null) ? items : null;
  };
}

export function integer(min: number, max: number): (text: string) => number | null {
  return (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    return value >= min && value <= max ? value : null;
  };
}

/** A name or an address as it stands in a URL, in lower case. */
export function hostName(text: string): string | null {
  return /^(?:[a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])$/i.test(text)
    ? text.toLowerCase()
    : null;
}

export function setting<T>(entry: Setting<T>): Setting<T> {
  return entry;
}

/** Empty if it isn't set. */
export function anyText(described: Omit<Described, 'default'> & Expected): Setting<string> {
  return { ...described, default: '', parse: (text) => text };
}

export function someText(described: Described & Expected): Setting<string> {
  return { ...described, parse: (text) => text || null };
}

/** Only a SELECT, because the service account may write, and the query runs again and again. */
export function select(described: Omit<Described, 'default'>): Setting<string> {
  const isSelect = (text: string) => /^\s*(select\b[^;]*)?;?\s*$/i.test(text);
  const expected = 'one SELECT of one number, without a ; in it';
  return { ...described, expected, default: '', parse: (text) => (isSelect(text) ? text : null) };
}

export function choice<const T extends string>(
  values: readonly T[],
  described: Described,
): Setting<T> {
  return { ...described, expected: values.join(', '), parse: oneOf(values) };
}

/** A duration; its value is in milliseconds. */
export function duration(
  described: Described & { readonly min?: string; readonly max?: string },
): Setting<number> {
  const { min = '0', max = '3650d', ...others } = described;
  const [minMs, maxMs] = [parseDuration(min) ?? 0, parseDuration(max) ?? 0];
  const range = min === '0' ? `up to ${max}` : `from ${min} to ${max}`;
  return {
    ...others,
    expected: `a duration like 500ms, 20s, 1h30m or 7d, ${range}`,
    parse: (text) => {
      const ms = parseDuration(text);
      return ms !== null && ms >= minMs && ms <= maxMs ? ms : null;
    },
  };
}

/** A size; its value is in bytes. */
export function bytes(described: Described): Setting<number> {
  return {
    ...described,
    expected: 'a size like 500M, 64G or 1.5T',
    parse: (text) => parseBytes(text) || null,
  };
}

/** Addresses of servers or listeners; `port` is the default port. */
export function addresses(
  port: number,
  { more = '', isOptional = false, ...described }: Described & AddressOptions,
): Setting<readonly Address[]> {
  const parseAll = listOf((text) => parseAddress(text, { host: '127.0.0.1', port }));
  return {
    ...described,
    expected: `host:port (default port ${port}) or the path of a unix socket; several separated by commas${more}`,
    parse: (text) => (isOptional && text.trim() === '' ? [] : parseAll(text)),
  };
}

interface AddressOptions {
  /** Continues the description of the values. */
  readonly more?: string;
  /** The list may be empty. */
  readonly isOptional?: boolean;
}

/** The setting `one`, with `none` as a further value. */
export function noneOr<T>(one: Setting<T>): Setting<T | 'none'> {
  const parse = (text: string) => (text.toLowerCase() === 'none' ? 'none' : one.parse(text));
  return { ...one, expected: `none, or ${one.expected}`, parse };
}

/** The same shape as `ServerAddress` of `service/`, which `config` doesn't import. */
type Address = { readonly host: string; readonly port: number } | { readonly socketPath: string };

/** An address, or null if `text` is none. `defaultHost` stands in for an empty host. */
export function parseAddress(
  text: string,
  defaults: { readonly host: string; readonly port: number },
): Address | null {
  if (text.startsWith('/') || text.startsWith('./')) return { socketPath: text };
  if (/^\d{1,5}$/.test(text)) return parseAddress(`:${text}`, defaults);
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:\s/[\]]*))(?::(\d{1,5}))?$/.exec(text);
  if (match === null || text === '') return null;
  const [, v6, name = '', digits] = match;
  const port = digits === undefined ? defaults.port : Number(digits);
  if (port > 65_535) return null;
  return { host: v6 ?? (name === '' ? defaults.host : name), port };
}

export type Network =
  | { readonly address: string; readonly prefixBits: number; readonly family: 'ipv4' | 'ipv6' }
  /** All clients of a unix socket. */
  | 'unix';

/** Null if `text` is no network. */
export function parseNetwork(text: string): Network | null {
  if (text.toLowerCase() === 'unix') return 'unix';
  const [, address = '', digits] = /^([0-9a-fA-F.:]+)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  const version = net.isIP(address);
  if (version === 0) return null;
  const bitsMax = version === 4 ? 32 : 128;
  const prefixBits = digits === undefined ? bitsMax : Number(digits);
  if (prefixBits > bitsMax) return null;
  return { address, prefixBits, family: version === 4 ? 'ipv4' : 'ipv6' };
}
