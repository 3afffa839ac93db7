/**
 * Every command of undrop, as data: its words, flags, help, and the function that runs it. Each
 * loads its code when it runs, so that no command waits for the others.
 */
import type { Options, PositionalOptions } from 'yargs';
import type { SettingKey, Settings } from '../config/schema.js';
import type { Flags, Shell } from '../faces/cli/settings.js';
import * as settings from '../faces/cli/settings.js';

interface Described {
  /** Its name and arguments. */
  readonly usage: string;
  readonly describe: string;
  /** Flags that aren't settings. */
  readonly options?: Readonly<Record<string, Options>>;
  /** Arguments after its name, by their names in `usage`. */
  readonly positionals?: Readonly<Record<string, PositionalOptions>>;
  /** Example command lines, each with its purpose. */
  readonly examples?: [command: string, what: string][];
}

export interface Command extends Described {
  /** The settings that it takes. Each is a flag, unless `options` has a flag of that name. */
  readonly keys?: readonly SettingKey[];
  /** It gets signals; those of any other command end the process. */
  readonly takesSignals?: boolean;
  /** Resolves to the exit code. */
  run(flags: Flags, shell: Shell): Promise<number>;
}

interface ServerCommand<K extends SettingKey> extends Described {
  readonly keys: readonly K[];
  /** Resolves to the function that runs it. */
  load(): Promise<(given: Pick<Settings, K>, flags: Flags, shell: Shell) => Promise<number>>;
}

function text(describe: string) {
  return { type: 'string', describe } as const;
}

function flag(describe: string) {
  return { type: 'boolean', default: false, describe } as const;
}

const JSON_FLAG = flag('print JSON');
const DRY_RUN = flag('only print what would be done');
const YES = flag('do not ask for confirmation');

const WHAT = 'a table, schema.table, or an id (its first or last 4 digits or more)';
const TIME = 'ISO 8601 (UTC), HH:MM of today in UTC, or a duration like 2h for two hours ago';

/** Which drops: by whom, where and when. */
const SINCE = {
  schema: text('only tables dropped from this schema'),
  'dropped-by': text('only tables dropped by this user'),
  program: text('only tables dropped by a program of this name, as it says itself'),
  since: text(`only tables dropped since this time: ${TIME}`),
} as const;
const FILTERS = {
  ...SINCE,
  until: text('only tables dropped up to this time, in the words of --since'),
} as const;
const DROP = text('all tables of one statement: its drop id, or the id of one of its tables');
const TARGETS = { type: 'string', array: true, describe: WHAT } as const;

export const COMMANDS: readonly Command[] = [
  {
    usage: 'serve',
    describe: 'run the proxy',
    keys: settings.PROXY_KEYS,
    options: {
      check: {
        type: 'boolean',
        describe:
          'only check whether it would start and hold drops; exits with 0 if so, 1 with warnings, 2 if not',
      },
      json: { type: 'boolean', implies: 'check', describe: 'with --check: print JSON' },
    },
    examples: [
      [
        'UNDROP_UPSTREAM=db:3306 UNDROP_USER=undrop UNDROP_PASSWORD_FILE=/run/secrets/pw $0 serve',
        'in front of db, on 127.0.0.1:3307',
      ],
      ['$0 serve --check --config undrop.conf', 'check settings, files and server'],
    ],
    takesSignals: true,
    run: async (flags, shell) => {
      if (flags['check'] !== true) return (await import('./serve.js')).runServe(flags, shell);
      shell.leaveSignals();
      return (await import('./check.js')).runCheck(flags, shell);
    },
  },
  {
    usage: 'reload',
    describe: 'reload the settings and the program of a running service; no session ends',
    keys: ['listen'],
    options: {
      force: flag('end the oldest, if two reloads have left sessions in old processes'),
    },
    run: async (flags, shell) => (await import('./reload.js')).runReload(flags, shell),
  },
  onServer({
    usage: 'pause',
    describe:
      'pause all collectors of this server: held tables are not moved on, purged or removed',
    keys: settings.ACCOUNT_KEYS,
    options: {
      for: text('length of the pause, like 2h; default: until `undrop resume`'),
      json: JSON_FLAG,
    },
    examples: [['$0 pause --for 2h', 'keep all held tables for two hours']],
    load: async () => (await import('../faces/cli/operate.js')).runPause,
  }),
  onServer({
    usage: 'resume',
    describe: 'end the pause of this server',
    keys: settings.ACCOUNT_KEYS,
    options: { json: JSON_FLAG },
    load: async () => (await import('../faces/cli/operate.js')).runResume,
  }),
  onServer({
    usage: 'allow [request]',
    describe: 'let a statement that a rule `ask` has refused through once; alone: list them',
    keys: settings.ACCOUNT_KEYS,
    positionals: { request: text('the id in the refusal, or 4 or more digits of it') },
    options: { json: JSON_FLAG },
    examples: [['$0 allow 3f0c9a17', 'it may be sent again within ten minutes']],
    load: async () => (await import('../faces/cli/operate.js')).runAllow,
  }),
  onServer({
    usage: 'status',
    describe:
      'show the collector, the held tables, and problems that need attention (then exits with 1)',
    keys: settings.STATUS_KEYS,
    options: { json: JSON_FLAG },
    load: async () => (await import('../faces/cli/status.js')).runStatus,
  }),
  onServer({
    usage: 'list [name]',
    describe: 'list what is held: a line for each statement, the newest first',
    keys: settings.ACCOUNT_KEYS,
    positionals: { name: text('only drops of this table or schema, or this id') },
    options: {
      tables: flag('a line for each table'),
      all: flag('also tables no longer held, or not in the ledger'),
      drop: DROP,
      like: text('only tables whose name matches, as in SHOW TABLES LIKE'),
      limit: text('this many lines, or none for all; default: 50, with --json none'),
      sort: {
        ...text('dropped (newest first), size (biggest first), expires (soonest first)'),
        default: 'dropped',
      },
      ...FILTERS,
      json: flag('print JSON, an object for each table'),
    },
    examples: [
      ['$0 list', 'what can be restored, and until when'],
      ['$0 list --dropped-by deploy --since 14:00', 'what deploy dropped since 14:00 UTC'],
      ['$0 list --tables --sort size', 'largest tables first'],
    ],
    load: async () => (await import('../faces/cli/list.js')).runList,
  }),
  onServer({
    usage: 'show <target>',
    describe: 'show the details of one dropped table',
    keys: settings.ACCOUNT_KEYS,
    positionals: { target: { type: 'string', demandOption: true, describe: WHAT } },
    options: {
      sql: flag('print the script that restores it without undrop'),
      rows: text('print this many of its rows, 1 to 1000'),
      json: JSON_FLAG,
    },
    examples: [
      ['$0 show 0193a1', 'who dropped it, and what comes back with it'],
      ['$0 show shop.orders --rows 10', 'some of its rows'],
      ['$0 show shop.orders --sql | mysql', 'back without undrop'],
    ],
    load: async () => (await import('../faces/cli/list.js')).runShow,
  }),
  onServer({
    usage: 'restore [targets..]',
    describe: 'restore held tables',
    keys: settings.HOLD_KEYS,
    positionals: { targets: { ...TARGETS, describe: `${WHAT}; for a name, its newest drop` } },
    options: {
      to: text('a new name, or schema.name, for the one table'),
      'to-schema': text('another schema, for all of them'),
      swap: flag('hold the tables that have the names, in the same RENAME'),
      partial: flag('restore what can be restored, whatever stands in the way of the rest'),
      keys: flag('add foreign keys also if another table has the name of the parent'),
      drop: DROP,
      ...FILTERS,
      schema: text('alone: a whole dropped schema; with other flags: only tables dropped from it'),
      'dry-run': DRY_RUN,
      json: JSON_FLAG,
    },
    examples: [
      ['$0 restore shop.orders', 'under its own name'],
      ['$0 restore 0193a1 --to shop.orders_old', 'by its id, under another name'],
      ['$0 restore shop.orders --swap', 'in exchange for the live table'],
      ['$0 restore --schema shop --since 14:00 --swap', 'all of a reset, as it was before'],
      ['$0 restore --dropped-by deploy --since 14:00 --dry-run', 'print what would be restored'],
      ['$0 restore --drop 0193a1', 'all tables of one statement'],
      ['$0 restore --schema shop', 'with views, routines and events'],
    ],
    load: async () => (await import('../faces/cli/restore.js')).runRestore,
  }),
  onServer({
    usage: 'hold [targets..]',
    describe: 'change how long tables are held',
    keys: settings.HOLD_KEYS,
    positionals: { targets: TARGETS },
    options: {
      drop: DROP,
      ...SINCE,
      for: text('this long from now on, like 30d'),
      until: text('until this time: ISO 8601 (UTC), or HH:MM of today in UTC'),
      pin: flag('until its hold is changed'),
      lock: flag('with --for or --until: nobody, not even an operator, ends the hold before'),
      json: JSON_FLAG,
    },
    examples: [
      ['$0 hold shop.orders --for 30d', '30 days from now on'],
      ['$0 hold 0193a1 --pin', 'without an end; --for unpins it'],
      ['$0 hold shop.orders --for 90d --lock', 'and nobody can end it before'],
      ['$0 hold --dropped-by deploy --since 14:00 --for 30d', 'all that deploy dropped'],
    ],
    load: async () => (await import('../faces/cli/change-holds.js')).runHold,
  }),
  onServer({
    usage: 'remove [targets..]',
    describe: 'end the hold of tables; the collector then removes them for good',
    keys: settings.ACCOUNT_KEYS,
    positionals: { targets: TARGETS },
    options: {
      drop: DROP,
      ...SINCE,
      'dry-run': DRY_RUN,
      yes: YES,
      json: JSON_FLAG,
    },
    examples: [
      ['$0 remove shop.orders', 'the collector removes it now'],
      ['$0 remove --drop 0193a1', 'all tables of one statement; asks for their number'],
    ],
    load: async () => (await import('../faces/cli/change-holds.js')).runRemove,
  }),
  {
    usage: 'mcp',
    describe:
      'on standard input and output: tools for an agent (MCP), by the account of UNDROP_MCP_URL or UNDROP_MCP_URL_FILE',
    examples: [
      [
        'UNDROP_MCP_URL=mysql://agent:secret@127.0.0.1:3307/shop $0 mcp',
        'as an agent starts it; the address is that of undrop',
      ],
    ],
    run: async (flags, shell) => (await import('./mcp.js')).runMcp(flags, shell),
  },
  {
    usage: 'start [server]',
    describe:
      'run the proxy as `npm start` does: in front of a throwaway server if none is configured',
    positionals: { server: text('a server to try it with: its URL, with an account for undrop') },
    examples: [['$0 start mysql://root:secret@127.0.0.1:3306', 'on a laptop; then use port 3307']],
    takesSignals: true,
    run: async (flags, shell) => (await import('./start.js')).runStart(flags, shell),
  },
  {
    usage: 'init',
    describe: 'print the statements that create the service account, or run them',
    keys: settings.INIT_KEYS,
    options: {
      apply: flag('run them with the account of --admin-user, and create the ledger'),
      'account-host': text(
        'where the account may log in from; default: this host, as the server sees it',
      ),
      'admin-user': { ...text('the account that runs them'), default: 'root' },
      'admin-password-file': text(
        'a file with its password; without it, init asks for the password',
      ),
    },
    examples: [
      ['$0 init --upstream db:3306 --user undrop', 'print the statements for db'],
      ['$0 init --tier least --schemas shop --apply', 'privileges on one schema alone'],
    ],
    run: async (flags, shell) => (await import('../faces/cli/init.js')).runInit(flags, shell),
  },
  onServer({
    usage: 'doctor',
    describe: 'check the server and the privileges of the service account',
    keys: settings.DOCTOR_KEYS,
    options: { json: JSON_FLAG },
    examples: [['$0 doctor', 'list missing privileges']],
    load: async () => (await import('./check.js')).runDoctor,
  }),
  onServer({
    usage: 'uninstall',
    describe: "drop undrop's own schemas; while anything is held, only show it",
    keys: settings.STATUS_KEYS,
    options: { remove: flag('remove all that is held for good'), yes: YES },
    examples: [['$0 uninstall', 'drop the schemas, if nothing is held']],
    load: async () => (await import('../faces/cli/uninstall.js')).runUninstall,
  }),
  {
    usage: 'demo',
    describe: 'run a throwaway server with the proxy in front',
    options: {
      tour: flag('in a second terminal: show what undrop does, without a client'),
    },
    run: async (flags, shell) => (await import('./start.js')).runDemoCommand(flags, shell),
  },
];

/** A command that talks to a server: to the one that is set, or to that of a running demo. */
function onServer<K extends SettingKey>({ load, ...command }: ServerCommand<K>): Command {
  return {
    ...command,
    run: async (flags, shell) => {
      const run = await load();
      return run(await settings.settingsOrDemoOf(shell, command.keys, flags), flags, shell);
    },
  };
}
