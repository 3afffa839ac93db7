/** The page docs/benchmarks.md: one section for each benchmark, replaced by its newest run. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import { fileURLToPath } from 'node:url';

const PAGE = fileURLToPath(new URL('../../docs/benchmarks.md', import.meta.url));
const HEAD = `# Benchmarks

Measured side by side in one run on one machine, against one server, by \`npm run bench\`. Figures of
different runs or machines are not comparable; ratios within one table are.
`;

export interface Section {
  /** Heading, and the place in the page. */
  readonly title: string;
  /** What was run, in a sentence or two. */
  readonly how: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** Prints the section and keeps it in the page. */
export function report(section: Section): void {
  const text = render(section);
  process.stdout.write(`\n${text}\n`);
  const page = existsSync(PAGE) ? readFileSync(PAGE, 'utf8') : HEAD;
  const start = page.indexOf(`## ${section.title}\n`);
  const next = start < 0 ? -1 : page.indexOf('\n## ', start + 1);
  const before = (start < 0 ? page : page.slice(0, start)).trimEnd();
  const after = next < 0 ? '' : page.slice(next + 1);
  writeFileSync(
    PAGE,
    `${[before, text, after]
      .filter((part) => part !== '')
      .join('\n\n')
      .trimEnd()}\n`,
  );
}

function render({ title, how, columns, rows }: Section): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [
    `## ${title}`,
    '',
    `${how} ${machine()}`,
    '',
    line(columns),
    line(columns.map(() => '---')),
    ...rows.map(line),
  ].join('\n');
}

/** The day and the machine's size; nothing that names it. */
function machine(): string {
  const day = new Date().toISOString().slice(0, 10);
  const memoryGib = Math.round(os.totalmem() / 2 ** 30);
  return `${day}, ${os.cpus().length} cores, ${memoryGib} GiB, Node ${process.version}.`;
}
