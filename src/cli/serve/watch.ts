/**
 * Reports for monitoring (admin/http.ts): whether clients can be sent to the service, whether drops
 * are held, and its metrics. Each is checked at the request.
 *
 * Invariant: a fault of the service account or the ledger costs drops, and keeps no client away.
 */
import { statfs } from 'node:fs/promises';
import type net from 'node:net';
import { Exposition } from '../../admin/exposition.js';
import { type AdminDoors, type AdminListener, openAdminListener } from '../../admin/http.js';
import type { Snapshot } from '../../admin/metrics.js';
import { withinMs } from '../../clock.js';
import { newApi } from '../../console/api.js';
import { type ConsoleGateOptions, Gate } from '../../console/gate.js';
import type { OperatorDoor } from '../../console/operator.js';
import { People } from '../../console/web/people.js';
import { newWeb } from '../../console/web/web.js';
import { type CollectorFigures, REST_REASONS } from '../../lifecycle/figures.js';
import type { Log } from '../../log.js';
import type { Counters } from '../../metrics.js';
import { describeAddress } from '../../service/server-address.js';
import { type BoundSocket, listenOn } from '../../session/bound-sockets.js';
import { versionOfPackage } from '../shell.js';

interface WatchOptions {
  readonly figures: CollectorFigures;
  readonly log: Log;
  /** UNDROP_MODE. */
  readonly mode: string;
  readonly certificates: Snapshot['certificates'];
  /** The folder of UNDROP_DATADIR; null: none. */
  readonly dataFolder: string | null;
  /** Null: UNDROP_CONSOLE is off. */
  readonly console:
    | (Pick<ConsoleGateOptions, 'door' | 'hosts'> & { operator: OperatorDoor })
    | null;
  /** TLS of the listener; null: it has none. */
  readonly accept: Parameters<typeof openAdminListener>[1]['accept'];
  counters(): Counters;
  /** Whether the service is about to end, so that clients are to go elsewhere. */
  isAway(): boolean;
  /** Whether a server answers the service account, by a refusal too. */
  answers(): Promise<boolean>;
  /** Whether a server greets a client. */
  greets(): Promise<boolean>;
  /** Why drops are refused; null: they are held. */
  dropProblem(): Promise<string | null>;
}

/** The service pool may be full, or its logins delayed; then the server is dialled. */
const POOL_WITHIN_MS = 500;
/** A server that takes longer to answer is not reached: checks have mostly little time. */
const WITHIN_MS = 2_000;

export class Watch {
  readonly #options: WatchOptions;
  readonly #exposition = new Exposition();
  readonly #version = versionOfPackage();
  #listeners: readonly AdminListener[] = [];
  #people: People | null = null;
  #disk: Promise<Snapshot['disk']> | null = null;

  private constructor(options: WatchOptions) {
    this.#options = options;
  }

  static async open(sockets: readonly BoundSocket[], options: WatchOptions): Promise<Watch> {
    const watch = new Watch(options);
    const { log, console, accept } = options;
    const doors: AdminDoors = {
      problems: (about) => watch.#problems(about),
      metrics: () => watch.#metrics(),
      ...(console !== null && { console: watch.#openConsole(console) }),
    };
    for (const socket of sockets) {
      const listen = (server: net.Server) => listenOn(server, socket);
      watch.#listeners = [
        ...watch.#listeners,
        await openAdminListener(listen, { doors, accept, log }),
      ];
      const where = describeAddress(socket.address);
      const what = `/healthz, /readyz${console === null ? '' : ', /console'} and /metrics are there`;
      log.info({ event: 'admin', listen: where }, what);
    }
    return watch;
  }

  #openConsole({
    operator,
    ...way
  }: NonNullable<WatchOptions['console']>): NonNullable<AdminDoors['console']> {
    const { log } = this.#options;
    const monotonicMs = () => performance.now();
    const gate = new Gate({ ...way, log, monotonicMs, find: operator.find });
    const people = new People(monotonicMs);
    this.#people = people;
    const problems = () => this.#problems({ drops: true });
    const options = { gate, people, operator, version: this.#version, log, problems };
    const [api, web] = [newApi(options), newWeb(options)];
    return async (request, response) => {
      if (request.url === '/') response.writeHead(303, { location: '/console' }).end();
      else await (request.url?.startsWith('/api/') ? api : web)(request, response);
    };
  }

  async close(): Promise<void> {
    this.#people?.stop();
    await Promise.all(this.#listeners.map((listener) => listener.close()));
  }

  async #problems({ drops }: { readonly drops: boolean }): Promise<readonly string[]> {
    const isReached = await this.#isReached();
    const dropProblem = drops && isReached ? await this.#dropProblem() : null;
    return [
      ...(this.#options.isAway() ? ['it is about to end'] : []),
      ...(isReached ? [] : ['no server of UNDROP_UPSTREAM answers']),
      ...(dropProblem === null ? [] : [dropProblem]),
    ];
  }

  async #metrics(): Promise<{ readonly contentType: string; readonly text: string }> {
    const { mode, counters, figures, certificates } = this.#options;
    const isUpstreamReached = await this.#isReached();
    return this.#exposition.text({
      version: this.#version,
      ...{ mode, certificates },
      counters: counters(),
      collector: figures,
      nowMs: performance.now(),
      disk: await this.#readDisk(),
      restReasons: REST_REASONS,
      isUpstreamReached,
      areDropsHeld: isUpstreamReached && (await this.#dropProblem()) === null,
      isDraining: this.#options.isAway(),
    });
  }

  /** Null: not known. A file system that hangs has one call at a time. */
  async #readDisk(): Promise<Snapshot['disk']> {
    // A folder that can't be read is reported by the collector.
    this.#disk ??= readDisk(this.#options.dataFolder)
      .catch(() => null)
      .finally(() => {
        this.#disk = null;
      });
    return withinMs(WITHIN_MS, this.#disk);
  }

  async #isReached(): Promise<boolean> {
    const { answers, greets } = this.#options;
    if (await withinMs(POOL_WITHIN_MS, answers())) return true;
    return (await withinMs(WITHIN_MS - POOL_WITHIN_MS, greets())) ?? false;
  }

  async #dropProblem(): Promise<string | null> {
    const { mode, dropProblem } = this.#options;
    if (mode !== 'hold') return `UNDROP_MODE is ${mode}: nothing is held`;
    // Null of its own is an answer.
    const asked = dropProblem().then((problem) => ({ problem }));
    const late = { problem: `the ledger is not ready: no answer within ${WITHIN_MS / 1_000} s` };
    return ((await withinMs(WITHIN_MS, asked)) ?? late).problem;
  }
}

/** The file system of that folder. Rejects if it can't be read. */
async function readDisk(folder: string | null): Promise<Snapshot['disk']> {
  if (folder === null) return null;
  const { bavail, blocks, bsize } = await statfs(folder);
  return { used: 1 - bavail / Math.max(blocks, 1), freeBytes: bavail * bsize };
}
