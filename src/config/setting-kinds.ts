/**
 * The kinds of settings: texts, numbers, words, lists, durations, sizes, addresses (`host:port`,
 * `[::1]:3307`, `3307`, `/path/to.sock`) and networks (`10.0.0.0/8`, `unix` for sockets). Each
 * describes its values and parses them.
 */
import net from 'node:net';
import { parseDuration } from '../duration.js';
import { parseBytes } from '../policy/rules.js';

export interface Setting<T> {
  /** In the words of a user; null: required, for the commands that use it. */
  readonly default: string | null;
  readonly meaning: string;
  /** Describes the values, for messages and docs. */
  readonly expected: string;
  /** Separates the items of a list in the file; default: a comma. */
  readonly separator?: string;
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

/** Empty by default; with another default, or null for none, it may not be empty. */
export function plainText(
  expected: string,
  meaning: string,
  fallback: string | null = '',
): Setting<string> {
  const parse = (given: string) => (fallback === '' ? given : given || null);
  return { default: fallback, expected, meaning, parse };
}

/** Only a SELECT, because the service account may write, and the query runs again and again. */
export function select(meaning: string): Setting<string> {
  const isSelect = (given: string) => /^\s*(select\b[^;]*)?;?\s*$/i.test(given);
  const expected = 'one SELECT of one number, without a ; in it';
  return { default: '', expected, meaning, parse: (given) => (isSelect(given) ? given : null) };
}

/** The first of the values is the default, unless `fallback` is. */
export function choice<const T extends string>(
  values: readonly [T, ...T[]],
  meaning: string,
  fallback: NoInfer<T> = values[0],
): Setting<T> {
  return { default: fallback, expected: values.join(', '), meaning, parse: oneOf(values) };
}

export function upToMillion(fallback: string, meaning: string): Setting<number> {
  const expected = 'a number from 1 to 1000000';
  return { default: fallback, expected, meaning, parse: integer(1, 1_000_000) };
}

/** A list that may be empty, and is by default. */
export function optionalList<T>(
  parse: (item: string) => T | null,
  expected: string,
  meaning: string,
): Setting<readonly T[]> {
  return { default: '', expected, meaning, parse: emptyOr(listOf(parse)) };
}

function emptyOr<T>(parse: (text: string) => readonly T[] | null) {
  return (text: string) => (text.trim() === '' ? [] : parse(text));
}

/** A duration; its value is in milliseconds. */
export function duration(
  fallback: string,
  meaning: string,
  { min = '0', max = '3650d' }: { readonly min?: string; readonly max?: string } = {},
): Setting<number> {
  const [minMs, maxMs] = [parseDuration(min) ?? 0, parseDuration(max) ?? 0];
  const range = min === '0' ? `up to ${max}` : `from ${min} to ${max}`;
  return {
    default: fallback,
    expected: `a duration like 500ms, 20s, 1h30m or 7d, ${range}`,
    meaning,
    parse: (text) => {
      const ms = parseDuration(text);
      return ms !== null && ms >= minMs && ms <= maxMs ? ms : null;
    },
  };
}

/** A size, by default none; its value is in bytes. */
export function bytes(meaning: string): Setting<number | 'none'> {
  const expected = 'a size like 500M, 64G or 1.5T';
  return noneOr({ default: 'none', expected, meaning, parse: (text) => parseBytes(text) || null });
}

interface AddressOptions {
  /** Default: the default port of this machine. */
  readonly default?: string | null;
  /** Continues the description of the values. */
  readonly more?: string;
  /** The list may be empty. */
  readonly isOptional?: boolean;
}

/** Addresses of servers or listeners; `port` is the default port. */
export function addresses(
  port: number,
  meaning: string,
  { default: fallback = `127.0.0.1:${port}`, more = '', isOptional }: AddressOptions = {},
): Setting<readonly Address[]> {
  const parse = listOf((text) => parseAddress(text, { host: '127.0.0.1', port }));
  return {
    default: fallback,
    expected: `host:port (default port ${port}) or the path of a unix socket; several separated by commas${more}`,
    meaning,
    parse: isOptional ? emptyOr(parse) : parse,
  };
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
