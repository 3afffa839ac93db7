/** `npm run check`: format, lint, types, unit tests and tidy rules; needs no server. */
import { ensureInstalled, root, run } from './ensure.mjs';

ensureInstalled();
run('node_modules/.bin/biome', ['ci', '.'], { cwd: root });
run(process.execPath, ['scripts/test.mjs', '--selectProjects', 'unit'], { cwd: root });
