/**
 * A server in memory, as far as a DROP TABLE touches it: tables, who may what with them, who has
 * them locked. It is the port of the statement, so that a test sees what is said and what is held
 * at the end, and not which statements led there.
 */

import { dropTable } from '../../src/drop/drop-table/drop-table.js';
import type * as steps from '../../src/drop/steps/world.js';
import { query } from '../../src/drop/steps/world.js';
import type { RelocateTable } from '../../src/held/relocate/blockers.js';
import type { Relocation } from '../../src/held/relocate/relocate.js';
import type { IntentTable } from '../../src/ledger/write.js';
import { parseHoldName, type QualifiedTable, recycleSchemaFor } from '../../src/names/names.js';
import type { ServerVersion } from '../../src/wire/connection/handshake-v10.js';
import type { Result } from '../../src/wire/response.js';
import { type Break, breakingPort, PortBroken } from './breaking-port.js';
import { idOf, requestOf } from './drop-request.js';
import * as made from './results.js';

export interface WorldTable {
  readonly kind: 'base' | 'view' | 'temporary';
  /** The user's rights; default: all. */
  readonly rights?: 'all' | 'drop alone' | 'none';
  /** A table outside the statement refers to it. */
  readonly isParent?: boolean;
  readonly hasTriggers?: boolean;
  /** Another session has it locked until its tries are over. */
  readonly isBusy?: boolean;
  /** LOCK TABLES of the session itself. */
  readonly lock?: 'write' | 'read';
  /** The service account doesn't see it. */
  readonly isHidden?: boolean;
  /** Another session drops it before the server is asked about it, or the RENAME. */
  readonly vanishes?: boolean;
}

export interface DropWorld {
  readonly server: string;
  readonly sql: string;
  readonly tables: Readonly<Record<string, WorldTable>>;
  /** What the server says of the text. */
  readonly syntaxError?: readonly [number, string, string];
  readonly isReadOnly?: boolean;
  readonly gtidNext?: string;
  readonly noIntents?: boolean;
  /** Of the RENAME by the service. */
  readonly service?: steps.ServiceRenameOutcome['kind'];
  readonly relocation?: Relocation['outcome'];
  /** A foreign key stays on what is renamed: it is put back for that, or can't be. */
  readonly keyLeft?: 'back' | 'held';
  /** Thread id and port are those of another server. */
  readonly isElsewhere?: boolean;
  /** What others have in use, at each look in turn; default: nothing. */
  readonly inUse?: readonly (readonly string[])[];
}

export interface End {
  readonly said: string;
  readonly held: readonly string[];
  readonly there: readonly string[];
  /** The session was told UNLOCK TABLES. */
  readonly leavesLocks?: true;
}

const KEY_LEFT = { todo: 'detach', text: 'its child c is locked', binds: 'passing' } as const;
const BUSY = { todo: 'relocate', text: 'busy' } as const;

export async function dropIn(world: DropWorld): Promise<End> {
  const request = requestOf(world);
  const memory = new Memory(world, request.server);
  const reply = await dropTable(memory, request);
  const said =
    reply.kind === 'again' ? `again: ${reply.because}` : made.describePayload(reply.payload);
  const held = reply.kind === 'again' ? [] : reply.held.map(({ id }) => memory.nameOf(id));
  return {
    said,
    held,
    there: [...memory.names.keys()].filter((name) => parseHoldName(name) === null),
    ...(memory.leavesLocks ? { leavesLocks: true } : {}),
  };
}

/** The names that are there if one call of the port breaks; null: it has fewer calls. */
export async function dropBroken(world: DropWorld, breakAt: Break) {
  const request = requestOf(world);
  const memory = new Memory(world, request.server);
  try {
    await dropTable(breakingPort(memory, breakAt), request);
    return null;
  } catch (error) {
    if (!(error instanceof PortBroken)) throw error;
    return memory.names;
  }
}

class Memory implements steps.World {
  readonly isBroken = false;
  readonly isUnruled = true;
  readonly names: Map<string, WorldTable>;
  readonly #world: DropWorld;
  readonly #server: ServerVersion;
  readonly #statement: readonly string[];
  #handles = 0;
  #looks = 0;
  leavesLocks = false;

  constructor(world: DropWorld, server: ServerVersion) {
    this.#world = world;
    this.#server = server;
    this.names = new Map(Object.entries(world.tables));
    this.#statement = requestOf(world).statement.names.map(({ table }) => `${Buffer.from(table)}`);
  }

  nameOf(id: string): string {
    return this.#statement.find((_name, index) => idOf(index) === id) ?? id;
  }

  async run(commands: readonly steps.UserCommand[]): Promise<readonly Result[]> {
    return commands.filter(({ kind }) => kind !== 'close').map((one) => this.#say(one));
  }

  async rename(text: Uint8Array): Promise<Result> {
    return this.#say(query(text));
  }

  async know(): Promise<void> {}

  async locks(): Promise<readonly QualifiedTable[]> {
    return this.#locks().filter(({ table }) => parseHoldName(table) === null);
  }

  async relocate(tables: readonly RelocateTable[], { logged }: { readonly logged: boolean }) {
    return tables.map(({ id, holdName }): Relocation => {
      const { relocation: outcome = 'moved', keyLeft } = this.#world;
      if (keyLeft === 'back') {
        this.#move(holdName, this.nameOf(id));
        return { id, outcome: 'put-back', why: KEY_LEFT.text };
      }
      if (outcome === 'failed') return { id, outcome, errno: 1205, pendingWork: BUSY };
      if (outcome === 'put-back') return { id, outcome };
      const pendingWork = keyLeft === 'held' ? KEY_LEFT : null;
      return { id, outcome, holdSchema: recycleSchemaFor(logged), holdName, pendingWork };
    });
  }

  recordTargets = made.never;
  keepLonger = made.never;
  mayRename = made.never;

  #locks() {
    return [...this.names].flatMap(([table, { lock }]) =>
      lock === undefined ? [] : [{ schema: 'shop', table }],
    );
  }

  async record<T>(_facts: steps.UserFacts, meanwhile: () => Promise<T>) {
    const recorded = async () => this.#recorded();
    return { done: await meanwhile(), isStuck: false, recorded };
  }

  #recorded(): steps.RecordedIntent {
    if (this.#world.noIntents === true) return made.unrecorded();
    const tables = this.#statement.map((table, index) => this.#seen(table, idOf(index)));
    const isMysql = this.#server.flavour === 'mysql' && this.#server.versionId >= 80_000;
    const { isElsewhere = false } = this.#world;
    const lockedTables = isMysql ? this.#locks() : null;
    return made.recordedIntent(tables, { isElsewhere, lockedTables });
  }

  #seen(table: string, id: string): IntentTable {
    const one = this.names.get(table);
    const isSeen = one !== undefined && one.kind !== 'temporary' && one.isHidden !== true;
    const kind = isSeen ? (one.kind === 'view' ? 'view' : 'base') : 'missing';
    const key = { schema: 'shop', table: 'child', name: 'fk' };
    return made.seenTable({
      ...{ id, table, kind, foreignKeysIn: one?.isParent === true ? [key] : [] },
      triggers: one?.hasTriggers === true ? ['tr'] : [],
      ...(kind === 'base' ? {} : { holdUntil: null }),
    });
  }

  async take({ tables }: steps.ServiceRename): Promise<steps.ServiceRenameOutcome> {
    const { service: kind = 'renamed' } = this.#world;
    if (kind === 'denied' || kind === 'failed') return { kind, cause: 'why' };
    if (kind !== 'renamed') return { kind };
    for (const { table, holdName } of tables) this.#move(table, holdName);
    return { kind };
  }

  #move(table: string, holdName: string): void {
    const one = this.names.get(table);
    if (one === undefined) throw new Error(`${table} is renamed and not there`);
    this.names.delete(table);
    this.names.set(holdName, one);
  }

  #say(command: steps.UserCommand): Result {
    if (command.kind === 'close') throw new Error('it has no answer');
    const text = Buffer.from(command.text).toString();
    const { syntaxError } = this.#world;
    if (command.kind === 'prepare') {
      const isOwn = text.startsWith('SELECT /* undrop own ');
      if (isOwn && this.names.get(nameIn(text))?.lock !== undefined) {
        return made.errResult(1100, 'HY000', 'not locked');
      }
      const isClients = text === this.#world.sql;
      return isClients && syntaxError !== undefined
        ? made.errResult(...syntaxError)
        : made.preparedResult(++this.#handles);
    }
    if (text.startsWith('SELECT /*+ MAX_EXECUTION_TIME(0) */ /* undrop facts')) {
      return made.factsResult(this.#world.gtidNext, 'OFF', '1');
    }
    if (text.startsWith('SHOW /* undrop kind */')) {
      const one = this.names.get(nameIn(text));
      return one === undefined ? missing(nameIn(text)) : made.kindResult(one.kind, nameIn(text));
    }
    if (text.includes('/* undrop wait-for-lock ')) return this.#asked(nameIn(text));
    if (/^(RENAME|ALTER) \/\* undrop (hold|probe) /.test(text)) return this.#rename(text);
    if (text.startsWith('SHOW /* undrop in-use */')) {
      const locked = this.#locks().filter(({ table }) => parseHoldName(table) === null);
      const others = this.#world.inUse?.[this.#looks++] ?? [];
      const used = [...locked.map(({ table }) => table), ...others];
      return made.rowsResult(['Database', 'Table'], ...used.map((table) => ['shop', table]));
    }
    if (text.startsWith('SIGNAL')) return made.signalled(text);
    if (/^DROP \/\* undrop (words|temporary) /.test(text)) return this.#dropTemporary(text);
    if (text.startsWith('UNLOCK ')) this.leavesLocks = true;
    if (/^(DO|SET|UNLOCK|COMMIT) /.test(text)) return made.okResult();
    throw new Error(`a statement that nobody expects: ${text}`);
  }

  /** What stands in the way of any DDL of the session. */
  #wrong(name: string, needed: 'drop' | 'rename'): Result | null {
    const one = this.names.get(name);
    const { rights = 'all', lock } = one ?? {};
    if (rights === 'none' || (rights === 'drop alone' && needed === 'rename')) {
      const denied = needed === 'drop' ? 'DROP' : 'DROP, ALTER';
      return made.errResult(
        1142,
        '42000',
        `${denied} command denied to user 'app' for table '${name}'`,
      );
    }
    if (this.#world.isReadOnly === true) return made.errResult(1290, 'HY000', 'read only');
    const isUnderLocks = [...this.names.values()].some((other) => other.lock !== undefined);
    if (isUnderLocks && lock === undefined) return made.errResult(1100, 'HY000', 'not locked');
    if (lock === 'read') return made.errResult(1099, 'HY000', 'locked with a READ lock');
    if (one === undefined) return missing(name);
    return one.isBusy === true ? made.errResult(1205, 'HY000', 'Lock wait timeout exceeded') : null;
  }

  #asked(name: string): Result {
    if (this.names.get(name)?.vanishes === true) this.names.delete(name);
    return this.#wrong(name, 'drop') ?? made.errResult(1505, 'HY000', 'not partitioned');
  }

  #rename(text: string): Result {
    const pairs = [...text.matchAll(/`shop`\.`([^`]+)` (?:RENAME )?TO (?:`shop`\.)?`([^`]+)`/g)];
    const isAlter = text.startsWith('ALTER');
    const takesLocks = this.#server.flavour === 'mysql' && this.#server.versionId >= 80_013;
    const isLocked = [...this.names.values()].some(({ lock }) => lock !== undefined);
    for (const [, name = ''] of pairs) {
      if (this.names.get(name)?.vanishes === true) this.names.delete(name);
      const wrong = this.#wrong(name, 'rename');
      if (wrong !== null) return wrong;
    }
    if (isLocked && !isAlter && !takesLocks)
      return made.errResult(1192, 'HY000', 'active locked tables');
    for (const [, name = '', holdName = ''] of pairs) this.#move(name, holdName);
    return made.okResult();
  }

  /** Nothing but temporary tables goes; the others are missing to it. */
  #dropTemporary(text: string): Result {
    const all = [...text.matchAll(/`shop`\.`([^`]+)`/g)].map(([, name = '']) => name);
    const gone = all.filter((name) => this.names.get(name)?.kind === 'temporary');
    for (const name of gone) this.names.delete(name);
    const others = all.filter((name) => !gone.includes(name)).map((name) => `shop.${name}`);
    if (others.length === 0) return made.okResult();
    if (text.includes('IF EXISTS')) return made.okResult(1);
    return made.errResult(1051, '42S02', `Unknown table '${others.join(',')}'`);
  }
}

function nameIn(text: string): string {
  return /(?:`shop`\.)?`([^`]+)`/.exec(text)?.[1] ?? '';
}

function missing(name: string): Result {
  return made.errResult(1146, '42S02', `Table 'shop.${name}' doesn't exist`);
}
