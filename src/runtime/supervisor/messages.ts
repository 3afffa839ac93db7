/**
 * The messages between the supervisor and its processes: plain records, which cross a pipe as JSON,
 * some with a socket.
 *
 * Invariant: a supervisor is older than what it forks. A change here that an older supervisor would
 * take wrongly gets another PROTOCOL, and a process that doesn't know the supervisor's says so and
 * ends; then the processes that are there go on.
 */
import type { ServerAddress } from '../../connections/server-address.js';
import type { Flags } from '../../faces/cli/settings.js';
import type { HeldName } from '../../ledger/overview.js';
import type { WantedSocket } from '../../session/bound-sockets.js';

export const PROTOCOL = 1;

/** `control` has what a service has once; a `proxy` serves clients. */
export type Role = 'control' | 'proxy';

/** How a process learns its role and the supervisor's PROTOCOL. */
export const ROLE_VARIABLE = 'UNDROP_PROCESS_ROLE';
export const PROTOCOL_VARIABLE = 'UNDROP_PROCESS_PROTOCOL';

/** JSON values that outlive the processes, and that only they understand. */
export type Kept = Readonly<Record<string, unknown>>;

/** The end of the sessions of a process. */
export interface DrainTimes {
  readonly waitMs: number;
  readonly timeoutMs: number;
}

/** All that the supervisor needs to know of the settings, and what its processes get of them. */
export interface Plan {
  readonly version: string;
  readonly sockets: readonly WantedSocket[];
  /** The path of the socket for commands. */
  readonly commandSocket: string | null;
  readonly proxies: number;
  readonly drain: DrainTimes;
  readonly logLevel: string;
  /** Settings, for the processes of the same program. */
  readonly settings: unknown;
  /** The policy as texts, for processes of other programs. */
  readonly policy: Readonly<Record<string, string>>;
  readonly kept: Kept;
}

/** Counters by name, some of them by a second name. */
export interface Sums {
  readonly [name: string]: number | Sums;
}

export interface CountersMessage {
  readonly counters: Sums;
  /** The names of those that end with their process. */
  readonly gauges: readonly string[];
}

export type ToProcess =
  /** To a control process: read the settings. */
  | { readonly kind: 'plan'; readonly flags: Flags; readonly kept: Kept }
  /** Comes with its socket; bound, and perhaps listening already. */
  | ({ readonly kind: 'socket' } & WantedSocket)
  | {
      readonly kind: 'start';
      readonly settings: unknown;
      readonly kept: Kept;
      /** The number of a proxy, from 1 on; 0: control. */
      readonly number: number;
      readonly proxies: number;
      /** The addresses as bound. */
      readonly listen: readonly ServerAddress[];
      /** max_connections of the server; null if it isn't known. */
      readonly serverConnectionsMax: number | null;
    }
  /** Take clients, or the requests of monitoring. `about`: for the log. */
  | { readonly kind: 'serve'; readonly about: object }
  /** To a control process: the one before has ended. `before`: its settings, or null. */
  | { readonly kind: 'collect'; readonly before: unknown }
  /** To a proxy of an older generation: take no more clients, and end after the last. */
  | { readonly kind: 'retire'; readonly withinMs: number; readonly timeoutMs: number }
  | { readonly kind: 'policy'; readonly policy: Readonly<Record<string, string>> }
  | ({ readonly kind: 'drain' } & DrainTimes)
  /** All sessions end now. */
  | { readonly kind: 'hurry' }
  /** To a control process: end. `isEnd`: the service ends as well, so no other takes its place. */
  | { readonly kind: 'stop'; readonly isEnd?: boolean }
  /** To a control process: the service is about to end, and clients are kept away. */
  | { readonly kind: 'away' }
  /** To a control process: the sum over all processes, also those that have ended. */
  | { readonly kind: 'counters'; readonly counters: Sums }
  | { readonly kind: 'told'; readonly message: Told }
  /** The open sessions of the proxies of its generation, by number. */
  | { readonly kind: 'loads'; readonly loads: Readonly<Record<string, number>> }
  /** Comes with the socket of a client that another proxy has accepted. */
  | { readonly kind: 'client' };

/** Messages of one process for all of the other role. */
export type Told =
  /** Tables were held. */
  | { readonly kind: 'held' }
  /** Another server has that address. */
  | { readonly kind: 'renew'; readonly address: ServerAddress }
  | { readonly kind: 'held-names'; readonly names: readonly HeldName[] };

export type FromProcess =
  | { readonly kind: 'hello'; readonly version: string }
  | { readonly kind: 'planned'; readonly plan: Plan }
  | {
      readonly kind: 'ready';
      /** Only from a proxy. */
      readonly relay?: 'raw' | 'stream';
      /** Only from a control process; null if it isn't known. */
      readonly serverConnectionsMax: number | null;
    }
  /** A proxy takes clients, as it was told to. */
  | { readonly kind: 'serving' }
  /** It can't serve, and ends. `text`: for standard error. */
  | {
      readonly kind: 'failed';
      readonly text: string;
      readonly exitCode: number;
      readonly message: string;
      /** The code of an UndropError. */
      readonly code?: string;
    }
  /** When they have changed, and at least every five seconds. */
  | ({ readonly kind: 'counters' } & CountersMessage)
  | { readonly kind: 'tell'; readonly message: Told }
  /** How many sessions are open. */
  | { readonly kind: 'load'; readonly load: number }
  /** Comes with the socket of a client for that proxy. */
  | { readonly kind: 'pass'; readonly to: number };
