/**
 * The unix socket on which a running service takes `undrop reload` from its own OS account and from
 * root. The command and its outcome are a line of JSON each.
 *
 * Invariant: a service runs without it as well, as where no folder is writable.
 */
import { once } from 'node:events';
import { chmodSync, lstatSync, statSync } from 'node:fs';
import net from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import type { ServerAddress } from '../../connections/server-address.js';
import { UndropError } from '../../errors.js';
import type { Log } from '../../log.js';
import { removeStaleSocket } from '../../session/listen-addresses.js';

/** Only its owner may connect. */
const MODE = 0o600;
const COMMAND_BYTES_MAX = 4_096;

interface ReloadCommand {
  /** The oldest processes end their sessions if there are too many. */
  readonly force: boolean;
}

export interface Outcome {
  readonly isDone: boolean;
  /** The outcome follows, as soon as what `text` says is over. */
  readonly isWaiting?: boolean;
  readonly text: string;
}

type Reload = (options: ReloadCommand & { onWait(text: string): void }) => Promise<Outcome>;

/**
 * The path of the socket, by account and first address, in `folder` if it is given. Null: there is
 * none, as the running service alone knows its ports.
 */
export function commandSocketOf(
  listen: readonly ServerAddress[],
  folder = process.env['RUNTIME_DIRECTORY'],
): string | null {
  const first = listen.find((address) => !('port' in address && address.port === 0));
  if (first === undefined) return null;
  const { uid } = userInfo();
  const name = 'port' in first ? String(first.port) : first.socketPath.replaceAll('/', '_');
  return folder === undefined
    ? join(tmpdir(), `undrop-${uid}-${name}.sock`)
    : join(folder, `${name}.sock`);
}

/** Takes commands until it is closed. Null if it can't be opened, which the log says. */
export async function openCommandSocket(
  path: string,
  reload: Reload,
  log: Log,
): Promise<net.Server | null> {
  const server = net.createServer((socket) => serve(socket, reload));
  try {
    await removeStaleSocket(path);
    const listening = once(server, 'listening');
    // Between its creation and the chmod no other account can connect.
    const before = process.umask(0o777 & ~MODE);
    server.listen(path);
    process.umask(before);
    await listening;
    chmodSync(path, MODE);
    return server;
  } catch (error) {
    const fields = { event: 'control-socket', path, err: error };
    log.warn(fields, 'cannot open the socket for commands: no undrop reload, only SIGHUP');
    return null;
  }
}

function serve(socket: net.Socket, reload: Reload): void {
  socket.on('error', () => socket.destroy());
  let text = '';
  socket.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
    if (text.length > COMMAND_BYTES_MAX) socket.destroy();
    if (!text.includes('\n')) return;
    socket.pause();
    const say = (outcome: Outcome) => socket.write(`${JSON.stringify(outcome)}\n`);
    const onWait = (what: string) => say({ isDone: false, isWaiting: true, text: what });
    answer(text, reload, onWait)
      .then(say)
      .then(() => socket.end())
      .catch(() => socket.destroy());
  });
}

async function answer(
  text: string,
  reload: Reload,
  onWait: (text: string) => void,
): Promise<Outcome> {
  try {
    const { force } = JSON.parse(text) as ReloadCommand;
    return await reload({ force, onWait });
  } catch (error) {
    return { isDone: false, text: error instanceof Error ? error.message : String(error) };
  }
}

/** Rejects with UNDROP_NOT_RUNNING if no service of this account listens there. */
export async function sendCommand(
  path: string,
  command: ReloadCommand,
  onWait: (text: string) => void,
): Promise<Outcome> {
  assertOwn(path);
  const socket = net.connect(path);
  try {
    await once(socket, 'connect');
    socket.write(`${JSON.stringify(command)}\n`);
    for await (const line of createInterface({ input: socket })) {
      const outcome = JSON.parse(line) as Outcome;
      if (outcome.isWaiting !== true) return outcome;
      onWait(outcome.text);
    }
    throw new Error('it ended before it answered');
  } catch (error) {
    const { message: cause } = error as Error;
    throw new UndropError('UNDROP_NOT_RUNNING', { path, cause }, error);
  } finally {
    socket.destroy();
  }
}

/** Another account could have put a socket of its own into a folder that all may write to. */
function assertOwn(path: string): void {
  const found = lstatSync(path, { throwIfNoEntry: false });
  const { uid } = userInfo();
  const cause =
    found === undefined
      ? 'there is no such file'
      : !found.isSocket()
        ? 'it is not a socket'
        : found.uid !== uid && (uid !== 0 || isOpenToAll(dirname(path)))
          ? 'it belongs to another account'
          : null;
  if (cause !== null) throw new UndropError('UNDROP_NOT_RUNNING', { path, cause });
}

function isOpenToAll(folder: string): boolean {
  return (statSync(folder).mode & 0o002) !== 0;
}
