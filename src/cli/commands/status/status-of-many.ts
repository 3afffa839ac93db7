/**
 * `undrop status --config 'etc/*.conf'`: a line for each file of settings, first those of servers
 * that need attention. Its exit code is 1 if one does, or if one can't be read.
 */
import { readdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { UndropError } from '../../../errors.js';
import { inBatches } from '../../../names/names.js';
import { type Field, formatBytes, jsonText, printTable } from '../../../printer.js';
import { describeAddress } from '../../../service/server-address.js';
import { hasPattern } from '../../../wildcards.js';
import { STATUS_KEYS, settingsOf } from '../../settings.js';
import type { Flags, Shell } from '../../shell.js';
import { withServers } from '../with-pool.js';
import { readStatusReport, type StatusReport } from './status.js';

/** Whether it names several files. */
export function isPattern(config: unknown): config is string {
  return typeof config === 'string' && /[*?]/.test(config);
}

const AT_ONCE = 8;

interface Line {
  readonly config: string;
  readonly server: string | null;
  /** Null: it couldn't be read. */
  readonly report: StatusReport | null;
  /** Sentences without final periods; empty: all is well. */
  readonly attention: readonly string[];
}

export async function runStatusOfMany(
  pattern: string,
  flags: Flags,
  shell: Pick<Shell, 'env' | 'stdout' | 'stderr'>,
): Promise<number> {
  const lines: Line[] = [];
  for (const some of inBatches(filesOf(pattern), AT_ONCE)) {
    lines.push(...(await Promise.all(some.map((path) => readLine(path, flags, shell)))));
  }
  const rank = ({ report, attention }: Line) =>
    report === null ? 0 : attention.length > 0 ? 1 : 2;
  lines.sort((one, other) => rank(one) - rank(other));
  shell.stdout.write(flags['json'] === true ? jsonText(lines) : printTable(COLUMNS, lines));
  return lines.some((line) => rank(line) < 2) ? 1 : 0;
}

/** `*` is any letters of a file's name, `?` one. */
function filesOf(pattern: string): readonly string[] {
  const folder = dirname(pattern);
  const parts = Array.from(basename(pattern), (letter) => {
    if (letter === '*') return 'any' as const;
    return letter === '?' ? ('one' as const) : { letter };
  });
  const names = isPattern(folder) ? [] : namesIn(folder);
  const found = names.filter((name) => hasPattern(name, parts)).sort();
  if (found.length > 0) return found.map((name) => join(folder, name));
  const problems = `--config: expected files of settings whose names match, found none for ${pattern}.`;
  throw new UndropError('UNDROP_CONFIG', { problems });
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    const problems = `--config: expected a readable folder, found ${(error as Error).message}.`;
    throw new UndropError('UNDROP_CONFIG', { problems }, error);
  }
}

async function readLine(
  config: string,
  flags: Flags,
  { env, stderr }: Pick<Shell, 'env' | 'stderr'>,
): Promise<Line> {
  // A variable would be of all servers.
  const others = Object.entries(env).filter(([name]) => !name.startsWith('UNDROP_'));
  let server: string | null = null;
  try {
    const own = { env: Object.fromEntries(others), stderr };
    const settings = settingsOf(own, STATUS_KEYS, { ...flags, config });
    server = settings.upstream.map(describeAddress).join(', ');
    return await withServers(settings, async (pool, replicas) => {
      const report = await readStatusReport(pool, settings, replicas);
      return { config, server, report, attention: report.attention };
    });
  } catch (error) {
    const { message } = error as Error;
    return { config, server, report: null, attention: [message.replaceAll('\n', ' ')] };
  }
}

const COLUMNS: readonly Field<Line>[] = [
  { title: 'CONFIG', text: ({ config }) => basename(config) },
  { title: 'SERVER', text: ({ server }) => server ?? '-' },
  { title: 'TABLES', isNumber: true, text: ({ report }) => String(report?.held.count ?? '-') },
  { title: 'BYTES', isNumber: true, text: ({ report }) => (report ? bytesOf(report) : '-') },
  { title: 'COLLECTED', text: ({ report }) => (report ? collectorOf(report) : '-') },
  {
    title: 'ATTENTION',
    text: ({ attention: [first = 'none', ...more] }) =>
      more.length === 0 ? first : `${first} (and ${more.length} more)`,
  },
];

function bytesOf({ held }: StatusReport): string {
  return formatBytes(Object.values(held.byState).reduce((sum, { bytes }) => sum + bytes, 0));
}

function collectorOf({ collector }: StatusReport): string {
  if (collector.leader === null) return 'no proxy';
  return collector.resting === null ? 'yes' : 'waits';
}
