#!/usr/bin/env node
/**
 * The command line: commands, flags made of the settings, exit codes. Each command loads what it
 * needs when it runs, so that none waits for the others.
 *   0 done · 1 refused or failed, with the reason on standard error · 2 wrong usage or settings
 */
import './signals.js';
import { readFileSync } from 'node:fs';
import yargs, { type Argv } from 'yargs';
import { hideBin } from 'yargs/helpers';
import { type Loaded, loadSettings } from '../config/load.js';
import { flagOf, SETTINGS, type SettingKey, type Settings } from '../config/schema.js';
import { UndropError } from '../errors.js';
import { type LeveledLog, openLog } from '../log.js';
import { ACCOUNT_KEYS, DOCTOR_KEYS, INIT_KEYS } from './account-settings.js';
import { PROXY_KEYS } from './proxy-settings.js';
import { leaveSignals } from './signals.js';
import type { StartDoors } from './start.js';

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;

type Flags = Readonly<Record<string, unknown>>;

function settingsOf<K extends SettingKey>(
  keys: readonly K[],
  flags: Flags,
  env: NodeJS.ProcessEnv = process.env,
): Pick<Settings, K> {
  const loaded = load(keys, flags, env);
  for (const name of loaded.unknownVariables) {
    process.stderr.write(`undrop: warning: ${name} is no setting of undrop\n`);
  }
  for (const key of ['password', 'admin-password'].filter((flag) => flags[flag] !== undefined)) {
    const instead = `give --${key}-file a file instead`;
    process.stderr.write(`undrop: warning: all on this machine can see --${key}; ${instead}\n`);
  }
  for (const { key, by } of loaded.overridden) {
    process.stderr.write(`undrop: warning: ${key} of the file is not used, as ${by} is given\n`);
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

function logOf(level: Settings['logLevel']): LeveledLog {
  return openLog({ level, pretty: process.stdout.isTTY });
}

/** With no upstream set anywhere, the commands beside a running demo speak of its server. */
async function accountOf<K extends SettingKey>(
  flags: Flags,
  keys: readonly K[],
): Promise<Pick<Settings, K>> {
  const isConfigured =
    flags['upstream'] !== undefined ||
    flags['config'] !== undefined ||
    process.env['UNDROP_UPSTREAM'] !== undefined ||
    process.env['UNDROP_CONFIG'] !== undefined;
  const demo = isConfigured ? {} : await (await import('./start.js')).demoVariables();
  const demoServer = demo['UNDROP_UPSTREAM'];
  // There may be several; whoever reads an empty list should know of which one it is.
  if (demoServer !== undefined) process.stderr.write(`(the demo's server at ${demoServer})\n`);
  else if (!isConfigured) {
    process.stderr.write('No demo of your account runs on this machine (`npm start` is one).\n');
  }
  const env = { ...process.env, ...demo };
  return settingsOf(keys, flags, env);
}

/** What `start` and `demo` borrow: the proxy itself, by UNDROP_* variables alone. */
const doors: StartDoors = {
  serve: async (env) => {
    const { serve } = await import('./serve.js');
    return serve({ load: () => settingsOf(PROXY_KEYS, {}, env), openLog: logOf });
  },
  checkSettings: (variables) => {
    load(PROXY_KEYS, {}, { ...process.env, ...variables });
  },
  startProxy: async (variables) => {
    const { startProxy } = await import('./serve.js');
    const env = { ...process.env, ...variables };
    const settings = settingsOf(PROXY_KEYS, {}, env);
    return startProxy(settings, logOf(settings.logLevel));
  },
};

/** A flag for each setting; texts, as config/load.ts judges them. */
function withSettings<T>(command: Argv<T>, keys: readonly SettingKey[]): Argv<T> {
  let built = command.option('config', { type: 'string', describe: 'a JSON file of settings' });
  for (const key of keys) {
    const { variable, meaning, expected, default: fallback } = SETTINGS[key];
    const shown = fallback === null ? 'needed' : fallback === '' ? 'none' : fallback;
    built = built.option(flagOf(key), {
      type: 'string',
      describe: `${meaning}; ${expected} [${variable}, default ${shown}]`,
    });
  }
  return built as unknown as Argv<T>;
}

/** Yargs composes the help of a command that runs: with all flags, a third of a proxy's start. */
function hideSettings(commandLine: Argv): void {
  for (const key of Object.keys(SETTINGS)) commandLine.hide(flagOf(key as SettingKey));
}

/** Long: one chain with a link for each command. */
async function main(): Promise<number> {
  let exitCode = 0;
  const commandLine = yargs(hideBin(process.argv));
  const serving = (command: (flags: Flags) => Promise<number>) => async (flags: Flags) => {
    hideSettings(commandLine);
    assertOnce(flags);
    exitCode = await command(flags);
  };
  const run = (command: (flags: Flags) => Promise<number>) => {
    return serving((flags) => {
      leaveSignals();
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
        return serve({ load: () => settingsOf(PROXY_KEYS, flags), openLog: logOf });
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
        const { runList } = await import('./list.js');
        return runList(await accountOf(flags, ACCOUNT_KEYS), { json: flags['json'] === true });
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
        const { runRestore } = await import('./restore.js');
        return runRestore(await accountOf(flags, ACCOUNT_KEYS), {
          target: String(flags['target']),
          to: typeof flags['to'] === 'string' ? flags['to'] : null,
          json: flags['json'] === true,
        });
      }),
    )
    .command(
      'start',
      'what `npm start` runs: the proxy, on a throwaway server where none is configured',
      (command) => command,
      serving(async () => {
        const { runStart } = await import('./start.js');
        return runStart(process.env, [], process.stdout, doors);
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
        const { runInit } = await import('./init.js');
        const { apply, json } = flags;
        return runInit(settingsOf(INIT_KEYS, flags), {
          apply: apply === true,
          json: json === true,
        });
      }),
    )
    .command(
      'doctor',
      'look at the server and at the rights of the service account',
      (command) =>
        withSettings(command, DOCTOR_KEYS)
          .option('json', { type: 'boolean', default: false, describe: 'print JSON' })
          .example('$0 doctor', 'what is missing, and what breaks without it'),
      run(async (flags) => {
        const { runDoctor } = await import('./doctor.js');
        return runDoctor(await accountOf(flags, DOCTOR_KEYS), { json: flags['json'] === true });
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
      run(async () => {
        const { runDemoCommand } = await import('./start.js');
        return runDemoCommand(process.env, hideBin(process.argv).slice(1), process.stdout, doors);
      }),
    )
    .strict()
    .version(versionOfPackage())
    .help()
    .wrap(100)
    .fail((message, error) => {
      if (error !== undefined && error !== null) throw error;
      process.stderr.write(
        `undrop: ${inOwnWords(message)}\nSee \`undrop --help\`, or \`--help\` behind a command.\n`,
      );
      process.exit(EXIT_USAGE);
    })
    .parseAsync();
  return exitCode;
}

/** Of yargs, which takes a command that it doesn't know for an argument of the default one. */
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

// Whoever reads what is printed may go, as `head` does; what was begun is done to its end.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});

main()
  .then((code) => {
    process.exitCode = code;
  })
  .catch((error: unknown) => {
    const isKnown = error instanceof UndropError;
    const text = isKnown ? `${error.code}: ${error.message}` : describeFailure(error);
    process.stderr.write(`undrop: ${text}\n`);
    process.exitCode = isKnown && error.code === 'UNDROP_CONFIG' ? EXIT_USAGE : EXIT_FAILED;
    process.exit();
  });
