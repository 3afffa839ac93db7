/** `npm run check`: format, lint, types, unit tests, tidy rules and figures; needs no server. */
import { ensureInstalled, root, run } from './ensure.mjs';

ensureInstalled();
run('node_modules/.bin/biome', ['ci', '.'], { cwd: root });
run(process.execPath, ['scripts/test.mjs', '--selectProjects', 'unit'], { cwd: root });
// The tests have built what it needs.
run(process.execPath, ['scripts/figures.mjs', '--built'], { cwd: root });
