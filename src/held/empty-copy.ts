/**
 * An empty table that is as another one is: its columns, indexes, options, CHECKs and foreign keys.
 * It waits in a spare schema of ours, where the names of its keys are free, for the RENAME that
 * gives it the other one's name, by which names that the server made become those of the other one.
 *
 * Invariants: it has a hold name and no row in the ledger, so that one that is left over is
 * collected; what isn't printed like the other one is no ghost.
 */
import { assert } from '../assert.js';
import type { ForeignKey } from '../ledger/detached/detached.js';
import { isForeignKeyLine, ownDefinition } from '../ledger/detached/restore-script.js';
import { createSchema } from '../ledger/tables.js';
import { formatHoldName, twinIdOf } from '../names/hold-name.js';
import { spareSchemasFor } from '../names/recycle-schema.js';
import { findHoldTables, readRecycleSchemas } from '../service/hold-tables.js';
import { isServerError, type ServiceConnection, type ServicePool } from '../service/pool/pools.js';
import { runWithTimeout } from '../service/pool/statement-timeout.js';
import { readServerFacts, type ServerFacts } from '../service/server-facts.js';
import { ident, note, sql } from '../service/sql.js';
import {
  ER_BAD_DB_ERROR,
  ER_CANT_CREATE_TABLE,
  ER_DUP_KEY,
  ER_FK_DUP_NAME,
  ER_FK_FAIL_ADD_SYSTEM,
} from '../wire/server-errors.js';
import { addKeys, alter, dropKey, type KeyedTable } from './foreign-keys/add-keys.js';
import { isVersioned, readTable } from './foreign-keys/read-table.js';
import { withOriginalNames, withRepointedKeys } from './foreign-keys/repointed.js';
import { hasOthers } from './relocate/spare-schema.js';

export interface GhostRequest {
  /** The id of the table's drop. */
  readonly id: string;
  readonly source: { readonly schema: string; readonly table: string };
  /** The source's keys, if they were taken off it; null: as they are read. */
  readonly keys: readonly ForeignKey[] | null;
  /** sql_log_bin of the session. */
  readonly logged: boolean;
  /** The server's clock. */
  readonly utcNow: Date;
}

export interface GhostTable extends KeyedTable {
  readonly logged: boolean;
  /** What the source was when the ghost was made, but for its name and AUTO_INCREMENT. */
  readonly fingerprint: string;
  /** The source's keys. */
  readonly keysOfSource: readonly ForeignKey[];
  readonly keys: readonly string[];
}

/**
 * Missing: the name isn't there, is no table, or was altered meanwhile, and is looked at again. Or
 * why it can't have a ghost, as it follows "it".
 */
interface NoGhost {
  readonly none: 'missing' | 'versioned' | (string & {});
}

/** Where it isn't used it is collected after so long. */
const LEFT_MS = 3_600_000;
/** A foreign key of that name is in the schema. */
const KEY_NAME_TAKEN = [
  ER_FK_DUP_NAME,
  ER_FK_FAIL_ADD_SYSTEM,
  ER_CANT_CREATE_TABLE,
  ER_DUP_KEY,
] as const;

/** Rejects with the server's errors; `isKilled` where somebody has the table locked. */
export async function makeGhost(
  pool: ServicePool,
  request: GhostRequest,
): Promise<GhostTable | NoGhost> {
  const { source, logged, utcNow } = request;
  const id = twinIdOf(request.id);
  const server = await readServerFacts(pool);
  const look = await readTable(pool, { id, ...source });
  if (look === 'missing' || look === 'view') return { none: 'missing' };
  const shown = request.keys ?? look.keys;
  if (shown === null) return { none: 'has foreign keys that are not understood' };
  const keysOfSource = await withOriginalNames(pool, source, shown);
  // Which the server doesn't empty.
  if (isVersioned(look.definition)) return { none: 'versioned' };
  const due = new Date(utcNow.getTime() + LEFT_MS);
  const formatted = formatHoldName({ state: 'HOLD', id, due });
  const table = server.lowerCaseTableNames === 0 ? formatted : formatted.toLowerCase();
  const fingerprint = fingerprintOf(look.definition, source.table, keysOfSource, {
    source,
    server,
  });
  for (const schema of spareSchemasFor(logged)) {
    if (await hasOthers(pool, schema, id)) continue;
    const to = { id, schema, table };
    await createLike(pool, to, request);
    const keys = keysOfSource.map((key) => keyOfGhost(key, to, { source, server }));
    try {
      await addKeys(pool, to, keys, { logged, server });
    } catch (error) {
      if (!isServerError(error, ...KEY_NAME_TAKEN)) throw error;
      continue;
    }
    const made = await readTable(pool, to);
    assert(typeof made !== 'string', 'what was made a moment ago is there');
    const ghost = { ...to, logged, fingerprint, keysOfSource, keys: keys.map(({ name }) => name) };
    const found = await withOriginalNames(pool, to, made.keys ?? []);
    if (fingerprintOf(made.definition, table, found, { source: to, server }) === fingerprint)
      return ghost;
    await leaveGhost(pool, ghost);
    // Others may have altered it between the look and the copy.
    const now = await readFingerprint(pool, { id, ...source }, { off: request.keys });
    if (now?.fingerprint !== fingerprint) return { none: 'missing' };
    return { none: 'has a CHECK with a name, or a file of its own, which no copy of it gets' };
  }
  return { none: 'has foreign keys whose names are taken' };
}

export interface FingerprintOptions {
  /** Keys that were taken off it; default: as they are read. */
  readonly off?: readonly ForeignKey[] | null;
  /** The name that it had a moment ago, and the keys that it had before. */
  readonly was?: Parameters<typeof withRepointedKeys>[1] & { readonly keys: readonly ForeignKey[] };
}

/** The fingerprint of a table by any name; two are equal if the tables are alike. */
export async function readFingerprint(
  pool: ServiceConnection,
  table: KeyedTable,
  { off = null, was }: FingerprintOptions = {},
): Promise<{ readonly fingerprint: string; readonly keys: readonly ForeignKey[] } | null> {
  const server = await readServerFacts(pool);
  const look = await readTable(pool, table);
  if (typeof look === 'string') return null;
  const shown = off ?? look.keys;
  if (shown === null) return null;
  const now = await withOriginalNames(pool, table, shown);
  const keys =
    was === undefined
      ? now
      : await withRepointedKeys(pool, was, { held: table.table, now, before: was.keys });
  return {
    fingerprint: fingerprintOf(look.definition, table.table, keys, { source: table, server }),
    keys,
  };
}

/** It isn't needed: what binds others is taken off, and the collector has it. */
export async function leaveGhost(
  pool: ServicePool,
  ghost: KeyedTable & Pick<GhostTable, 'logged' | 'keys'>,
): Promise<void> {
  const { logged, keys } = ghost;
  try {
    await alter(pool, ghost, keys.map(dropKey), { logged });
  } catch (error) {
    if (!isServerError(error)) throw error;
  }
}

/**
 * The same for those of a TRUNCATE that broke off, whose RENAME can't happen any more: in each
 * schema in which it was tried there is one. `id`: of its drop.
 */
export async function leaveGhostsOf(
  pool: ServicePool,
  id: string,
  { logged }: { readonly logged: boolean },
): Promise<void> {
  const ghosts = await findHoldTables(pool, await readRecycleSchemas(pool), twinIdOf(id));
  for (const { schema, name } of ghosts) {
    const table = { id: twinIdOf(id), schema, table: name };
    const look = await readTable(pool, table);
    const found = typeof look === 'string' ? [] : (look.keys ?? []);
    const keys = found.map((key) => key.name);
    await leaveGhost(pool, { ...table, logged, keys });
  }
}

async function createLike(
  pool: ServicePool,
  { id, schema, table }: KeyedTable,
  { source, logged }: GhostRequest,
): Promise<void> {
  const create = sql`CREATE TABLE ${note('ghost', id)} ${ident(schema, table)}
    LIKE ${ident(source.schema, source.table)}`;
  try {
    await runWithTimeout(pool, create, { logged });
  } catch (error) {
    if (!isServerError(error, ER_BAD_DB_ERROR)) throw error;
    await createSchema(pool, schema);
    await runWithTimeout(pool, create, { logged });
  }
}

interface Place {
  readonly source: { readonly schema: string; readonly table: string };
  readonly server: Pick<ServerFacts, 'lowerCaseTableNames'>;
}

/** The same key of the ghost: what leads to the table itself leads to the ghost. */
function keyOfGhost(key: ForeignKey, to: KeyedTable, place: Place): ForeignKey {
  const own = generatedPrefix(place.source.table);
  // Where names are folded the server made it of the folded one.
  const isMade = folded(key.name, place).startsWith(folded(own, place));
  const name = isMade ? generatedPrefix(to.table) + key.name.slice(own.length) : key.name;
  if (!referencesItself(key, place)) return { ...key, name };
  return { ...key, name, parentSchema: to.schema, parentTable: to.table };
}

/** What the server names so it names anew where the table gets another name. */
function generatedPrefix(table: string): string {
  return `${table}_ibfk_`;
}

function referencesItself(key: ForeignKey, place: Place): boolean {
  const { schema, table } = place.source;
  return (
    folded(key.parentSchema, place) === folded(schema, place) &&
    folded(key.parentTable, place) === folded(table, place)
  );
}

function folded(name: string, { server }: Place): string {
  return server.lowerCaseTableNames === 0 ? name : name.toLowerCase();
}

function fingerprintOf(
  definition: string,
  table: string,
  keys: readonly ForeignKey[],
  place: Place,
): string {
  const itself = { id: '', schema: '', table: 'ghost' };
  const lines = ownDefinition(definition, table, itself.table)
    .split('\n')
    .filter((line) => !isForeignKeyLine(line))
    .map((line) => lineOfGhost(line.replace(/,$/, ''), table));
  const like = keys.map((key) => JSON.stringify(keyOfGhost(key, itself, place)));
  // CREATE TABLE … LIKE puts those that foreign keys have made in another order.
  const indexes = lines.filter(isPlainIndex);
  const others = lines.filter((line) => !isPlainIndex(line));
  return [...others, ...indexes.sort(), ...like.sort()].join('\n');
}

function isPlainIndex(line: string): boolean {
  return line.startsWith('  KEY ');
}

/** Without the counter; a CHECK that the server named has the table's name in its own. */
function lineOfGhost(line: string, table: string): string {
  if (line.startsWith(') ')) return line.replace(/ AUTO_INCREMENT=\d+/, '');
  const check = `  CONSTRAINT \`${table.replaceAll('`', '``')}_chk_`.toLowerCase();
  if (!line.toLowerCase().startsWith(check)) return line;
  return `  CONSTRAINT \`ghost_chk_${line.slice(check.length)}`;
}
