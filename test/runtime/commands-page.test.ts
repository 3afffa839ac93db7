/** The page docs/reference/commands.md, made of the table of commands. */
import type { Options, PositionalOptions } from 'yargs';
import { COMMANDS } from '../../src/runtime/commands.js';
import { expectPage } from '../support/page.js';

/** A flag or an argument. */
type Word = { readonly name: string; readonly meaning: string };

const commands = COMMANDS.map(({ usage, describe, options = {}, positionals = {}, examples }) => {
  const flags = Object.entries(options).map(([name, option]) => word(`--${name}`, option));
  const args = Object.entries(positionals).map(([name, option]) => word(`<${name}>`, option));
  return { usage, describe, words: [...args, ...flags], examples: examples ?? [] };
});
const counts = new Map<string, number>();
for (const { name, meaning } of commands.flatMap(({ words }) => words)) {
  counts.set(`${name} ${meaning}`, (counts.get(`${name} ${meaning}`) ?? 0) + 1);
}
const isCommon = ({ name, meaning }: Word) => (counts.get(`${name} ${meaning}`) ?? 0) > 1;

test('docs/reference/commands.md is made of the table of commands', () => {
  const all = new Map(
    commands
      .flatMap(({ words }) => words)
      .filter(isCommon)
      .map((one) => [one.name, one]),
  );
  const sections = commands.map(({ usage, describe, words, examples }) => {
    const own = words.filter((one) => !isCommon(one));
    const common = words.filter(isCommon).map(({ name }) => `\`${name}\``);
    const lines = examples.map(
      ([command, what]) => `${command.replace('$0', 'undrop')}  # ${what}`,
    );
    const opening = `\`undrop ${usage}\`: ${describe}.`;
    const also = common.length === 0 ? '' : ` Also ${common.join(', ')}.`;
    return [
      `## ${usage.replace(/ .*/, '')}`,
      `${opening}${also}`,
      ...(own.length === 0 ? [] : [list(own)]),
      ...(lines.length === 0 ? [] : [['```sh', ...lines, '```'].join('\n')]),
    ].join('\n\n');
  });
  expectPage(
    'docs/reference/commands.md',
    `# Commands

<!-- generated: test/runtime/commands-page.test.ts -->

[Settings](settings.md) come as variables, as flags, or from a file (\`--config\`); \`undrop <command> --help\` lists them.
Without settings: the server of a running \`undrop demo\`. [JSON](json.md) describes \`--json\`.
\`undrop --version --verbose\` lists the packages inside, as does \`undrop.cdx.json\` (CycloneDX).

## Common flags

${list([...all.values()])}

${sections.join('\n\n')}
`,
  );
});

function word(name: string, { describe = '', default: fallback }: Options | PositionalOptions) {
  const isSaid = fallback === undefined || fallback === false;
  const meaning = isSaid ? describe : `${describe}; default: \`${fallback}\``;
  return { name, meaning };
}

function list(words: readonly Word[]): string {
  return words.map(({ name, meaning }) => `- \`${name}\`: ${meaning}`).join('\n');
}
