/** Settings, values and commands of earlier versions, and what to use instead of each. */

/** By the setting's key: a clause for the warning at the start, without a period. */
export const REMOVED_SETTINGS: Readonly<Record<string, string>> = {
  webhookEvents:
    'large drops, drops of schemas and uses of held tables are sent; the alert rules have the state of a server',
  webhookDropSize: 'drops of 1 GiB or more are sent',
  webhookFormat:
    'the body is JSON whose text Slack and Mattermost show; for Microsoft Teams pass that text on',
  webhookSecret: 'name a file with the key in UNDROP_WEBHOOK_SECRET_FILE',
};

/** By the key of the setting, then the value. */
export const REMOVED_VALUES: Readonly<Record<string, Readonly<Record<string, string>>>> = {};

/** By the name of the command: a clause, too. */
export const REMOVED_COMMANDS: Readonly<Record<string, string>> = {
  drain: 'set UNDROP_DRAIN_WAIT, and send SIGTERM: /readyz answers 503 while clients are accepted',
  undrain: 'start the proxy again',
};
