/** Where the machine's own packages come from, in both forms that apt reads. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as apt from '../../throwaway-servers/apt-root.js';

const DEBIAN = `# the archive
Types: deb deb-src
URIs: http://mirror.example/debian
# a comment within
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
`;

test('reads paragraphs, with comments and several suites', () => {
  expect(apt.parseDeb822(DEBIAN)).toEqual([
    {
      ...{ uri: 'http://mirror.example/debian', suites: ['bookworm', 'bookworm-updates'] },
      ...{ components: ['main'], signedBy: '/usr/share/keyrings/debian-archive-keyring.gpg' },
    },
    {
      ...{ uri: 'http://mirror.example/debian-security', suites: ['bookworm-security'] },
      ...{ components: ['main'], signedBy: null },
    },
  ]);
});

test('leaves out what is switched off, and a key that stands in the file itself', () => {
  expect(
    apt.parseDeb822('Types: deb\nURIs: http://a/\nSuites: b\nComponents: c\nEnabled: no'),
  ).toEqual([]);
  const inline =
    'Types: deb\nURIs: http://a/\nSuites: b\nComponents: c\nSigned-By:\n -----BEGIN\n .';
  expect(apt.parseDeb822(inline)).toMatchObject([{ uri: 'http://a/', signedBy: null }]);
});

test('reads lines, with and without options', () => {
  const text = `deb http://a/debian bookworm main contrib # inline
# deb http://off/debian bookworm main
deb-src http://b/debian bookworm main
deb [arch=amd64 signed-by=/k.gpg] http://c/debian sid main`;
  expect(apt.parseOneLine(text)).toEqual([
    {
      ...{ uri: 'http://a/debian', suites: ['bookworm'], components: ['main', 'contrib'] },
      signedBy: null,
    },
    { uri: 'http://c/debian', suites: ['sid'], components: ['main'], signedBy: '/k.gpg' },
  ]);
});

test('finds the archive of the distribution among others', () => {
  const etc = mkdtempSync(join(tmpdir(), 'undrop-apt-test-'));
  mkdirSync(join(etc, 'sources.list.d'));
  writeFileSync(join(etc, 'sources.list'), 'deb http://cloud/apt cloud-bookworm main\n');
  writeFileSync(join(etc, 'sources.list.d/debian.sources'), DEBIAN);
  writeFileSync(join(etc, 'os-release'), 'ID=debian\nVERSION_CODENAME=bookworm\nNAME="Debian"\n');
  const distribution = apt.readDistribution(join(etc, 'os-release'));
  expect(distribution).toEqual({ id: 'debian', codename: 'bookworm' });
  const found = apt.findMainSource({ id: 'debian', codename: 'bookworm' }, etc);
  expect(found?.uri).toBe('http://mirror.example/debian');
  expect(apt.findMainSource({ id: 'debian', codename: 'forky' }, etc)).toBeNull();
  rmSync(etc, { recursive: true });
});

test('is no distribution where there is no file to say so', () => {
  expect(apt.readDistribution('/nowhere/os-release')).toBeNull();
});
