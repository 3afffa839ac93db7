/**
 * `node scripts/complete-lock.mjs`, after an `npm install` that changed package-lock.json: writes
 * the entries of the optional packages for other platforms that the registry in use didn't have.
 * Without them `npm ci` of npm 11 refuses the lock ("Missing: … from lock file") on every platform.
 *
 * The name of such a package says for what it is (`@biomejs/cli-linux-x64-musl`). It gets no hash
 * here: on that platform npm takes what the registry says.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const SYSTEMS = [
  'aix',
  'android',
  'darwin',
  'freebsd',
  'linux',
  'netbsd',
  'openbsd',
  'openharmony',
  'sunos',
  'win32',
];
const LIBRARIES = { gnu: ['glibc'], musl: ['musl'] };

/** The packages that others name as optional, and that have no entry, with the entry to write. */
export function missingOptionals(packages) {
  const missing = {};
  for (const [parent, { optionalDependencies = {} }] of Object.entries(packages)) {
    for (const [name, version] of Object.entries(optionalDependencies)) {
      const folder = parent.replace(/(^|\/)node_modules\/(@[^/]+\/)?[^/]+$/, '');
      const beside = `${folder === '' ? '' : `${folder}/`}node_modules/${name}`;
      const places = [`${parent}/node_modules/${name}`, beside, `node_modules/${name}`];
      const isExact = /^\d/.test(version);
      const found = places.map((place) => packages[place]?.version);
      if (found.some((one) => one !== undefined && (!isExact || one === version))) continue;
      // Beside its parent: another version of it may stand at the top.
      const path = beside;
      missing[path] = entryOf(name, version, packages[parent]);
    }
  }
  return missing;
}

function entryOf(name, version, { license, engines, dev }) {
  const words = name.replace(/^.*\//, '').split('-');
  const at = words.findIndex((word) => SYSTEMS.includes(word));
  if (at < 0) throw new Error(`${name}: expected the name of a system in it, found none.`);
  const [os, cpu, library] = words.slice(at);
  const libc = os === 'linux' ? LIBRARIES[library] : undefined;
  return {
    version,
    cpu: [cpu],
    ...(dev && { dev }),
    ...(libc && { libc }),
    license,
    optional: true,
    os: [os],
    ...(engines && { engines }),
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const path = join(fileURLToPath(import.meta.url), '../../package-lock.json');
  const lock = JSON.parse(readFileSync(path, 'utf8'));
  const missing = missingOptionals(lock.packages);
  const { '': project, ...others } = lock.packages;
  const all = Object.entries({ ...others, ...missing });
  const sorted = all.sort(([a], [b]) => a.localeCompare(b, 'en'));
  lock.packages = { '': project, ...Object.fromEntries(sorted) };
  writeFileSync(path, `${JSON.stringify(lock, null, 2)}\n`);
  process.stdout.write(`${Object.keys(missing).length} entries were missing.\n`);
}
