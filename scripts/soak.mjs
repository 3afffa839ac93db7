/**
 * `npm run soak`: installs and builds what is missing, then lets very many short sessions go
 * through one proxy (bench/soak.ts) and looks for what is left of them.
 */
import { join } from 'node:path';
import { ensureBuilt, ensureInstalled, root, run } from './ensure.mjs';

ensureInstalled();
ensureBuilt();
run(process.execPath, [join(root, 'build/bench/soak.js')]);
