/**
 * A schema in memory, as far as a DROP DATABASE touches it: its tables, who has them locked, what
 * other sessions do meanwhile. It has the ports of the statement, so that a test sees what is said,
 * what is held at the end and what is there, and not which statements led there.
 */

import { dropDatabase } from '../../src/drop/drop-database/drop-database.js';
import { sortListed } from '../../src/drop/drop-database/read-schema.js';
import type { SchemaDropRequest } from '../../src/drop/drop-database/schema-drop.js';
import type * as ports from '../../src/drop/drop-database/schema-port.js';
import type * as steps from '../../src/drop/steps/world.js';
import { UndropError } from '../../src/errors.js';
import type { RelocateTable } from '../../src/held/relocate/blockers.js';
import type { Relocation } from '../../src/held/relocate/relocate.js';
import { barrierTableName, type QualifiedTable } from '../../src/names/names.js';
import type { Result } from '../../src/wire/response.js';
import { requestOf } from './drop-request.js';
import * as made from './results.js';

export interface SchemaTable {
  /** A table of another schema refers to it. */
  readonly isParent?: boolean;
  /** So many tries of the service find it locked by others. */
  readonly busy?: number;
  /** Another session drops it before its RENAME. */
  readonly vanishes?: boolean;
  /** It can't be moved out of the schema. */
  readonly isStuck?: boolean;
}

export interface SchemaWorld {
  readonly server: string;
  /** Default: there is no such schema. */
  readonly tables?: Readonly<Record<string, SchemaTable>>;
  readonly ifExists?: boolean;
  /** What the session says when it is asked whether it may drop the schema. */
  readonly right?: readonly [number, string, string];
  readonly gtidNext?: string;
  /** What the service answers to the RENAME; default: it is done. */
  readonly service?: 'denied' | 'failed';
  /** So often the queue has others before this one. */
  readonly queue?: number;
  readonly isElsewhere?: boolean;
  /** Names that others make, the first of them before the first try of the DROP, and so on. */
  readonly comes?: readonly string[];
  /** An error of the DROP itself, when nothing else is in the schema. */
  readonly ends?: readonly [number, string, string];
  /** The service is away when this is called. */
  readonly fails?: keyof ports.SchemaPort | keyof steps.World;
  /** The session breaks when this is called. */
  readonly breaks?: keyof ports.SchemaPort | keyof steps.World;
  /** Not everything can be put back at once. */
  readonly hasLocked?: boolean;
}

export interface SchemaEnd {
  readonly said: string;
  readonly held: readonly string[];
  /** Null: the schema is gone. */
  readonly there: readonly string[] | null;
}

const LOCKED = { todo: 'relocate', text: 'it is locked' } as const;
const SCHEMA = 'shop';
const AWAY = 'UNDROP_SERVICE_FAILED';
const BROKEN = new Error('nothing: the session broke');

export async function dropSchemaIn(world: SchemaWorld): Promise<SchemaEnd> {
  const request = schemaRequest(world);
  const memory = new Memory(world, request);
  const said = await dropDatabase(memory.ports, memory.schemaPort, request).then(
    ({ payload }) => made.describePayload(payload),
    (error: unknown) => {
      if (error === BROKEN) return BROKEN.message;
      throw error;
    },
  );
  return { said, held: [...memory.held.values()], there: memory.there };
}

function schemaRequest({ server, ifExists = false, gtidNext }: SchemaWorld): SchemaDropRequest {
  const { statement, ...common } = requestOf({ server, sql: 'DROP TABLE t' });
  const facts = { logged: true, checksForeignKeys: true, charset: 'utf8mb4', user: 'u' };
  return {
    ...{ ...common, statement: { ...statement, names: [] }, ids: [], ifExists },
    text: Buffer.from(`DROP DATABASE ${SCHEMA}`),
    schema: Buffer.from(SCHEMA),
    name: SCHEMA,
    facts: { ...facts, gtidNext: gtidNext ?? null } as steps.UserFacts,
  };
}

const OWNER = {} as ports.GroupOwner;
const ROW = { schema: SCHEMA } as ports.SchemaRow;

class Memory implements steps.World {
  isBroken = false;
  readonly isUnruled = true;
  /** Hold names, and whose they are. */
  readonly held = new Map<string, string>();
  readonly #world: SchemaWorld;
  readonly #live: Map<string, SchemaTable> | null;
  readonly #ids = new Map<string, string>();
  readonly #barrierTable: string;
  readonly #coming: string[];
  readonly #busy = new Map<string, number>();
  #isGone = false;
  #hasBarrier = false;
  #isOwner = false;
  #isBarred = false;
  #queue: number;

  constructor(world: SchemaWorld, { dropId }: SchemaDropRequest) {
    this.#world = world;
    this.#live = world.tables === undefined ? null : new Map(Object.entries(world.tables));
    this.#barrierTable = barrierTableName({ dropId, logged: true });
    this.#coming = [...(world.comes ?? [])];
    this.#queue = world.queue ?? 0;
    for (const [name, { busy = 0 }] of this.#live ?? []) this.#busy.set(name, busy);
  }

  get there(): readonly string[] | null {
    return this.#live === null || this.#isGone ? null : [...this.#live.keys()];
  }

  async run(commands: readonly steps.UserCommand[]): Promise<readonly Result[]> {
    return commands.map((one) => this.say(one));
  }

  /** The ports, with what breaks in this world. */
  get ports(): steps.World {
    return this.#breaking<steps.World>(this);
  }

  get schemaPort(): ports.SchemaPort {
    return this.#breaking(this.#whole);
  }

  #breaking<P extends object>(port: P): P {
    const { breaks, fails } = this.#world;
    return new Proxy(port, {
      get: (target, name) => {
        if (name === breaks) {
          return () => {
            this.isBroken = true;
            return Promise.reject(BROKEN);
          };
        }
        const params = { step: String(name), server: 'the server', cause: 'it is away' };
        if (name === fails) return () => Promise.reject(new UndropError(AWAY, params));
        const member: unknown = Reflect.get(target, name, target);
        return typeof member === 'function' ? member.bind(target) : member;
      },
    });
  }

  /** What the session answers to a statement of undrop's. */
  say({
    kind,
    text,
  }: Extract<steps.UserCommand, { text: Uint8Array }> | (steps.UserCommand & { text?: never })) {
    if (kind === 'close' || text === undefined) throw new Error('nothing is prepared');
    const sql = Buffer.from(text).toString();
    const isThere = this.there !== null;
    if (sql.includes('undrop facts')) return made.rowsResult(['', '', ''], ['50', 'u@h', '1']);
    if (sql.startsWith('SHOW')) {
      return isThere
        ? made.rowsResult([''], [''])
        : made.errResult(1049, '42000', 'no such schema');
    }
    if (sql.includes('undrop rights')) {
      return made.errResult(...(this.#world.right ?? [1051, '42S02', 'no such view']));
    }
    if (sql.startsWith("SIGNAL SQLSTATE '01000'")) return made.okResult(1);
    if (sql.startsWith('SIGNAL')) return made.signalled(sql);
    if (sql.includes('undrop wait-for-lock')) return this.#turn(sql);
    if (sql.includes('undrop queue')) return made.rowsResult(['']);
    return made.okResult();
  }

  #turn(sql: string): Result {
    const [, name = ''] = /`\.`(.*?)` TRUNCATE/.exec(sql) ?? [];
    const isThere = name === this.#barrierTable ? this.#hasBarrier : this.#live?.has(name) === true;
    if (isThere) return made.errResult(1505, 'HY000', 'it has no partitions');
    return made.errResult(1146, '42S02', `Table '${SCHEMA}.${name}' doesn't exist`);
  }

  readonly #whole: ports.SchemaPort = {
    pause: async () => undefined,
    tryBegin: () => this.#queue-- <= 0,
    endTurn: () => undefined,
    findSchema: async (name) => (this.there === null ? null : name),
    asOwner: (work) => {
      this.#isOwner = true;
      return work(OWNER);
    },
    seesSession: async () => this.#isOwner && this.#world.isElsewhere !== true,
    find: async () => this.#find(),
    recordSchema: async () => (this.there === null ? null : ROW),
    blockersOf: async (tables) => tables.map(() => null),
    makeTable: async () => {
      this.#hasBarrier = true;
      return null;
    },
    freed: async (tables) =>
      tables.map(({ id, fromSchema: holdSchema, holdName }) => {
        return { id, outcome: 'moved', holdSchema, holdName };
      }),
    settle: async () => true,
    finish: async () => undefined,
    leave: async () => undefined,
    closeBarrier: async () => {
      this.#isBarred = true;
      return { isIntact: true, seenAtMs: 0, open: async () => undefined, leave: () => undefined };
    },
    drop: async () => {
      const [came, next] = [this.#coming.shift(), this.#find()];
      if (came !== undefined) this.#live?.set(came, {});
      if (!this.#isBarred || next.hasOwn !== true) throw new Error('nothing holds the DROP up');
      if (came !== undefined || next.tables.length > 0) return { kind: 'again' };
      const { ends } = this.#world;
      if (ends !== undefined) return { kind: 'failed', error: made.errResult(...ends) };
      this.#isGone = true;
      return { kind: 'dropped', ok: made.okResult() };
    },
    renameBack: async () => {
      if (this.#world.hasLocked === true) return 'other sessions have locked some of its tables';
      for (const [holdName, name] of this.held) {
        this.held.delete(holdName);
        this.#live?.set(name, {});
      }
      return null;
    },
    triggersToMake: async () => [],
  };

  async recordTargets(
    _facts: steps.UserFacts,
    targets: readonly QualifiedTable[],
  ): Promise<steps.RecordedIntent> {
    return this.#record(targets.map(({ table }) => table));
  }

  async relocate(tables: readonly RelocateTable[]): Promise<readonly Relocation[]> {
    return tables.map((table) => this.#relocate(table));
  }

  rename = made.never;
  know = made.never;
  record = made.never;
  locks = made.never;
  keepLonger = made.never;
  mayRename = made.never;

  #find() {
    const barrier = this.#hasBarrier ? [this.#barrierTable] : [];
    const names = [...(this.#live?.keys() ?? []), ...barrier];
    const listed = names.map((name) => ({ name, type: 'BASE TABLE' }));
    const dropId = this.#barrierTable.slice('!undrop_'.length, -'_logged'.length);
    return sortListed(listed, dropId, new Set(this.#ids.keys()));
  }

  #record(names: readonly string[]): steps.RecordedIntent {
    const tables = names.map((table) => {
      const id = `0195a1b2c3d0700080000000${String(this.#ids.size).padStart(8, '0')}`;
      this.#ids.set(id, table);
      const isParent = this.#live?.get(table)?.isParent === true;
      const kid = { name: 'fk', schema: 'other', table: 'kid' };
      return made.seenTable({ id, table, foreignKeysIn: isParent ? [kid] : [] });
    });
    return made.recordedIntent(tables);
  }

  async take({ tables }: steps.ServiceRename): Promise<steps.ServiceRenameOutcome> {
    const { service } = this.#world;
    if (service !== undefined) return { kind: service, cause: 'the server says so' };
    const names = tables.map(({ table }) => table);
    const busy = names.filter((name) => (this.#busy.get(name) ?? 0) > 0);
    for (const name of busy) this.#busy.set(name, (this.#busy.get(name) ?? 0) - 1);
    if (busy.length > 0) return { kind: 'busy' };
    const gone = names.filter((name) => this.#live?.get(name)?.vanishes === true);
    for (const name of gone) this.#live?.delete(name);
    if (gone.length > 0) return { kind: 'gone' };
    const leaving = tables.filter(({ holdSchema }) => holdSchema === '_undrop');
    if (leaving.some(({ table }) => this.#live?.get(table)?.isStuck === true)) {
      return { kind: 'failed', cause: 'its CHECK is there', errno: 3822 };
    }
    for (const { table, holdName } of leaving) {
      this.#live?.delete(table);
      this.held.set(holdName, table);
    }
    return { kind: 'renamed' };
  }

  #relocate({ id, table, holdName }: RelocateTable): Relocation {
    if (this.#live?.get(table)?.isStuck === true) {
      return { id, outcome: 'failed', errno: 1205, pendingWork: LOCKED };
    }
    this.#live?.delete(table);
    this.held.set(holdName, table);
    return { id, outcome: 'moved', holdSchema: '_undrop', holdName };
  }
}
