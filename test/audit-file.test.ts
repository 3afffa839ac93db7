/** The file of UNDROP_AUDIT_FILE: appended to, opened anew, and never in anybody's way. */
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { AuditFile, auditFileProblem } from '../src/log.js';
import { folderOfEachTest } from './support/folders.js';

const at = folderOfEachTest('audit');
let broken: string[];
let file: AuditFile;

beforeEach(() => {
  broken = [];
  file = new AuditFile((error) => broken.push((error as NodeJS.ErrnoException).code ?? 'no code'));
});

const linesOf = (name: string) =>
  fs
    .readFileSync(at(name), 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => (JSON.parse(line) as { n: number }).n);

test('lines are appended at once, by several as well, and not read by everybody', () => {
  const other = new AuditFile(() => undefined);
  for (const one of [file, other]) one.reopen(at('a'));
  for (const n of [1, 3]) {
    file.write({ n });
    other.write({ n: n + 1 });
  }
  expect(linesOf('a')).toEqual([1, 2, 3, 4]);
  expect(fs.statSync(at('a')).mode & 0o777).toBe(0o640);
});

test('one that was moved away gets no more once it is opened anew', () => {
  file.reopen(at('a'));
  file.write({ n: 1 });
  fs.renameSync(at('a'), at('a.1'));
  file.write({ n: 2 });
  file.reopen(at('a'));
  file.write({ n: 3 });
  expect([linesOf('a.1'), linesOf('a')]).toEqual([[1, 2], [3]]);
});

test('what is wrong is said once, and tried again with the next line', () => {
  file.reopen(at('later/a'));
  for (const n of [1, 2]) file.write({ n });
  expect(broken).toEqual(['ENOENT']);
  fs.mkdirSync(at('later'));
  file.write({ n: 3 });
  expect(linesOf('later/a')).toEqual([3]);
});

test.each([
  ['a full disk', '/dev/full', 'ENOSPC'],
  ['a folder', '.', 'EISDIR'],
])('%s is no error of who writes', (_what, path, code) => {
  file.reopen(path);
  for (const n of [1, 2]) file.write({ n });
  expect(broken).toEqual([code]);
});

test('a pipe that nobody reads does not stop the process', () => {
  execFileSync('mkfifo', [at('pipe')]);
  file.reopen(at('pipe'));
  file.write({ n: 1 });
  expect(broken).toEqual(['ENXIO']);
});

test('an empty path is no file', () => {
  file.reopen('');
  file.write({ n: 1 });
  expect(broken).toEqual([]);
});

test('whether lines can be appended is found without a new file or line', () => {
  fs.writeFileSync(at('a'), '{"n":1}\n');
  execFileSync('mkfifo', [at('pipe')]);
  for (const name of ['a', 'new', 'pipe']) expect(auditFileProblem(at(name))).toBeNull();
  expect(auditFileProblem(at('no/a'))).toMatch(/^ENOENT/);
  expect(auditFileProblem(at('a/b'))).toMatch(/^E(NOTDIR|ACCES)/);
  expect(auditFileProblem(at())).toMatch(/^EISDIR/);
  expect([linesOf('a'), fs.readdirSync(at())]).toEqual([[1], ['a', 'pipe']]);
});
