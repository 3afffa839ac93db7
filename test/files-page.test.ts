/** The list of rooms in docs/ARCHITECTURE.md, and docs/FILES.md, which is made of file headers. */
import { describe, expect, test } from '@jest/globals';
import { expectPage } from './support/page.js';
import { listFiles, readSource, readText } from './support/source-file.js';

const sources = listFiles('src', ['.ts']).map(readSource);
const folderOf = (path: string) => path.slice('src/'.length, path.lastIndexOf('/') + 1);
const folders = [...new Set(sources.map(({ path }) => folderOf(path)))].filter(Boolean);

describe('rooms', () => {
  test('docs/ARCHITECTURE.md has one line for each room, and for no other', () => {
    const lines = readText('docs/ARCHITECTURE.md').matchAll(/^\| `([a-z/-]+\/)` \|/gm);
    expect([...lines].map(([, room]) => room).toSorted()).toEqual(folders.toSorted());
  });

  test('docs/FILES.md is made of what each file says of itself', () => {
    const rooms = ['', ...folders.toSorted()].map((room) => {
      const files = sources.filter(({ path }) => folderOf(path) === room);
      const rows = files.map(({ path, text }) => `| \`${nameOf(path)}\` | ${opening(text)} |\n`);
      return `## ${room === '' ? 'root files' : room}\n\n| | |\n|---|---|\n${rows.join('')}`;
    });
    expectPage(
      'docs/FILES.md',
      '# Files\n\n' +
        'Every file of `src/` by its room, with the first sentence of its header. Made by\n' +
        '`UPDATE_GOLDEN=1 npm test -- files-page`; [ARCHITECTURE.md](ARCHITECTURE.md) says what ' +
        'the rooms are.\n\n' +
        rooms.join('\n'),
    );
  });
});

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

/** The first sentence of a file's header. */
function opening(text: string): string {
  const header = /^(?:#!.*\n)?\/\*\*?([\s\S]*?)\*\//.exec(text)?.[1] ?? '';
  const line = header.replace(/\n\s*\* ?/g, ' ').trim();
  const sentence = /^.*?\.(?=\s+[A-Z]|$)/.exec(line)?.[0] ?? line;
  return sentence.replaceAll('|', '\\|');
}
