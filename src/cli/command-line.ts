/**
 * The command line: commands, flags made of the settings, exit codes. Each command loads what it
 * needs when it runs, so that none waits for the others.
 *   0 done · 1 refused or failed, with the reason on standard error · 2 wrong usage or settings
 */
import yargs, { type Argv, type Options, type PositionalOptions } from 'yargs';
import { type Loaded, loadSettings, readConfigFile } from '../config/load.js';
import { flagOf, SETTINGS, type SettingKey, type Settings, variableOf } from '../config/schema.js';
import { UndropError } from '../errors.js';
import { type LeveledLog, type LogSettings, openLog } from '../log.js';
import type { Out } from './commands/with-pool.js';
import { operateCommands } from './operate-commands.js';
import { DOCTOR_KEYS, INIT_KEYS, PROXY_KEYS } from './settings.js';
import { TARGETS, undoCommands } from './undo-commands.js';
import { versionOfPackage } from './version.js';

/** What a command gets from the shell that runs it; tests run commands with one of their own. */
export interface Shell {
  /** The command and its arguments. */
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly stdout: Out;
  readonly stderr: Out;
  /** Resolves to the line that is typed; empty if none is. Missing where there is no terminal. */
  readonly ask?: (question: string) => Promise<string>;
  /** From now on a signal ends the process. */
  leaveSignals(): void;
}

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;

export type Flags = Readonly<Record<string, unknown>>;

/** The settings of a command, or those of a running demo. */
export type AccountOf = <K extends SettingKey>(
  flags: Flags,
  keys: readonly K[],
) => Promise<Pick<Settings, K>>;

export interface Command {
  /** Its name, and what stands after it. */
  readonly usage: string;
  readonly describe: string;
  /** Each is a flag, but for one whose name is among `options`. */
  readonly keys?: readonly SettingKey[];
  /** Flags that are no settings. */
  readonly options?: Readonly<Record<string, Options>>;
  /** What stands after its name, by the name that `usage` has for it. */
  readonly positionals?: Readonly<Record<string, PositionalOptions>>;
  /** Commands as they are typed, each with what it is for. */
  readonly examples?: [command: string, what: string][];
  /** It is told of signals; those of any other command end the process. */
  readonly takesSignals?: boolean;
  /** Resolves to the exit code. */
  run(flags: Flags): Promise<number>;
}

export const JSON_FLAG = { type: 'boolean', default: false, describe: 'print JSON' } as const;

/** Long: one entry for each command. */
function commandsOf(shell: Shell): readonly Command[] {
  const { env, stdout } = shell;
  return [
    {
      usage: 'serve',
      describe: 'run the proxy',
      keys: PROXY_KEYS,
      examples: [
        [
          'UNDROP_UPSTREAM=db:3306 UNDROP_USER=undrop UNDROP_PASSWORD_FILE=/run/secrets/pw $0 serve',
          'in front of db, on 127.0.0.1:3307',
        ],
      ],
      takesSignals: true,
      run: (flags) => serveBy(shell, flags),
    },
    ...operateCommands(shell, (flags, keys) => accountOf(shell, flags, keys)),
    ...undoCommands(shell, (flags, keys) => accountOf(shell, flags, keys)),
    {
      usage: 'start',
      describe: 'what `npm start` runs: the proxy, on a throwaway server where none is configured',
      takesSignals: true,
      run: async () => (await import('./commands/start.js')).runStart(shell),
    },
    {
      usage: 'init',
      describe: 'print the statements that make the service account, or run them',
      keys: INIT_KEYS,
      options: {
        apply: {
          type: 'boolean',
          default: false,
          describe: 'run them by the account of UNDROP_ADMIN_USER, and make the ledger',
        },
      },
      examples: [
        ['$0 init --upstream db:3306 --user undrop', 'what to run there, to be read'],
        ['$0 init --tier least --schemas shop --apply', 'rights on one schema alone'],
      ],
      run: async (flags) => {
        const { runInit } = await import('./commands/init.js');
        const settings = settingsOf(shell, INIT_KEYS, flags);
        return runInit(settings, { apply: flags['apply'] === true }, stdout);
      },
    },
    {
      usage: 'doctor',
      describe: 'check the server and the privileges of the service account',
      keys: DOCTOR_KEYS,
      options: { json: JSON_FLAG },
      examples: [['$0 doctor', 'what is missing, and what breaks without it']],
      run: async (flags) => {
        const { runDoctor } = await import('./commands/doctor.js');
        const settings = await accountOf(shell, flags, DOCTOR_KEYS);
        return runDoctor(settings, { json: flags['json'] === true }, stdout);
      },
    },
    {
      usage: 'demo',
      describe:
        'a throwaway server with the proxy in front; with --tour, in a second terminal: show it off',
      options: { tour: { type: 'boolean', describe: 'show what it does, without any client' } },
      run: async (flags) => {
        const { runTourCommand, runDemoCommand } = await import('./commands/start.js');
        return flags['tour'] === true ? runTourCommand(env, stdout) : runDemoCommand(shell);
      },
    },
  ];
}

/** Runs the proxy until a signal ends it. */
export async function serveBy(shell: Shell, flags: Flags): Promise<number> {
  const { serve } = await import('./serve.js');
  const load = () => settingsOf(shell, PROXY_KEYS, flags);
  return serve({ load, openLog: (settings) => openLogOf(shell, settings) });
}

export function openLogOf({ stdout }: Shell, settings: LogSettings): LeveledLog {
  return openLog(settings, { pretty: stdout.isTTY === true });
}

/** The settings of a command, with warnings of what is no mistake. */
export function settingsOf<K extends SettingKey>(
  { env, stderr }: Pick<Shell, 'env' | 'stderr'>,
  keys: readonly K[],
  flags: Flags,
): Pick<Settings, K> {
  const loaded = load(keys, flags, env);
  for (const name of loaded.unknownVariables) {
    stderr.write(`undrop: warning: ${name} is no setting of undrop\n`);
  }
  for (const key of ['password', 'admin-password'].filter((flag) => flags[flag] !== undefined)) {
    const instead = `give --${key}-file a file instead`;
    stderr.write(`undrop: warning: all on this machine can see --${key}; ${instead}\n`);
  }
  return loaded.settings;
}

export function load<K extends SettingKey>(
  keys: readonly K[],
  flags: Flags,
  env: NodeJS.ProcessEnv,
): Loaded<K> {
  const path = flags['config'] ?? env['UNDROP_CONFIG'];
  const file = typeof path === 'string' ? { path, values: readConfigFile(path) } : null;
  return loadSettings(keys, { flags, env, file });
}

/** If no upstream is set anywhere, commands use the server of a running demo. */
async function accountOf<K extends SettingKey>(
  { env, stderr }: Shell,
  flags: Flags,
  keys: readonly K[],
): Promise<Pick<Settings, K>> {
  const isConfigured = [
    ...[flags['upstream'], flags['config']],
    ...[env['UNDROP_UPSTREAM'], env['UNDROP_CONFIG']],
  ].some((given) => given !== undefined);
  if (isConfigured) return settingsOf({ env, stderr }, keys, flags);
  const { findDemo } = await import('../demo/state.js');
  const demo = (await findDemo())?.variables ?? {};
  const server = demo['UNDROP_UPSTREAM'];
  // There may be several; whoever reads an empty list should know of which one it is.
  stderr.write(
    server === undefined
      ? 'No demo of your account runs on this machine (`npm start` is one).\n'
      : `(the demo's server at ${server})\n`,
  );
  return settingsOf({ env: { ...env, ...demo }, stderr }, keys, flags);
}

/** The arguments are wrong; the message is what yargs says. */
class WrongUsage extends Error {}

/**
 * Runs the command that the arguments say, and resolves to the exit code; what it throws, `sayWhy`
 * has words for.
 */
export async function runCommandLine(shell: Shell): Promise<number> {
  let exitCode = 0;
  const commandLine = yargs([...shell.args])
    .scriptName('undrop')
    .usage('$0 <command>\n\nDROP TABLE that can be taken back, for MySQL and MariaDB.');
  for (const command of commandsOf(shell)) {
    const run = async (flags: Flags) => {
      hideSettings(commandLine);
      assertOnce(flags);
      if (command.takesSignals !== true) shell.leaveSignals();
      exitCode = await command.run(flags);
    };
    commandLine.command(command.usage, command.describe, (built) => flagsOf(built, command), run);
  }
  commandLine
    .completion('completion', 'print what makes bash or zsh complete these commands')
    .strict()
    .version(versionOfPackage())
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

/** A flag for each setting takes any text, because config/load.ts checks it. */
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

const CONFIG = 'a JSON file of settings';

/** Yargs composes the help of a command that runs: with all flags, a third of a proxy's start. */
function hideSettings(commandLine: Argv): void {
  for (const key of Object.keys(SETTINGS)) commandLine.hide(flagOf(key));
}

/** Yargs makes a list of the values of a flag that is given twice, under both its spellings. */
function assertOnce(flags: Flags): void {
  const problems = Object.entries(flags).flatMap(([name, value]) => {
    if (!Array.isArray(value) || name === TARGETS || !/^[a-z][a-z-]*$/.test(name)) return [];
    return [`--${name}: expected once, found ${value.length} times.`];
  });
  if (problems.length === 0) return;
  throw new UndropError('UNDROP_CONFIG', { problems: problems.join('\n') });
}

function rephrase(message: string, [first = '']: readonly string[]): string {
  const what = message
    .replace(/^Unknown argument/, 'Unknown command or argument')
    .replace(/^Not enough non-option arguments: got 0,.*$/m, NO_TARGET);
  return first.startsWith('-')
    ? `${what}\nExpected a command; \`undrop serve\` runs the proxy.`
    : what;
}

const NO_TARGET = 'Expected a table or an id, found none.';

/** A driver's error says enough by its message; what nobody foresaw needs its stack. */
function describeFailure(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === 'ServerError') return `the server says: ${error.message}`;
  const { code } = error as NodeJS.ErrnoException;
  return typeof code === 'string' ? error.message : (error.stack ?? error.message);
}

/** Says on standard error why a command failed, and hands back the exit code. */
export function sayWhy(error: unknown, stderr: Shell['stderr']): number {
  if (error instanceof WrongUsage) {
    const see = 'See `undrop --help`, or `undrop <command> --help`.';
    stderr.write(`undrop: ${error.message}\n${see}\n`);
    return EXIT_USAGE;
  }
  const isKnown = error instanceof UndropError;
  stderr.write(`undrop: ${isKnown ? `${error.code}: ${error.message}` : describeFailure(error)}\n`);
  return isKnown && error.code === 'UNDROP_CONFIG' ? EXIT_USAGE : EXIT_FAILED;
}
