/**
 * The commands in README and docs: the fenced blocks of `sh` and `sql`, with what a test needs to
 * run them. A block is tagged in its info string, or by a comment in front of it, which readers
 * don't see:
 *
 * - ```sh no-test="why": no test runs it. There are at most ten of these.
 * - ```sh test="server/init": the test of that file runs it.
 * - <!-- run: DROP TABLE shop.orders -->: SQL that is run through the proxy before the block.
 *   Without it a block may work in any of the states that docs-commands.test.ts prepares. With
 *   `direct:` the SQL of the block goes to the server itself.
 */
import { readText } from './source-file.js';

export interface Fence {
  readonly page: string;
  /** Of its first line of text. */
  readonly line: number;
  readonly language: 'sh' | 'sql';
  readonly text: string;
  readonly noTest: string | null;
  /** `server/init` */
  readonly testedBy: string | null;
  readonly before: string | null;
  readonly isDirect: boolean;
}

/** Pure but for reading the page. */
export function fencesOf(page: string): readonly Fence[] {
  return parseFences(page, readText(page));
}

function parseFences(page: string, text: string): readonly Fence[] {
  const found = text.matchAll(
    /(?:^ *<!-- (?<way>run|direct):(?<before>.*?)-->\n+)?^(?<indent> *)```(?<info>[^\n]*)\n(?<text>.*?)^ *```$/gms,
  );
  return [...found].flatMap(({ index, 0: whole, groups = {} }) => {
    const { before, way, indent = '', info = '' } = groups;
    const language = /^\w*/.exec(info)?.[0] ?? '';
    if (language !== 'sh' && language !== 'sql') return [];
    const head = whole.slice(0, whole.indexOf('```'));
    return {
      page,
      line: text.slice(0, index).split('\n').length + head.split('\n').length,
      language,
      text: (groups['text'] ?? '').replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
      noTest: /\bno-test="([^"]+)"/.exec(info)?.[1] ?? null,
      testedBy: /\btest="([^"]+)"/.exec(info.replace('no-test', ''))?.[1] ?? null,
      before: before?.trim() ?? null,
      isDirect: way === 'direct',
    };
  });
}

/** The commands of a block, each whole: continued lines of sh, statements of sql. */
export function commandsOf({ language, text }: Pick<Fence, 'language' | 'text'>): string[] {
  const ends = language === 'sh' ? /(?<!\\)$/ : /;\s*(--.*)?$/;
  const commands: string[] = [];
  let open: string[] = [];
  for (const line of text.split('\n')) {
    const isVoid = line.trim() === '' || /^\s*(#|--)/.test(line);
    if (isVoid && open.length === 0) continue;
    open.push(line);
    if (!ends.test(line)) continue;
    commands.push(open.join('\n'));
    open = [];
  }
  return open.length === 0 ? commands : [...commands, open.join('\n')];
}
