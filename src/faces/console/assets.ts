/** The files of assets/, whose texts scripts/bundle.mjs writes into the product. */
import { readFileSync } from 'node:fs';

declare const UNDROP_ASSETS: Readonly<Record<string, string>> | undefined;

const FOLDER = new URL('../../../../src/faces/console/assets/', import.meta.url);

export const STYLE = textOf('style.css');
export const SCRIPT = textOf('console.js');
/** Describes the routes of the API and their fields; a test compares it with both. */
export const OPENAPI = JSON.parse(textOf('openapi.json')) as object;

function textOf(name: string): string {
  if (typeof UNDROP_ASSETS !== 'undefined') return UNDROP_ASSETS[name] ?? '';
  return readFileSync(new URL(name, FOLDER), 'utf8');
}
