/**
 * The listening sockets of a service: they are bound once and kept open, and its processes listen
 * on them, those of two generations at once while one takes over from the other. A client that
 * connects at any moment is accepted by one of them. Node has no documented way to bind a socket
 * without accepting, and none to listen on a bound unix socket: its `cluster` is made of the
 * functions that are used here (docs/inside/decisions/processes.md).
 */

import { lookup } from 'node:dns/promises';
import { once } from 'node:events';
import { chmodSync } from 'node:fs';
import net from 'node:net';
import { getSystemErrorMap } from 'node:util';
import { describeAddress, type ServerAddress } from '../connections/server-address.js';
import { assert, UndropError } from '../errors.js';
import { removeStaleSocket } from './listen-addresses.js';

/** A handle of libuv, which can be sent to another process. */
export interface SocketHandle {
  close(): void;
  /** Only of TCP. */
  getsockname?(into: { address?: string; port?: number }): number;
}

export type Purpose = 'listen' | 'admin';

export interface WantedSocket {
  readonly purpose: Purpose;
  readonly address: ServerAddress;
}

/** Its address is the bound one: port 0 is the port that was given. */
export interface BoundSocket extends WantedSocket {
  readonly handle: SocketHandle;
}

interface NetInternals {
  _createServerHandle(host: string, port: number, family: number): SocketHandle | number;
}

interface ServerInternals {
  _handle: SocketHandle;
  _listen2(host: null, port: number, family: number, backlog: number): void;
}

/** In place of a port and of a family: a unix socket. */
const PIPE = -1;
/** Node's default. */
const BACKLOG = 511;
/** The files of unix sockets for clients: the account of undrop and its group may connect. */
const UNIX_MODE = 0o660;

/** Listens on a bound socket; rejects if another process does, in spite of its binding. */
export async function listenOn(server: net.Server, { handle, address }: BoundSocket) {
  const listening = once(server, 'listening');
  const internals = server as unknown as ServerInternals;
  internals._handle = handle;
  internals._listen2(null, PIPE, PIPE, BACKLOG);
  try {
    await listening;
  } catch (error) {
    const { message: cause } = error as Error;
    throw new UndropError('UNDROP_LISTEN', { address: describeAddress(address), cause }, error);
  }
}

export class BoundSockets {
  /** By what was asked for. */
  readonly #sockets = new Map<string, BoundSocket>();

  /**
   * Binds what isn't bound yet. Rejects with UNDROP_LISTEN or UNDROP_ADMIN_LISTEN, and nothing has
   * changed. Sockets that are no longer wanted stay until `keepOnly`.
   */
  async bind(wanted: readonly WantedSocket[]): Promise<readonly BoundSocket[]> {
    const fresh = new Map<string, BoundSocket>();
    const all: BoundSocket[] = [];
    try {
      for (const one of wanted) {
        const key = `${one.purpose} ${describeAddress(one.address)}`;
        const known = this.#sockets.get(key);
        const bound = known ?? (await bindOne(one));
        if (known === undefined) fresh.set(key, bound);
        all.push(bound);
      }
    } catch (error) {
      for (const { handle } of fresh.values()) handle.close();
      throw error;
    }
    for (const [key, bound] of fresh) this.#sockets.set(key, bound);
    return all;
  }

  /** Closes the sockets for clients; `isTcp`: those that have no file. */
  closeForClients({ isTcp }: { readonly isTcp: boolean }): void {
    const isOver = ({ purpose, address }: BoundSocket) =>
      purpose === 'listen' && (!isTcp || 'port' in address);
    this.keepOnly([...this.#sockets.values()].filter((bound) => !isOver(bound)));
  }

  /** Closes the others: nobody listens there, once the processes have closed theirs. */
  keepOnly(kept: readonly BoundSocket[]): void {
    for (const [key, bound] of this.#sockets) {
      if (kept.includes(bound)) continue;
      bound.handle.close();
      this.#sockets.delete(key);
    }
  }
}

async function bindOne(wanted: WantedSocket): Promise<BoundSocket> {
  const { address, purpose } = wanted;
  try {
    if ('socketPath' in address) return await bindUnix(wanted, address.socketPath);
    const { address: host, family } = await lookup(address.host);
    const handle = createHandle(host, address.port, family);
    return { ...wanted, address: nameOf(handle), handle };
  } catch (error) {
    const code = purpose === 'listen' ? 'UNDROP_LISTEN' : 'UNDROP_ADMIN_LISTEN';
    const { message: cause } = error as Error;
    throw new UndropError(code, { address: describeAddress(address), cause }, error);
  }
}

async function bindUnix(wanted: WantedSocket, socketPath: string): Promise<BoundSocket> {
  await removeStaleSocket(socketPath);
  const handle = createHandle(socketPath, PIPE, PIPE);
  if (wanted.purpose === 'listen') chmodSync(socketPath, UNIX_MODE);
  return { ...wanted, handle };
}

function createHandle(host: string, port: number, family: number): SocketHandle {
  const handle = (net as unknown as NetInternals)._createServerHandle(host, port, family);
  if (typeof handle === 'number') throw systemError(handle, host, port);
  return handle;
}

/** An address that is in use is reported here, not when it is bound. */
function nameOf(handle: SocketHandle): ServerAddress {
  const name: { address?: string; port?: number } = {};
  const status = handle.getsockname?.(name) ?? 0;
  if (status !== 0) {
    handle.close();
    throw systemError(status);
  }
  const { address: host, port } = name;
  assert(host !== undefined && port !== undefined, 'a bound socket has a name');
  return { host, port };
}

/** In the words of Node. */
function systemError(status: number, host = '', port = PIPE): Error {
  const [name, what] = getSystemErrorMap().get(status) ?? ['UNKNOWN', `error ${status}`];
  const where = port === PIPE ? host : `${host}:${port}`;
  return Object.assign(new Error(`listen ${name}: ${what} ${where}`.trimEnd()), { code: name });
}
