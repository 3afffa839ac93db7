/**
 * The command line: finds the command, makes flags of its settings, and turns errors into exit
 * codes:
 *   0 done · 1 refused or failed, with the reason on standard error · 2 wrong usage or settings
 */
import type { Argv } from 'yargs';
import yargs from 'yargs';
import { nearest } from '../config/nearest.js';
import { REMOVED_SETTINGS } from '../config/removed.js';
import { flagOf, SETTINGS, variableOf } from '../config/schema.js';
import { UndropError } from '../errors.js';
import type { Flags, Shell } from '../faces/cli/settings.js';
import { versionOfPackage, versionWithPackages } from '../faces/cli/settings.js';
import { COMMANDS, type Command } from './commands.js';
import { WrongUsage } from './report-failure.js';

/**
 * Runs the command that the arguments name, and resolves to the exit code. `reportFailure` prints
 * the errors that it throws.
 */
export async function runCommandLine(shell: Shell): Promise<number> {
  let exitCode = 0;
  const version = shell.args.includes('--verbose') ? versionWithPackages() : versionOfPackage();
  const commandLine = yargs([...shell.args])
    .scriptName('undrop')
    .usage('$0 <command>\n\nDROP TABLE that can be undone, for MySQL and MariaDB.');
  for (const command of COMMANDS) {
    const run = async (flags: Flags) => {
      hideSettings(commandLine);
      assertOnce(flags, command);
      if (command.takesSignals !== true) shell.leaveSignals();
      exitCode = await command.run(flags, shell);
    };
    commandLine.command(command.usage, command.describe, (built) => flagsOf(built, command), run);
  }
  commandLine
    .completion('completion', 'print the completion script for bash or zsh')
    .strict()
    .version('version', VERSION, version)
    .help()
    .wrap(100)
    .fail((message, error) => {
      if (error !== undefined && error !== null) throw error;
      throw new WrongUsage(rephrase(message, shell.args));
    });
  if (shell.args.length === 0) shell.stdout.write(`${await commandLine.getHelp()}\n`);
  else await commandLine.parseAsync();
  return exitCode;
}

/** A flag for each setting accepts any text, because config/load.ts checks it. */
function flagsOf(command: Argv, described: Command): Argv {
  const { keys = [], options = {}, positionals = {}, examples = [] } = described;
  command.options(options);
  if (keys.length > 0) command.option('config', { type: 'string', describe: CONFIG });
  for (const key of keys.filter((one) => !(flagOf(one) in options))) {
    const { meaning, expected, default: fallback } = SETTINGS[key];
    const shown = fallback === null ? 'needed' : fallback === '' ? 'none' : fallback;
    const describe = `${meaning}; ${expected} [${variableOf(key)}, default ${shown}]`;
    command.option(flagOf(key), { type: 'string', describe });
  }
  for (const [name, how] of Object.entries(positionals)) command.positional(name, how);
  return command.example(examples);
}

const VERSION = 'Show version number; with --verbose also the packages in the program';
const CONFIG = 'a file of settings in JSON, with `//` comments';

/**
 * Yargs composes the help even for a command that runs: with all flags, that takes a third of a
 * proxy's start.
 */
function hideSettings(commandLine: Argv): void {
  for (const key of Object.keys(SETTINGS)) commandLine.hide(flagOf(key));
}

/** Yargs makes a list of the values of a flag that is given twice, under both its spellings. */
function assertOnce(flags: Flags, { positionals = {} }: Command): void {
  const problems = Object.entries(flags).flatMap(([name, value]) => {
    if (!Array.isArray(value) || positionals[name]?.array || !/^[a-z][a-z-]*$/.test(name))
      return [];
    return [`--${name}: expected once, found ${value.length} times.`];
  });
  if (problems.length === 0) return;
  throw new UndropError('UNDROP_CONFIG', { problems: problems.join('\n') });
}

function rephrase(message: string, [first = '']: readonly string[]): string {
  const what = message
    .replace(/^Unknown argument/, 'Unknown command or argument')
    .replace(/^Not enough non-option arguments: got 0,.*$/m, NO_TARGET);
  if (first.startsWith('-')) return `${what}\nExpected a command; \`undrop serve\` runs the proxy.`;
  const [, unknown = ''] = /^Unknown arguments?: (.*)$/m.exec(message) ?? [];
  const gone = unknown.split(', ').flatMap((word) => insteadOf(word) ?? []);
  if (gone.length > 0) return [what, ...new Set(gone)].join('\n');
  const meant = unknown.split(', ').map((word) => nearest(word, wordsOf(first)));
  // Yargs names a flag of two words in both its spellings.
  const proposed = [...new Set(meant.flatMap((one) => one ?? []))];
  return proposed.length === 0 ? what : `${what}\nDid you mean ${proposed.join(', ')}?`;
}

/** For a flag of an earlier version. Null: another word. */
function insteadOf(word: string): string | null {
  const key = Object.keys(REMOVED_SETTINGS).find((one) => [one, flagOf(one)].includes(word));
  return key === undefined ? null : `--${flagOf(key)} was removed: ${REMOVED_SETTINGS[key]}.`;
}

/** The commands, or the flags of the one that was given, each as it is typed. */
function wordsOf(first: string): readonly string[] {
  const nameOf = ({ usage }: Command) => usage.replace(/ .*/, '');
  const command = COMMANDS.find((one) => nameOf(one) === first);
  if (command === undefined) return COMMANDS.map(nameOf);
  const { options = {}, keys = [] } = command;
  return [...Object.keys(options), ...keys.map(flagOf), 'config'].map((flag) => `--${flag}`);
}

const NO_TARGET = 'Expected a table or an id, found none.';
