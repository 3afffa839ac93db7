/** Requests of browsers: addresses, forms and cookies. */
import type http from 'node:http';
import { wrongParam } from '../dropped-tables.js';
import { isSecure } from '../gate.js';
import { BASE } from '../pages/layout.js';
import { readText } from '../serve.js';

export type Form = URLSearchParams;

const BODY_BYTES_MAX = 262_144;

/** Empty parts of a path mean nothing. */
export function pathOf({ url }: Pick<Request, 'url'>): string {
  const parts = new URL(url).pathname.split('/');
  return `/${parts.filter((part) => part !== '').join('/')}`;
}

/** Rejects with UNDROP_API_REQUEST. */
export async function readForm(request: http.IncomingMessage): Promise<Form> {
  const type = request.headers['content-type']?.split(';')[0]?.trim().toLowerCase();
  const expected = 'application/x-www-form-urlencoded';
  if (type !== expected) throw wrongParam('Content-Type', expected, type);
  return new URLSearchParams(await readText(request, BODY_BYTES_MAX));
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
  const all = (request.headers.cookie ?? '').split(';').map((one) => one.trim().split('='));
  return all.find(([key, value]) => key === name && value !== undefined)?.[1] ?? null;
}

export function cookieText(request: http.IncomingMessage, secret: string): string {
  const secure = isSecure(request.socket) ? '; Secure' : '';
  return `${cookieName(request)}=${secret}; Path=${BASE}; HttpOnly; SameSite=Strict${secure}`;
}
