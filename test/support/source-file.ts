/**
 * The project's own sources as text, for the rules that a machine can check: each file with a copy
 * in which comments and the insides of literals are blanked, so that a rule about code doesn't
 * stumble over a word in a sentence. A small scanner, no parser: TypeScript's own has no API any
 * more. Invariant: a blanked copy has the same offsets and lines as the text.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The project's folder, seen from build/test/support. */
const ROOT = join(fileURLToPath(import.meta.url), '../../../..');

export type SourceFile = ReturnType<typeof scanSource>;

export interface Import {
  readonly specifier: string;
  /** Gone after compilation. */
  readonly isTypeOnly: boolean;
  /** The file it leads to, from the project's folder; null for a package or a part of Node. */
  readonly target: string | null;
}

/** The files of `folder` whose names end with one of `endings`, by path; all below it, too. */
export function listFiles(
  folder: string,
  endings: readonly string[],
  { deep }: { readonly deep: boolean } = { deep: true },
): readonly string[] {
  return readdirSync(join(ROOT, folder), { recursive: deep, withFileTypes: true })
    .filter((entry) => entry.isFile() && endings.some((ending) => entry.name.endsWith(ending)))
    .map((entry) => join(entry.parentPath, entry.name).slice(ROOT.length + 1))
    .sort();
}

export function readText(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8');
}

export function readSource(path: string): SourceFile {
  return scanSource(path, readText(path));
}

/** The scan of `text` as the file `path`. */
export function scanSource(path: string, text: string) {
  const pieces = split(text);
  const code = pieces.map((piece) => (piece.kind === 'code' ? piece.text : blank(piece)));
  const comments = pieces.map((piece) => (piece.kind === 'comment' ? piece.text : gap(piece.text)));
  const strings = pieces.filter(({ kind }) => kind === 'literal').map((piece) => inside(piece));
  let end = 0;
  const placed = pieces.map((piece) => {
    end += piece.text.length;
    return { ...piece, at: end - piece.text.length + 1 };
  });
  const literals = placed
    .filter((piece) => piece.kind === 'literal' && /^['"`]/.test(piece.text))
    .map((piece) => ({ text: inside(piece), at: piece.at }));
  return {
    /** From the project's folder, with slashes. */
    path,
    text,
    /** Comments and the insides of strings, templates and regular expressions are blanks. */
    code: code.join(''),
    /** Everything but comments is blanks. */
    comments: comments.join(''),
    /** The text without the insides of literals and without links: what the 100 columns are for. */
    bare: pieces.map(shorten).join(''),
    /** What is between quotes. */
    strings: strings as readonly string[],
    /** Those that open with a quote or a backtick, each with the offset of its first character. */
    literals,
    imports: importsOf(path, code.join(''), text),
  };
}

type Piece = { readonly kind: 'code' | 'comment' | 'literal'; readonly text: string };

/** `${` and `}` of a template are code; what stands between two of them is a literal. */
function split(text: string): readonly Piece[] {
  const pieces: Piece[] = [];
  /** For each template that is open: how many braces are open inside its `${`. */
  const templates: number[] = [];
  let from = 0;
  let at = 0;
  const cut = (kind: Piece['kind'], end: number) => {
    if (end > from) pieces.push({ kind, text: text.slice(from, end) });
    from = end;
    at = end;
  };
  while (at < text.length) {
    const end = literalOrCommentAt(text, at, templates);
    if (end === null) {
      at++;
      continue;
    }
    const kind = /^(\/\/|\/\*|#!)/.test(text.slice(at, at + 2)) ? 'comment' : 'literal';
    cut('code', at);
    cut(kind, end);
  }
  cut('code', text.length);
  return pieces;
}

/** The end of the comment or literal that starts at `at`, or null where none does. */
function literalOrCommentAt(text: string, at: number, templates: number[]): number | null {
  const two = text.slice(at, at + 2);
  const one = text.charAt(at);
  const depth = templates.at(-1);
  if (two === '//' || (two === '#!' && at === 0)) return endOf(text, '\n', at) - 1;
  if (two === '/*') return endOf(text, '*/', at + 2);
  if (one === '"' || one === "'") return stringEnd(text, at);
  if (one === '`') return templateEnd(text, at + 1, templates);
  if (one === '/' && startsRegex(text, at)) return regexEnd(text, at);
  if (depth !== undefined && (one === '{' || one === '}')) {
    templates[templates.length - 1] = depth + (one === '{' ? 1 : -1);
    if (one === '}' && depth === 0) {
      templates.pop();
      return templateEnd(text, at + 1, templates);
    }
  }
  return null;
}

function endOf(text: string, mark: string, from: number): number {
  const found = text.indexOf(mark, from);
  return found < 0 ? text.length + mark.length : found + mark.length;
}

function stringEnd(text: string, start: number): number {
  let at = start + 1;
  while (at < text.length && text[at] !== text[start]) at += text[at] === '\\' ? 2 : 1;
  return at + 1;
}

/** Up to the closing backtick, or behind the next `${`, whose braces are counted from now on. */
function templateEnd(text: string, start: number, templates: number[]): number {
  let at = start;
  while (at < text.length && text[at] !== '`') {
    if (text.startsWith('${', at)) {
      templates.push(0);
      return at + 2;
    }
    at += text[at] === '\\' ? 2 : 1;
  }
  return at + 1;
}

/** A slash is a division behind a value: a name, a number, a closing bracket. */
function startsRegex(text: string, at: number): boolean {
  const before = text.slice(Math.max(0, at - 40), at).trimEnd();
  return /(^|[=(,:[!&|?{};+<>~^*%-]|\b(return|typeof|case|in|of))$/.test(before);
}

function regexEnd(text: string, start: number): number {
  let at = start + 1;
  let inClass = false;
  while (at < text.length && (inClass || text[at] !== '/')) {
    if (text[at] === '[') inClass = true;
    if (text[at] === ']') inClass = false;
    at += text[at] === '\\' ? 2 : 1;
  }
  return at + 1;
}

function gap(text: string): string {
  return text.replaceAll(/[^\n]/g, ' ');
}

/** A literal keeps its ends, so that code still has a value there. */
function blank({ kind, text }: Piece): string {
  if (kind === 'comment' || text.length < 2) return gap(text);
  return `${text.charAt(0)}${gap(text.slice(1, -1))}${text.charAt(text.length - 1)}`;
}

function shorten({ kind, text }: Piece): string {
  if (kind === 'comment') return text.replaceAll(/https?:\/\/\S+/g, '');
  return kind === 'code' ? text : text.replaceAll(/[^\n]/g, '');
}

function inside({ text }: Piece): string {
  return text.replace(/^['"`}/]/, '').replace(/(['"`/]|\$\{)$/, '');
}

function importsOf(path: string, code: string, text: string): readonly Import[] {
  const imports: Import[] = [];
  const found = code.matchAll(
    /^(?:import|export)\s+(?:([\w\s{},*$]+?)\s+from\s+)?(['"])( *)\2;|\bimport\((['"])( *)\4\)/gm,
  );
  for (const match of found) {
    const [whole, clause = '', , blanks, , dynamicBlanks] = match;
    const length = (blanks ?? dynamicBlanks ?? '').length;
    const start = match.index + whole.search(/['"]/) + 1;
    const specifier = text.slice(start, start + length);
    const target = specifier.startsWith('.')
      ? join(path, '..', specifier).replace(/\.js$/, '.ts')
      : null;
    imports.push({ specifier, isTypeOnly: isTypeOnly(clause), target });
  }
  return imports;
}

function isTypeOnly(clause: string): boolean {
  if (/^\s*type\b/.test(clause)) return true;
  const names = /^\s*\{([\s\S]*)\}\s*$/.exec(clause)?.[1];
  if (names === undefined) return false;
  const listed = names.split(',').map((name) => name.trim());
  return listed.every((name) => name === '' || name.startsWith('type '));
}
