/**
 * The commands with which an operator looks at what was dropped, brings it back, or changes how
 * long it is held: their words, flags and help. commands/undo.ts and commands/hold.ts run them.
 */
import type { SettingKey } from '../config/schema.js';
import { UndropError } from '../errors.js';
import { type AccountOf, type Command, type Flags, JSON_FLAG, type Shell } from './command-line.js';
import { ACCOUNT_KEYS, HOLD_KEYS } from './settings.js';

/** A positional of several values. */
export const TARGETS = 'targets';

const WHAT = 'a table, schema.table, an id or its beginning (4 digits or more)';
const TIME = 'ISO 8601 (UTC), HH:MM of today in UTC, or a duration like 2h, so long ago';

/** Who, where and when. `--user` is not the account here. */
const FILTERS = {
  schema: { type: 'string', describe: 'only what was dropped in this schema' },
  user: { type: 'string', describe: 'only what this user dropped' },
  since: { type: 'string', describe: `only what was dropped since then: ${TIME}` },
  until: { type: 'string', describe: `only what was dropped up to then: ${TIME}` },
  'service-user': {
    type: 'string',
    describe: 'the service account [UNDROP_USER]; --user is who dropped',
  },
} as const;

/** Long: one entry for each command. */
export function undoCommands(shell: Shell, accountOf: AccountOf): readonly Command[] {
  const { stdout } = shell;
  /** With `--service-user` for the account. */
  const accountBeside = <K extends SettingKey>(flags: Flags, keys: readonly K[]) =>
    accountOf({ ...flags, user: flags['service-user'] }, keys);
  return [
    {
      usage: 'list',
      describe: 'list the tables that are held',
      keys: ACCOUNT_KEYS,
      options: {
        all: { type: 'boolean', default: false, describe: 'also those that are held no more' },
        sort: {
          type: 'string',
          default: 'dropped',
          describe: 'dropped (newest first), size (biggest first), expires (soonest first)',
        },
        ...FILTERS,
        json: JSON_FLAG,
      },
      examples: [
        ['$0 list', 'what can be brought back, and until when'],
        ['$0 list --user deploy --since 14:00', 'what deploy dropped since 14:00 UTC'],
        ['$0 list --sort size', 'what takes the most space'],
      ],
      run: async (flags) => {
        const { runList } = await import('./commands/undo.js');
        return runList(await accountBeside(flags, ACCOUNT_KEYS), flags, stdout);
      },
    },
    {
      usage: 'show <target>',
      describe: 'show all that is known of one table that was dropped',
      keys: ACCOUNT_KEYS,
      positionals: { target: { type: 'string', demandOption: true, describe: WHAT } },
      options: {
        sql: {
          type: 'boolean',
          default: false,
          describe: 'print the script that restores it by hand',
        },
        rows: { type: 'string', describe: 'print so many of its rows, 1 to 1000' },
        json: JSON_FLAG,
      },
      examples: [
        ['$0 show 0193a1', 'who dropped it, how, and what comes back with it'],
        ['$0 show shop.orders --rows 10', 'some of its rows'],
        ['$0 show shop.orders --sql | mysql', 'back without undrop'],
      ],
      run: async (flags) => {
        const { runShow } = await import('./commands/undo.js');
        return runShow(await accountOf(flags, ACCOUNT_KEYS), flags, shell);
      },
    },
    {
      usage: `restore [${TARGETS}..]`,
      describe: 'bring held tables back',
      keys: HOLD_KEYS,
      positionals: {
        [TARGETS]: { type: 'string', array: true, describe: `${WHAT}; of a table the newest drop` },
      },
      options: {
        to: { type: 'string', describe: 'another name, or schema.name, to give to the one table' },
        swap: {
          type: 'boolean',
          default: false,
          describe: 'where the name is taken, hold the table that has it, in the same RENAME',
        },
        drop: {
          type: 'string',
          describe: 'all tables of one statement: its drop id, or the id of one of them',
        },
        ...FILTERS,
        schema: {
          type: 'string',
          describe: 'alone: all of a dropped schema; else only what was dropped in it',
        },
        'dry-run': { type: 'boolean', default: false, describe: 'say what would happen' },
        json: JSON_FLAG,
      },
      examples: [
        ['$0 restore shop.orders', 'back under its own name'],
        ['$0 restore 0193a1 --to shop.orders_old', 'by its id, under another name'],
        ['$0 restore shop.orders --swap', 'in exchange for the table that has the name now'],
        ['$0 restore --user deploy --since 14:00 --dry-run', 'what would come back'],
        ['$0 restore --drop 0193a1', 'all that the same statement dropped'],
        ['$0 restore --schema shop', 'a dropped schema, with views, routines and events'],
      ],
      run: async (flags) => {
        const { runRestore } = await import('./commands/undo.js');
        return runRestore(await accountBeside(flags, HOLD_KEYS), flags, shell);
      },
    },
    {
      usage: 'hold <target>',
      describe: 'change how long a table is held',
      keys: HOLD_KEYS,
      positionals: { target: { type: 'string', demandOption: true, describe: WHAT } },
      options: {
        for: { type: 'string', describe: 'so long from now on, like 30d' },
        until: { type: 'string', describe: 'until then: ISO 8601 (UTC), or HH:MM of today in UTC' },
        pin: { type: 'boolean', default: false, describe: 'until somebody changes that' },
        json: JSON_FLAG,
      },
      examples: [
        ['$0 hold shop.orders --for 30d', '30 days from now on'],
        ['$0 hold 0193a1 --pin', 'for good; `--for` unpins it'],
      ],
      run: async (flags) => {
        const { runHold } = await import('./commands/hold.js');
        return runHold(await accountOf(flags, HOLD_KEYS), flags, stdout);
      },
    },
    {
      usage: 'remove <target>',
      describe: 'end the hold of a table, so that it is removed for good',
      keys: ACCOUNT_KEYS,
      positionals: { target: { type: 'string', demandOption: true, describe: WHAT } },
      options: {
        yes: { type: 'boolean', default: false, describe: 'do not ask' },
        json: JSON_FLAG,
      },
      examples: [['$0 remove shop.orders', 'the collector removes it now']],
      run: async (flags) => {
        const { runRemove } = await import('./commands/hold.js');
        return runRemove(await accountOf(flags, ACCOUNT_KEYS), flags, shell);
      },
    },
  ];
}

/** The text of a flag; null: it isn't given. */
export function textOf(flags: Flags, name: string): string | null {
  const value = flags[name];
  return typeof value === 'string' ? value : null;
}

export function wrongFlag(name: string, expected: string, found: string): UndropError {
  return wrongUsage(`--${name}: expected ${expected}, found ${found}.`);
}

export function wrongUsage(problems: string): UndropError {
  return new UndropError('UNDROP_CONFIG', { problems });
}
