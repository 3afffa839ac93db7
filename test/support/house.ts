/**
 * The figures of the house: circles of imports, names that two files export, sentences that open as
 * docs/inside/contributing.md forbids. test/tidy.test.ts bounds them, and `npm run figures` counts
 * and lists them, so that both count the same; what of its figures fails is decided here, too.
 */
import type { SourceFile } from './source-file.js';

/** `key`: what is counted: a path, or a name; `text`: for people: where it is, and what it says. */
export type Place = { readonly key: string; readonly text: string };

/** Files that import each other, directly or by others; each group sorted, none of one file. */
export function circlesOf(files: readonly SourceFile[]): readonly (readonly string[])[] {
  const targets = new Map(files.map((file) => [file.path, targetsOf(file)]));
  const reached = new Map([...targets.keys()].map((path) => [path, reachedFrom(path, targets)]));
  const groups = new Map<string, readonly string[]>();
  for (const [path, own] of reached) {
    const group = [...own].filter((other) => reached.get(other)?.has(path) === true).sort();
    if (group.length > 1) groups.set(group[0] ?? path, group);
  }
  return [...groups.values()];
}

/** The files that a file imports, types counted. */
export function targetsOf({ imports }: SourceFile): readonly string[] {
  return [...new Set(imports.flatMap(({ target }) => target ?? []))];
}

/** By imports; `from` itself only if it is in a circle. */
function reachedFrom(from: string, targets: ReadonlyMap<string, readonly string[]>): Set<string> {
  const seen = new Set<string>();
  const open = [...(targets.get(from) ?? [])];
  for (let path = open.pop(); path !== undefined; path = open.pop()) {
    if (seen.has(path)) continue;
    seen.add(path);
    open.push(...(targets.get(path) ?? []));
  }
  return seen;
}

/** One place for each file that exports a name that another file exports, too. */
export function exportedTwice(files: readonly SourceFile[]): readonly Place[] {
  const byName = new Map<string, string[]>();
  for (const file of files) {
    for (const name of new Set(exportsOf(file))) {
      byName.set(name, [...(byName.get(name) ?? []), file.path]);
    }
  }
  return [...byName]
    .filter(([, paths]) => paths.length > 1)
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .flatMap(([key, paths]) => paths.map((path) => ({ key, text: `${key}: ${path}` })));
}

function exportsOf({ code }: SourceFile): readonly string[] {
  const declared = code.matchAll(
    /^export\s+(?:declare\s+)?(?:abstract\s+)?(?:async\s+)?(?:function\s*\*?|class|const|let|interface|type)\s+(\w+)/gm,
  );
  const unpacked = code.matchAll(/^export\s+const\s+[[{]([^\]}]*)[\]}]\s*=/gm);
  const listed = code.matchAll(/^export\s+(?:type\s+)?\{([^}]*)\}/gm);
  const lists = [...unpacked, ...listed].flatMap(([, names = '']) => names.split(','));
  const names = lists.map((item) => /(\w+)\s*$/.exec(item)?.[1] ?? '');
  return [...[...declared].map(([, name = '']) => name), ...names].filter((name) => name !== '');
}

/** Files that import from more than `most` others, packages and parts of Node counted. */
export function wideImports(files: readonly SourceFile[], most: number): readonly Place[] {
  return files.flatMap(({ path, imports }) => {
    const count = new Set(imports.map(({ specifier }) => specifier)).size;
    return count > most ? [{ key: path, text: `${path} imports from ${count}` }] : [];
  });
}

/** Functions that more than `most` files have under one name, each for itself. */
export function sharedHelpers(files: readonly SourceFile[], most: number): readonly Place[] {
  const byName = new Map<string, string[]>();
  for (const { path, code } of files) {
    for (const [, name = ''] of code.matchAll(/^(?:async )?function\s*\*?\s*(\w+)/gm)) {
      byName.set(name, [...(byName.get(name) ?? []), path]);
    }
  }
  const shared = [...byName].filter(([, paths]) => paths.length > most);
  return shared.map(([key, paths]) => ({ key, text: `${key}: ${paths.join(' ')}` }));
}

/** For each line whether it is neither blank nor a comment. */
export function codeLines({ text, comments }: SourceFile): readonly boolean[] {
  const commented = comments.split('\n');
  return text.split('\n').map((line, index) => {
    const blanks = commented[index] ?? '';
    return Array.from(line, (_, at) => at).some((at) => isInk(line[at]) && !isInk(blanks[at]));
  });
}

function isInk(character: string | undefined): boolean {
  return character !== undefined && character.trim() !== '';
}

/** As in test/golden/figures.json: less is better. `now`: as of the last change. */
type Figure = { readonly now: number; readonly aim: number };

type Written = Readonly<Record<string, Figure>>;

/**
 * What is wrong with figures that were found: those that are worse than the written ones and than
 * the aim, and those that are better and not written down, until the aim is reached.
 */
export function compareFigures(found: Readonly<Record<string, number>>, written: Written) {
  const names = new Set([...Object.keys(found), ...Object.keys(written)]);
  return [...names].flatMap((name) => {
    const [value, figure] = [found[name], written[name]];
    if (value === undefined || figure === undefined) {
      return [`${name}: expected it counted and in figures.json, found only one of them`];
    }
    const { now, aim } = figure;
    const most = Math.max(now, aim);
    if (value > most) {
      return [
        `${name}: expected at most ${most}, found ${value}; delete or merge as much elsewhere`,
      ];
    }
    if (value === now || now <= aim) return [];
    const write = 'run `npm run figures -- --write`, and commit test/golden/figures.json';
    return [`${name}: expected ${value} to be written down, found ${now}; ${write}`];
  });
}

/** The written figures, with those that are better now. */
export function lowerFigures(found: Readonly<Record<string, number>>, written: Written): Written {
  const lowered = Object.entries(written).map(
    ([name, { now, aim }]) => [name, { now: Math.min(now, found[name] ?? now), aim }] as const,
  );
  return Object.fromEntries(lowered);
}

const OPENINGS = 'What|Who|Whoever|Whatever|One|So|Of|As|Those';
const OPENING = new RegExp(`(?<=^|[.!?]["')]?\\s|\\bInvariant: )(?:${OPENINGS})\\b`, 'g');
/** In lower case it opens a sentence only where a text begins. */
export const TEXT_OPENING = new RegExp(`^(?:${OPENINGS})\\b`, 'i');
/** Fields whose value is a text for people: of settings, options, the audit. */
const TEXT_FIELD = /\b(?:meaning|text|describe|description|message|expected):\s*$/;
const LOG_OPENING = new RegExp(
  `^(?:${OPENINGS}|an?|the|this|that|these|which|its?|some|somebody|nobody|nothing|none|neither|everything|there|not)\\b`,
  'i',
);

/** Sentences of comments and of literals whose first word makes the reader decode. */
export function openings(file: SourceFile): readonly Place[] {
  const comments = commentsOf(file);
  const literals = file.literals.filter(({ text }) => /\s\S/.test(text));
  return [...comments, ...literals].flatMap(({ text, at }) => {
    const found = [...text.matchAll(OPENING)].map(({ index }) => index);
    const isText = TEXT_FIELD.test(file.code.slice(Math.max(0, at - 40), at - 1));
    if (isText && !found.includes(0) && TEXT_OPENING.test(text)) found.unshift(0);
    return found.map((index) => placeOf(file, at, text.slice(index)));
  });
}

/** Texts of the log that aren't "verb object; consequence". */
export function logTexts(file: SourceFile): readonly Place[] {
  const { code, literals } = file;
  const calls = [...code.matchAll(/\b\w*(?:[lL]og|lines)\??\.(?:debug|info|warn|error)\(/g)];
  const spans = calls.map(({ index, 0: head }) => [index, closing(code, index + head.length)]);
  return literals
    .filter(({ text, at }) => /\S\s/.test(text) && isLogged(at, text))
    .filter(({ text }) => LOG_OPENING.test(text) || /\.$|\bcan not\b/.test(text))
    .map(({ text, at }) => placeOf(file, at, text));

  function isLogged(at: number, text: string): boolean {
    if (file.path === 'src/audit.ts') return /^[A-Za-z]/.test(text);
    return spans.some(([start = 0, end = 0]) => start <= at && at < end);
  }
}

/** Where the bracket closes that is open at `from`. */
export function closing(code: string, from: number): number {
  let depth = 1;
  let at = from;
  for (; depth > 0 && at < code.length; at++) {
    if (/[([{]/.test(code.charAt(at))) depth++;
    if (/[)\]}]/.test(code.charAt(at))) depth--;
  }
  return at;
}

/** Comments as running text; neighbouring line comments are one. */
function commentsOf({ comments }: SourceFile): readonly { text: string; at: number }[] {
  const blocks = comments.matchAll(/\/\*[\s\S]*?\*\/|\/\/.*(?:\n[ \t]*\/\/.*)*/g);
  return [...blocks].map(({ index, 0: block }) => {
    const bare = block.replace(/\*\/$/, '').replaceAll(/^[ \t]*(?:\/\*+|\*|\/\/+)[ \t]?/gm, '');
    return { text: bare.replaceAll(/\s+/g, ' ').trim(), at: index };
  });
}

/** By the line where the comment or literal begins. */
function placeOf({ path, text }: SourceFile, at: number, said: string): Place {
  const line = text.slice(0, at).split('\n').length;
  return { key: path, text: `${path}:${line}: ${said.slice(0, 80)}` };
}
