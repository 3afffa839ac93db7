/** `npm run docs`: builds the site of docs/ into build/docs (docs/.vitepress/config.mjs). */
import { ensureInstalled, root, run } from './ensure.mjs';

ensureInstalled();
run(process.execPath, [`${root}/node_modules/vitepress/bin/vitepress.js`, 'build', 'docs']);
