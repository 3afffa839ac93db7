/**
 * Reads where the machine's own apt gets its distribution from, so that a private root can ask the
 * same mirror for packages. Invariant: no mirror is written down in this project; what the machine
 * uses is read when it is needed, in both forms that apt knows.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** One archive with what it offers. */
export interface AptSource {
  readonly uri: string;
  readonly suites: readonly string[];
  readonly components: readonly string[];
  /** Path of the keyring, or none: then apt's trusted keys decide. */
  readonly signedBy: string | null;
}

/** What /etc/os-release says. */
export interface Distribution {
  /** `debian`, `ubuntu` … */
  readonly id: string;
  /** `bookworm`, `noble` … */
  readonly codename: string;
}

/** Reads /etc/os-release; null where there is none. */
export function readDistribution(file = '/etc/os-release'): Distribution | null {
  if (!existsSync(file)) return null;
  const text = readFileSync(file, 'utf8');
  const value = (key: string): string =>
    new RegExp(`^${key}="?([^"\n]*)"?$`, 'm').exec(text)?.[1] ?? '';
  return { id: value('ID'), codename: value('VERSION_CODENAME') };
}

/** The archive which the distribution itself comes from; null where apt has none. */
export function findMainSource(distribution: Distribution, folder = '/etc/apt'): AptSource | null {
  const { codename } = distribution;
  const isMain = ({ suites, components }: AptSource): boolean =>
    suites.includes(codename) && components.includes('main');
  return readSources(folder).find(isMain) ?? null;
}

function readSources(folder: string): readonly AptSource[] {
  const parts = join(folder, 'sources.list.d');
  const names = existsSync(parts) ? readdirSync(parts).sort() : [];
  const files = [join(folder, 'sources.list'), ...names.map((name) => join(parts, name))];
  return files.filter(existsSync).flatMap((file) => {
    if (file.endsWith('.sources')) return parseDeb822(readFileSync(file, 'utf8'));
    return file.endsWith('.list') ? parseOneLine(readFileSync(file, 'utf8')) : [];
  });
}

/** `Types: deb`, `URIs: …` in paragraphs. A Signed-By that holds the key itself is left out. */
export function parseDeb822(text: string): readonly AptSource[] {
  const withoutComments = text.replaceAll(/^#.*\n?/gm, '');
  return withoutComments.split(/\n\s*\n/).flatMap((paragraph) => {
    const words = (key: string): string[] => {
      const field = new RegExp(`^${key}:((?:.*)(?:\n[ \t].*)*)`, 'im').exec(paragraph);
      return field?.[1]?.trim().split(/\s+/) ?? [];
    };
    const isOff = ['no', 'false', '0'].includes((words('Enabled')[0] ?? '').toLowerCase());
    if (!words('Types').includes('deb') || isOff) return [];
    const signedBy = words('Signed-By').find((word) => word.startsWith('/')) ?? null;
    return words('URIs').map((uri) => ({
      uri,
      suites: words('Suites'),
      components: words('Components'),
      signedBy,
    }));
  });
}

/** `deb [signed-by=/…] uri suite component …`. */
export function parseOneLine(text: string): readonly AptSource[] {
  return text.split('\n').flatMap((line) => {
    const match = /^\s*deb\s+(?:\[([^\]]*)\]\s*)?(\S+)\s+(\S+)\s+([^#]+)/.exec(line);
    if (match === null) return [];
    const [, options = '', uri = '', suite = '', components = ''] = match;
    const signedBy = /signed-by=(\/[^\s,]+)/i.exec(options)?.[1] ?? null;
    return [{ uri, suites: [suite], components: components.trim().split(/\s+/), signedBy }];
  });
}
