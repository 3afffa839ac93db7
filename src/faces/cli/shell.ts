/**
 * The port between a command and the shell that runs it: streams, flags, signals. Tests run
 * commands with a shell of their own.
 */
import { readFileSync } from 'node:fs';
import { UndropError } from '../../errors.js';

export interface Shell {
  /** The command and its arguments. */
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly stdout: Out;
  readonly stderr: Out;
  /**
   * Resolves to the typed line, or to an empty one; a secret is not shown. Missing if there is no
   * terminal.
   */
  readonly ask?: (question: string, how?: { readonly isSecret: boolean }) => Promise<string>;
  /** From this call on a signal ends the process. */
  leaveSignals(): void;
}

/** A stream that a command writes to. */
export interface Out {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

/** The flags and positionals of a command, by name. */
export type Flags = Readonly<Record<string, unknown>>;

/** The text of a flag, or null if the flag is missing. */
export function flagText(flags: Flags, name: string): string | null {
  const value = flags[name];
  return typeof value === 'string' ? value : null;
}

export function wrongFlag(name: string, expected: string, found: string): UndropError {
  return wrongUsage(`--${name}: expected ${expected}, found ${found}.`);
}

export function wrongUsage(problems: string): UndropError {
  return new UndropError('UNDROP_CONFIG', { problems });
}

// scripts/bundle.mjs writes them into the product; a clone has the version in package.json.
declare const UNDROP_VERSION: string | undefined;
declare const UNDROP_PACKAGES: readonly string[] | undefined;

/** The version of undrop. */
export function versionOfPackage(): string {
  if (typeof UNDROP_VERSION === 'string') return UNDROP_VERSION;
  const path = new URL('../../../../package.json', import.meta.url);
  const { version } = JSON.parse(readFileSync(path, 'utf8')) as { version: string };
  return version;
}

/** The version, and in the product a line for each package in it. */
export function versionWithPackages(): string {
  const packages = typeof UNDROP_PACKAGES === 'undefined' ? [] : UNDROP_PACKAGES;
  return [versionOfPackage(), ...packages].join('\n');
}
