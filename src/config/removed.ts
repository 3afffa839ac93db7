/** Settings, values and commands of earlier versions, and what to use instead of each. */

/** By the setting's key: a clause for the warning at the start, without a period. */
export const REMOVED_SETTINGS: Readonly<Record<string, string>> = {};

/** By the key of the setting, then the value. */
export const REMOVED_VALUES: Readonly<Record<string, Readonly<Record<string, string>>>> = {};

/** By the name of the command: a clause, too. */
export const REMOVED_COMMANDS: Readonly<Record<string, string>> = {};
