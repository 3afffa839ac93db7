/**
 * `npm run package`: makes the .deb and the .rpm of this version in `build/packages`, each from the
 * same list of files (FILES). `-- deb amd64`, `-- rpm arm64`: only that one. It needs dpkg-deb, and
 * rpmbuild of Debian's package rpm; Node.js comes from npm (docs/inside/decisions/processes.md).
 */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from './ensure.mjs';

const root = join(fileURLToPath(import.meta.url), '../..');
const OUTPUT = join(root, 'build/packages');
/** The newest one that npm has for both architectures; the image has the same. */
const NODE_VERSION = '24.21.0';
const MAINTAINER = 'The undrop developers <undrop@localhost>';
const SUMMARY = 'undoes DROP TABLE for MySQL and MariaDB';
const DESCRIPTION = [
  'A proxy for the protocol of MySQL. DROP TABLE renames the table instead of destroying it;',
  'UNDROP TABLE brings it back. After the hold its rows are deleted in small steps, so that a',
  'removal stalls nobody.',
];

/** The architectures by the names that npm, Debian and Red Hat have for them. */
const ARCHITECTURES = {
  amd64: { npm: 'x64', rpm: 'x86_64' },
  arm64: { npm: 'arm64', rpm: 'aarch64' },
};

const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

run(process.execPath, ['scripts/build.mjs']);
/** From a file of this folder, or by a function, to a path of the machine; the mode. */
const FILES = [
  ['build/undrop.mjs', '/usr/lib/undrop/undrop.mjs', 0o644],
  ...parts(),
  ['build/demo.mjs', '/usr/lib/undrop/demo.mjs', 0o644],
  ['build/server-supervisor.mjs', '/usr/lib/undrop/server-supervisor.mjs', 0o644],
  [nodeOf, '/usr/lib/undrop/node', 0o755],
  ['packaging/undrop.sh', '/usr/bin/undrop', 0o755],
  ['packaging/undrop.service', '/usr/lib/systemd/system/undrop.service', 0o644],
  ['packaging/undrop@.service', '/usr/lib/systemd/system/undrop@.service', 0o644],
  ['packaging/undrop.logrotate', '/etc/logrotate.d/undrop', 0o644],
  ['undrop.example.conf', '/etc/undrop/undrop.conf', 0o640],
  [manual, '/usr/share/man/man1/undrop.1', 0o644],
  [completion, '/usr/share/bash-completion/completions/undrop', 0o644],
  ['LICENSE', '/usr/share/doc/undrop/copyright', 0o644],
  ['build/THIRD-PARTY-LICENSES.txt', '/usr/share/doc/undrop/THIRD-PARTY-LICENSES.txt', 0o644],
  ['build/undrop.cdx.json', '/usr/share/doc/undrop/undrop.cdx.json', 0o644],
  [nodeLicence, '/usr/share/doc/undrop/NODE-LICENSE.txt', 0o644],
  ['docs/prometheus-alerts.yml', '/usr/share/doc/undrop/prometheus-alerts.yml', 0o644],
  ...examples(),
];

/** Files that a person edits: an upgrade leaves them as they are. */
const SETTINGS = FILES.map(([, path]) => path).filter((path) => path.startsWith('/etc/'));

const [kinds, architectures] = [['deb', 'rpm'], Object.keys(ARCHITECTURES)].map((all) => {
  const wanted = process.argv.slice(2).filter((one) => all.includes(one));
  return wanted.length === 0 ? all : wanted;
});
mkdirSync(OUTPUT, { recursive: true });
for (const architecture of architectures) {
  const folder = mkdtempSync(join(tmpdir(), 'undrop-package-'));
  try {
    const tree = join(folder, 'tree');
    for (const [from, to, mode] of FILES) install(from, join(tree, to), { mode, architecture });
    if (kinds.includes('deb')) makeDeb(folder, architecture);
    if (kinds.includes('rpm')) makeRpm(folder, architecture);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function install(from, to, { mode, architecture }) {
  mkdirSync(dirname(to), { recursive: true });
  if (typeof from === 'string') cpSync(join(root, from), to);
  else writeFileSync(to, from(architecture));
  chmodSync(to, mode);
}

function makeDeb(folder, architecture) {
  const tree = join(folder, 'deb');
  cpSync(join(folder, 'tree'), tree, { recursive: true });
  chmodSync(join(tree, 'etc/undrop'), 0o750);
  const control = [
    'Package: undrop',
    `Version: ${version}`,
    `Architecture: ${architecture}`,
    `Installed-Size: ${kibibytesOf(tree)}`,
    `Maintainer: ${MAINTAINER}`,
    'Section: database',
    'Priority: optional',
    'Depends: libc6 (>= 2.28), libstdc++6, passwd',
    `Description: ${SUMMARY}`,
    ...DESCRIPTION.map((line) => ` ${line}`),
  ];
  const scripts = {
    postinst: onlyFor('configure', `${script('user.sh')}${body('after-install.sh')}`),
    prerm: onlyFor('remove', script('before-removal.sh')),
    postrm: onlyFor('purge', script('after-purge.sh')),
  };
  install(() => `${control.join('\n')}\n`, join(tree, 'DEBIAN/control'), { mode: 0o644 });
  install(() => `${SETTINGS.join('\n')}\n`, join(tree, 'DEBIAN/conffiles'), { mode: 0o644 });
  for (const [name, text] of Object.entries(scripts))
    install(() => text, join(tree, 'DEBIAN', name), { mode: 0o755 });
  const file = join(OUTPUT, `undrop_${version}_${architecture}.deb`);
  run('dpkg-deb', ['--root-owner-group', '-Zxz', '--build', tree, file]);
}

/** dpkg tells a script by its first argument why it runs. */
function onlyFor(reason, text) {
  const [first, ...rest] = text.split('\n');
  return [first, `[ "$1" = ${reason} ] || exit 0`, ...rest].join('\n');
}

function makeRpm(folder, architecture) {
  const { rpm } = ARCHITECTURES[architecture];
  const spec = [
    'Name: undrop',
    `Version: ${version}`,
    'Release: 1',
    `Summary: ${SUMMARY}`,
    'License: Apache-2.0',
    'Requires(pre): shadow-utils',
    'AutoReqProv: no',
    // The binary is as npm has it.
    '%global __os_install_post %{nil}',
    '%global _build_id_links none',
    '%global _binary_payload w6.xzdio',
    '%description',
    ...DESCRIPTION,
    // rpm runs the scripts with the number of versions that are left.
    '%pre',
    body('user.sh'),
    '%post',
    body('after-install.sh'),
    '%preun',
    'if [ "$1" = 0 ]; then',
    body('before-removal.sh'),
    'fi',
    '%files',
    '%dir %attr(0750, root, undrop) /etc/undrop',
    ...FILES.map(([, path, mode]) => {
      const group = path.startsWith('/etc/undrop/') ? 'undrop' : 'root';
      const attributes = `%attr(0${mode.toString(8)}, root, ${group})`;
      const isSetting = SETTINGS.includes(path) ? '%config(noreplace) ' : '';
      return `${isSetting}${attributes} ${path}${path.includes('/man/') ? '*' : ''}`;
    }),
  ];
  const file = join(folder, 'undrop.spec');
  writeFileSync(file, `${spec.join('\n')}\n`);
  const defines = {
    _topdir: join(folder, 'rpm'),
    _rpmdir: OUTPUT,
    _rpmfilename: '%{NAME}-%{VERSION}.%{ARCH}.rpm',
  };
  run('rpmbuild', [
    '-bb',
    ...['--target', rpm, '--buildroot', join(folder, 'tree')],
    ...Object.entries(defines).flatMap(([name, value]) => ['--define', `${name} ${value}`]),
    file,
  ]);
}

/** Without the line that names the shell. */
function body(name) {
  return script(name).split('\n').slice(1).join('\n');
}

function kibibytesOf(folder) {
  const [kibibytes] = execFileSync('du', ['-sk', folder], { encoding: 'utf8' }).split('\t');
  return kibibytes;
}

function script(name) {
  return readFileSync(join(root, 'packaging', name), 'utf8');
}

/** What the program loads. */
function parts() {
  const names = readdirSync(join(root, 'build/parts'));
  return names.map((name) => [`build/parts/${name}`, `/usr/lib/undrop/parts/${name}`, 0o644]);
}

/** The topologies and the dashboard; the chart has a package of its own. */
function examples() {
  const found = readdirSync(join(root, 'deploy'), { recursive: true, withFileTypes: true });
  return found
    .filter((entry) => entry.isFile())
    .map((entry) => relative(join(root, 'deploy'), join(entry.parentPath, entry.name)))
    .filter((path) => !path.startsWith('helm/'))
    .sort()
    .map((path) => [`deploy/${path}`, `/usr/share/doc/undrop/examples/${path}`, 0o644]);
}

/** Debian 12 has only Node.js 18. */
function nodeOf(architecture) {
  return readFileSync(join(nodeFolder(architecture), 'bin/node'));
}

function nodeLicence(architecture) {
  return readFileSync(join(nodeFolder(architecture), 'LICENSE'));
}

/** Downloads it if it isn't there. */
function nodeFolder(architecture) {
  const name = `node-linux-${ARCHITECTURES[architecture].npm}`;
  const folder = join(root, 'build/node', `${name}-${NODE_VERSION}`);
  const unpacked = join(folder, 'package');
  if (existsSync(join(unpacked, 'bin/node'))) return unpacked;
  mkdirSync(folder, { recursive: true });
  const pack = [
    'pack',
    '--loglevel=error',
    '--pack-destination',
    folder,
    `${name}@${NODE_VERSION}`,
  ];
  const file = execFileSync('npm', pack, { encoding: 'utf8' }).trim();
  const wanted = ['package/LICENSE', 'package/bin/node'];
  execFileSync('tar', ['-xzf', join(folder, file), '-C', folder, ...wanted]);
  return unpacked;
}

function undrop(...args) {
  return execFileSync(process.execPath, ['build/undrop.mjs', ...args], {
    cwd: root,
    encoding: 'utf8',
  });
}

/** The commands as `undrop --help` has them. */
function manual() {
  const escaped = (text) => text.replaceAll('\\', '\\e').replaceAll('-', '\\-');
  const help = undrop('--help');
  const commands = [...help.matchAll(/^ {2}undrop (\S.*?) {2,}(\S.*(?:\n {20,}\S.*)*)$/gm)];
  return [
    `.TH UNDROP 1 "" "undrop ${version}"`,
    '.SH NAME',
    `undrop \\- ${SUMMARY}`,
    '.SH SYNOPSIS',
    '.B undrop',
    '.I command',
    '.SH DESCRIPTION',
    escaped(DESCRIPTION.join('\n')),
    '.SH COMMANDS',
    'Each has a help of its own with all of its flags: \\fBundrop\\fR \\fIcommand\\fR \\fB\\-\\-help\\fR.',
    ...commands.flatMap(([, usage, text]) => [
      '.TP',
      `.B ${escaped(usage)}`,
      escaped(text.replaceAll(/\s*\n\s*/g, ' ')),
    ]),
    '.SH FILES',
    '.TP',
    '.I /etc/undrop/undrop.conf',
    'The settings of undrop.service, with a line for each setting that there is.',
    '.TP',
    '.I /etc/undrop/NAME.conf',
    'The settings of undrop@NAME.service, for several servers.',
    '.TP',
    '.I /etc/default/undrop',
    'Variables (UNDROP_...) that win over the file of settings.',
    '',
  ].join('\n');
}

function completion() {
  return undrop('completion');
}
