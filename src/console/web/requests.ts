/** Requests of browsers: addresses, forms and cookies. */
import type http from 'node:http';
import { wrongParam } from '../dropped-tables.js';
import { isSecure, readText } from '../gate.js';
import { BASE } from '../pages/layout.js';

export type Form = URLSearchParams;

const BODY_BYTES_MAX = 262_144;

/** Throws UNDROP_API_REQUEST. */
export function readUrl(text: string): {
  readonly path: readonly string[];
  readonly query: URLSearchParams;
} {
  const url = URL.canParse(text, 'http://localhost') ? new URL(text, 'http://localhost') : null;
  const [, base, ...parts] = url?.pathname.split('/') ?? [];
  if (url === null || `/${base}` !== BASE) throw wrongParam('the URL', `${BASE}/…`, text);
  const path = parts
    .filter((part) => part !== '')
    .map((part) => {
      try {
        return decodeURIComponent(part);
      } catch {
        throw wrongParam('the URL', 'a path', text);
      }
    });
  return { path, query: url.searchParams };
}

/** Rejects with UNDROP_API_REQUEST. */
export async function readForm(request: http.IncomingMessage): Promise<Form> {
  const type = request.headers['content-type']?.split(';')[0]?.trim().toLowerCase();
  const expected = 'application/x-www-form-urlencoded';
  if (type !== expected) throw wrongParam('Content-Type', expected, type);
  const text = await readText(request, BODY_BYTES_MAX);
  if (text === null) throw wrongParam('body', `at most ${BODY_BYTES_MAX} bytes`, 'more');
  return new URLSearchParams(text);
}

/** A page of the console, and no other address: also none by `..`. */
export function ownPath(text: string | null): string {
  if (text === null || !/^\/console(?:[/?][\x21-\x7e]*)?$/.test(text) || text.includes('\\')) {
    return BASE;
  }
  const { pathname, search } = new URL(text, 'http://localhost');
  return `${pathname}${search}` === text ? text : BASE;
}

/** Cookies know no ports: that of another proxy on this machine stays. */
function cookieName({ headers }: http.IncomingMessage): string {
  const [, port = 'default'] = /:(\d+)$/.exec(headers.host ?? '') ?? [];
  return `undrop_session_${port}`;
}

export function cookieOf(request: http.IncomingMessage): string | null {
  const name = cookieName(request);
  for (const one of (request.headers.cookie ?? '').split(';')) {
    const [key, value] = one.trim().split('=');
    if (key === name && value !== undefined) return value;
  }
  return null;
}

export function cookieText(request: http.IncomingMessage, secret: string): string {
  const secure = isSecure(request.socket) ? '; Secure' : '';
  return `${cookieName(request)}=${secret}; Path=${BASE}; HttpOnly; SameSite=Strict${secure}`;
}
