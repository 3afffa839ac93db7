/**
 * The workflows of continuous integration, as far as they can be read without running them: they
 * are YAML, and run scripts, test files and versions that there are.
 */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { projectFolder } from '../support/folders.js';
import { parseYaml } from '../support/helm.js';
import { listFiles, readText } from '../support/source-file.js';

const FOLDER = '.github/workflows';
const FILES = readdirSync(join(projectFolder, FOLDER));
/** Commands of npm itself. */
const OF_NPM = ['ci', 'pack', 'test', 'run'];

interface Job {
  readonly 'timeout-minutes': number;
  readonly steps: readonly { readonly run?: string }[];
}

/** The commands of all jobs, of which each ends. */
async function commandsOf(file: string): Promise<readonly string[]> {
  const [workflow] = await parseYaml(readText(join(FOLDER, file)));
  const { jobs } = workflow as { readonly jobs: Readonly<Record<string, Job>> };
  for (const job of Object.values(jobs)) expect(job['timeout-minutes']).toBeGreaterThan(0);
  return Object.values(jobs).flatMap(({ steps }) => steps.flatMap(({ run }) => run ?? []));
}

describe.each(FILES)('%s', (file) => {
  test('runs scripts of package.json, on files that there are', async () => {
    const { scripts } = JSON.parse(readText('package.json')) as { readonly scripts: object };
    const commands = await commandsOf(file);
    const used = commands.flatMap((text) => [...text.matchAll(/\bnpm (\w+)(?: ([\w:]+))?/g)]);
    expect(used.length).toBeGreaterThan(1);
    for (const [, command = '', script = ''] of used) {
      expect(OF_NPM).toContain(command);
      if (command === 'run') expect(Object.keys(scripts)).toContain(script);
    }
    const paths = commands.flatMap((text) => text.match(/\b(?:deploy|scripts)\/[\w/.-]+/g) ?? []);
    expect(paths.filter((path) => !existsSync(join(projectFolder, path)))).toEqual([]);
    const words = commands.flatMap((text) => /npm test -- (.*)/.exec(text)?.[1]?.split(' ') ?? []);
    const files = listFiles('test', ['.ts']);
    expect(words.filter((word) => !files.some((path) => path.includes(word)))).toEqual([]);
  });
});

test('a release has the packages, the chart, the image and their checksums', async () => {
  const text = (await commandsOf('release.yml')).join('\n');
  const words = ['npm run package', 'npm pack', 'helm package', 'docker buildx', 'sha256sum'];
  for (const word of [...words, 'gh release create']) expect(text).toContain(word);
});
