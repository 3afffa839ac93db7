/** Addresses as people write them: `host:port`, `[::1]:3307`, `3307`, `/path/to.sock`. */

/** Same shape as the service's own; config imports nothing of the rest. */
export type Address =
  | { readonly host: string; readonly port: number }
  | { readonly socketPath: string };

/** An address, or null where `text` is none. `defaultHost` stands in for an empty host. */
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
