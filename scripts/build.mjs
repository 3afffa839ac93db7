/** `npm run build`, and before `npm pack`: installs what is missing, checks the types, bundles. */
import { ensureInstalled, run } from './ensure.mjs';

ensureInstalled();
run(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.src.json', '--noEmit']);
run(process.execPath, ['scripts/bundle.mjs', '--sbom']);
