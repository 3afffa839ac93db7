/** docs/ARCHITECTURE.md: its list of rooms. */
import { expect, test } from '@jest/globals';
import { listFiles, readText } from './support/source-file.js';

const page = readText('docs/ARCHITECTURE.md');
const folders = new Set(
  listFiles('src', ['.ts']).map((path) => path.slice('src/'.length, path.lastIndexOf('/') + 1)),
);

test('docs/ARCHITECTURE.md has one line for each room, and for no other', () => {
  const lines = page.matchAll(/^\| `([a-z/-]+\/)` \|/gm);
  const rooms = [...folders].filter((folder) => folder !== '');
  expect([...lines].map(([, room]) => room).toSorted()).toEqual(rooms.toSorted());
});
