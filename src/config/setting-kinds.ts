/**
 * What kinds of settings there are: texts, numbers, words, lists, lengths of time, sizes and
 * addresses. Each knows what its values look like, and reads them.
 */
import { parseDuration } from '../duration.js';
import { parseBytes } from '../policy/rules.js';
import { type Address, parseAddress } from './address.js';

/** A setting, but for its values; `default` is what a person would write. */
interface Described {
  /** Null: it must be given (by commands that need it). */
  readonly default: string | null;
  readonly meaning: string;
  /** What stands between the items of a list in the file; default a comma. */
  readonly separator?: string;
}

export interface Setting<T> extends Described {
  /** What values look like, for messages and docs. */
  readonly expected: string;
  /** The value, or null if `text` is none. */
  parse(text: string): T | null;
  /** What is wrong with `text`, one by one; default: that it isn't what is expected. */
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

export function setting<T>(entry: Setting<T>): Setting<T> {
  return entry;
}

/** Empty if it isn't given. */
export function anyText(described: Pick<Setting<string>, 'expected' | 'meaning'>): Setting<string> {
  return { ...described, default: '', parse: (text) => text };
}

export function someText(described: Described & { readonly expected: string }): Setting<string> {
  return { ...described, parse: (text) => text || null };
}

/** The service account may do more than read: anything else would be done again and again. */
export function select({ meaning }: Pick<Setting<string>, 'meaning'>): Setting<string> {
  const isSelect = (text: string) => /^\s*(select\b[^;]*)?;?\s*$/i.test(text);
  const expected = 'one SELECT of one number, without a ; in it';
  return { meaning, expected, default: '', parse: (text) => (isSelect(text) ? text : null) };
}

export function choice<const T extends string>(
  values: readonly T[],
  described: Described,
): Setting<T> {
  return { ...described, expected: values.join(', '), parse: oneOf(values) };
}

/** A setting that is a length of time; its value is in milliseconds. */
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

/** A setting that is a size. */
export function bytes(described: Described): Setting<number> {
  return {
    ...described,
    expected: 'a size like 500M, 64G or 1.5T',
    parse: (text) => parseBytes(text) || null,
  };
}

/** Where servers are, or where something listens; `port` where none is said. */
export function addresses(
  port: number,
  { more = '', isOptional = false, ...described }: Described & AddressOptions,
): Setting<readonly Address[]> {
  const parseAll = listOf((text) => parseAddress(text, { host: '127.0.0.1', port }));
  return {
    ...described,
    expected: `host:port (${port} where none is said) or the path of a unix socket; several with commas${more}`,
    parse: (text) => (isOptional && text.trim() === '' ? [] : parseAll(text)),
  };
}

interface AddressOptions {
  /** What else is to be said of the values. */
  readonly more?: string;
  /** There may be none. */
  readonly isOptional?: boolean;
}

/** Another one, or `none`. */
export function noneOr<T>(one: Setting<T>): Setting<T | 'none'> {
  const parse = (text: string) => (text.toLowerCase() === 'none' ? 'none' : one.parse(text));
  return { ...one, expected: `none, or ${one.expected}`, parse };
}
