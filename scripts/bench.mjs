/**
 * `npm run bench [-- name …]`: installs and builds what is missing, then runs the benchmarks named
 * (bench/<name>.ts), all of them where none is. Their tables are kept in bench/results/.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { ensureBuilt, ensureInstalled, root, run } from './ensure.mjs';

ensureInstalled();
ensureBuilt();
const all = readdirSync(join(root, 'bench'))
  .filter((file) => file.endsWith('.bench.ts'))
  .map((file) => file.replace(/\.bench\.ts$/, ''));
const names = process.argv.slice(2);
for (const name of names.length > 0 ? names : all) {
  if (!all.includes(name)) {
    process.stderr.write(`There is no benchmark named ${name}; there are ${all.join(', ')}.\n`);
    process.exit(2);
  }
  run(process.execPath, [join(root, 'build/bench', `${name}.bench.js`)]);
}
