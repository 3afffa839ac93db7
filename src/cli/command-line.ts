/**
 * The command line: commands, flags made of the settings, exit codes. Each command loads what it
 * needs when it runs, so that none waits for the others.
 *   0 done · 1 refused or failed, with the reason on standard error · 2 wrong usage or settings
 */
import { readFileSync } from 'node:fs';
import yargs, { type Argv } from 'yargs';
import { type Loaded, loadSettings } from '../config/load.js';
import { flagOf, SETTINGS, type SettingKey, type Settings, variableOf } from '../config/schema.js';
import { UndropError } from '../errors.js';
import { type LeveledLog, openLog } from '../log.js';
import type { StartDoors } from './commands/start.js';
import type { Out } from './commands/with-pool.js';
import { ACCOUNT_KEYS, DOCTOR_KEYS, INIT_KEYS, PROXY_KEYS } from './settings.js';

/** What a command gets from the shell that runs it; tests run commands with one of their own. */
interface Shell {
  /** The command and its arguments. */
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly stdout: Out;
  readonly stderr: Out;
  /** From now on a signal ends the process. */
  leaveSignals(): void;
}

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;

type Flags = Readonly<Record<string, unknown>>;

/** The arguments are wrong; the message is what yargs says. */
class WrongUsage extends Error {}

function settingsOf<K extends SettingKey>(
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

function load<K extends SettingKey>(
  keys: readonly K[],
  flags: Flags,
  env: NodeJS.ProcessEnv,
): Loaded<K> {
  const path = flags['config'] ?? env['UNDROP_CONFIG'];
  const file = typeof path === 'string' ? { path, values: readConfigFile(path) } : null;
  return loadSettings(keys, { flags, env, file });
}

function readConfigFile(path: string): Readonly<Record<string, unknown>> {
  try {
    const values: unknown = JSON.parse(readFileSync(path, 'utf8'));
    if (typeof values === 'object' && values !== null && !Array.isArray(values)) {
      return values as Readonly<Record<string, unknown>>;
    }
    throw new Error('expected one object of settings');
  } catch (error) {
    const cause = error instanceof Error ? error.message : String(error);
    throw new UndropError('UNDROP_CONFIG', { problems: `${path}: ${cause}.` }, error);
  }
}

/** Yargs makes a list of the values of a flag that is given twice, under both its spellings. */
function assertOnce(flags: Flags): void {
  const problems = Object.entries(flags).flatMap(([name, value]) => {
    if (!Array.isArray(value) || !/^[a-z][a-z-]*$/.test(name)) return [];
    return [`--${name}: expected once, found ${value.length} times.`];
  });
  if (problems.length === 0) return;
  throw new UndropError('UNDROP_CONFIG', { problems: problems.join('\n') });
}

/** If no upstream is set anywhere, commands use the server of a running demo. */
async function accountOf<K extends SettingKey>(
  { env, stderr }: Shell,
  flags: Flags,
  keys: readonly K[],
): Promise<Pick<Settings, K>> {
  const isConfigured =
    flags['upstream'] !== undefined ||
    flags['config'] !== undefined ||
    env['UNDROP_UPSTREAM'] !== undefined ||
    env['UNDROP_CONFIG'] !== undefined;
  const demo = isConfigured ? {} : await (await import('./commands/start.js')).demoVariables();
  const demoServer = demo['UNDROP_UPSTREAM'];
  // There may be several; whoever reads an empty list should know of which one it is.
  if (demoServer !== undefined) stderr.write(`(the demo's server at ${demoServer})\n`);
  else if (!isConfigured) {
    stderr.write('No demo of your account runs on this machine (`npm start` is one).\n');
  }
  return settingsOf({ env: { ...env, ...demo }, stderr }, keys, flags);
}

type OpenLog = (level: Settings['logLevel']) => LeveledLog;

function openLogOf({ stdout }: Shell): OpenLog {
  return (level) => openLog({ level, pretty: stdout.isTTY === true });
}

/** What `start` and `demo` borrow: the proxy itself, by UNDROP_* variables alone. */
function doorsOf(shell: Shell): StartDoors {
  const { stderr } = shell;
  return {
    serve: async (env) => {
      const { serve } = await import('./serve.js');
      const settings = () => settingsOf({ env, stderr }, PROXY_KEYS, {});
      return serve({ load: settings, openLog: openLogOf(shell) });
    },
    checkSettings: (variables) => {
      load(PROXY_KEYS, {}, { ...shell.env, ...variables });
    },
    startProxy: async (variables) => {
      const { startProxy } = await import('./proxy/proxy.js');
      const env = { ...shell.env, ...variables };
      const settings = settingsOf({ env, stderr }, PROXY_KEYS, {});
      return startProxy(settings, openLogOf(shell)(settings.logLevel));
    },
  };
}

/** A flag for each setting; texts, as config/load.ts judges them. */
function withSettings<T>(command: Argv<T>, keys: readonly SettingKey[]): Argv<T> {
  let built = command.option('config', { type: 'string', describe: 'a JSON file of settings' });
  for (const key of keys) {
    const { meaning, expected, default: fallback } = SETTINGS[key];
    const shown = fallback === null ? 'needed' : fallback === '' ? 'none' : fallback;
    built = built.option(flagOf(key), {
      type: 'string',
      describe: `${meaning}; ${expected} [${variableOf(key)}, default ${shown}]`,
    });
  }
  return built as unknown as Argv<T>;
}

/** Yargs composes the help of a command that runs: with all flags, a third of a proxy's start. */
function hideSettings(commandLine: Argv): void {
  for (const key of Object.keys(SETTINGS)) commandLine.hide(flagOf(key as SettingKey));
}

/**
 * Runs the command that the arguments say, and resolves to the exit code; what it throws, `sayWhy`
 * has words for. Long: one chain with a link for each command.
 */
export async function runCommandLine(shell: Shell): Promise<number> {
  const { args, env, stdout } = shell;
  let exitCode = 0;
  const commandLine = yargs([...args]);
  const serving = (command: (flags: Flags) => Promise<number>) => async (flags: Flags) => {
    hideSettings(commandLine);
    assertOnce(flags);
    exitCode = await command(flags);
  };
  const run = (command: (flags: Flags) => Promise<number>) => {
    return serving((flags) => {
      shell.leaveSignals();
      return command(flags);
    });
  };
  await commandLine
    .scriptName('undrop')
    .usage('$0 <command>\n\nDROP TABLE that can be taken back, for MySQL and MariaDB.')
    .command(
      ['serve', '$0'],
      'run the proxy (the default)',
      (command) =>
        withSettings(command, PROXY_KEYS).example(
          'UNDROP_UPSTREAM=db:3306 UNDROP_USER=undrop UNDROP_PASSWORD_FILE=/run/secrets/pw $0 serve',
          'in front of db, on 127.0.0.1:3307',
        ),
      serving(async (flags) => {
        const { serve } = await import('./serve.js');
        const settings = () => settingsOf(shell, PROXY_KEYS, flags);
        return serve({ load: settings, openLog: openLogOf(shell) });
      }),
    )
    .command(
      'list',
      'list the tables that are held',
      (command) =>
        withSettings(command, ACCOUNT_KEYS)
          .option('json', { type: 'boolean', default: false, describe: 'print JSON' })
          .example('$0 list', 'what can be brought back, and until when'),
      run(async (flags) => {
        const { runList } = await import('./commands/undo.js');
        const settings = await accountOf(shell, flags, ACCOUNT_KEYS);
        return runList(settings, { json: flags['json'] === true }, stdout);
      }),
    )
    .command(
      'restore <target>',
      'bring a held table back',
      (command) =>
        withSettings(command, ACCOUNT_KEYS)
          .positional('target', {
            type: 'string',
            demandOption: true,
            describe: 'a table, schema.table, an id or its beginning; of a table the newest drop',
          })
          .option('to', { type: 'string', describe: 'another name, or schema.name, to give it' })
          .option('json', { type: 'boolean', default: false, describe: 'print JSON' })
          .example('$0 restore shop.orders', 'back under its own name')
          .example('$0 restore 0193a1 --to shop.orders_old', 'by its id, under another name'),
      run(async (flags) => {
        const { runRestore } = await import('./commands/undo.js');
        const settings = await accountOf(shell, flags, ACCOUNT_KEYS);
        const target = String(flags['target']);
        const to = typeof flags['to'] === 'string' ? flags['to'] : null;
        return runRestore(settings, { target, to, json: flags['json'] === true }, stdout);
      }),
    )
    .command(
      'start',
      'what `npm start` runs: the proxy, on a throwaway server where none is configured',
      (command) => command,
      serving(async () => {
        const { runStart } = await import('./commands/start.js');
        return runStart(env, stdout, doorsOf(shell));
      }),
    )
    .command(
      'init',
      'print the statements that make the service account, or run them',
      (command) =>
        withSettings(command, INIT_KEYS)
          .option('apply', {
            type: 'boolean',
            default: false,
            describe: 'run them by the account of UNDROP_ADMIN_USER, and make the ledger',
          })
          .option('json', { type: 'boolean', default: false, describe: 'print JSON' })
          .example('$0 init --upstream db:3306 --user undrop', 'what to run there, to be read')
          .example('$0 init --tier least --schemas shop --apply', 'rights on one schema alone'),
      run(async (flags) => {
        const { runInit } = await import('./commands/init.js');
        const options = { apply: flags['apply'] === true, json: flags['json'] === true };
        return runInit(settingsOf(shell, INIT_KEYS, flags), options, stdout);
      }),
    )
    .command(
      'doctor',
      'check the server and the privileges of the service account',
      (command) =>
        withSettings(command, DOCTOR_KEYS)
          .option('json', { type: 'boolean', default: false, describe: 'print JSON' })
          .example('$0 doctor', 'what is missing, and what breaks without it'),
      run(async (flags) => {
        const { runDoctor } = await import('./commands/doctor.js');
        const settings = await accountOf(shell, flags, DOCTOR_KEYS);
        return runDoctor(settings, { json: flags['json'] === true }, stdout);
      }),
    )
    .command(
      'demo',
      'a throwaway server with the proxy in front; with --tour, in a second terminal: show it off',
      (command) =>
        command.option('tour', {
          type: 'boolean',
          describe: 'show what it does, without any client',
        }),
      run(async (flags) => {
        const { runTourCommand, runDemoCommand } = await import('./commands/start.js');
        if (flags['tour'] === true) return runTourCommand(env, stdout);
        return runDemoCommand(env, stdout, doorsOf(shell));
      }),
    )
    .strict()
    .version(versionOfPackage())
    .help()
    .wrap(100)
    .fail((message, error) => {
      if (error !== undefined && error !== null) throw error;
      throw new WrongUsage(inOwnWords(message));
    })
    .parseAsync();
  return exitCode;
}

/** Yargs takes a command that it doesn't know for an argument of the default one. */
function inOwnWords(message: string): string {
  return message
    .replace(/^Unknown argument/, 'Unknown command or argument')
    .replace(
      /^Not enough non-option arguments: got 0,.*$/m,
      'Expected a table or an id, found none.',
    );
}

function versionOfPackage(): string {
  const path = new URL('../../../package.json', import.meta.url);
  const { version } = JSON.parse(readFileSync(path, 'utf8')) as { version: string };
  return version;
}

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
