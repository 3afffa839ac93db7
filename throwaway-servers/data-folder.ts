/**
 * Initialised data folders: created once for an installation, copied for each start.
 *
 * Invariant: a template was filled by a server that started, answered and was shut down in order,
 * so a copy of it starts without recovery.
 */
import { constants } from 'node:fs';
import { cp, mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Connection, RowDataPacket } from 'mysql2/promise';
import { type Installation, serverCommand } from './installation.js';
import { launch } from './launch.js';
import { runCommand } from './run-command.js';

/** Fills `folder`/data: system tables, and root with an empty password from anywhere. */
export async function makeDataFolder(
  installation: Installation,
  folder: string,
  signal?: AbortSignal,
): Promise<void> {
  await mkdir(join(folder, 'data'));
  await initialise(installation, folder, signal);
  const server = await launch(installation, {
    folder,
    keepFolder: true,
    connectOver: 'socket',
    signal,
    extraOptions: ['--skip-log-bin'],
  });
  try {
    const connection = await server.connect();
    // A server that shuts down may wait for its clients, so the connection is closed in any case.
    await openToEverybody(connection).finally(() => connection.destroy());
  } finally {
    await server.stop();
  }
  // Files that each copy must create itself: the server's UUID, its log, its temporary files.
  for (const name of ['data/auto.cnf', 'server.log', 'tmp']) {
    await rm(join(folder, name), { recursive: true, force: true });
  }
}

/** Copies the data folder of a template; shares the blocks if the file system can. */
export async function copyDataFolder(template: string, folder: string): Promise<void> {
  await cp(join(template, 'data'), join(folder, 'data'), {
    recursive: true,
    mode: constants.COPYFILE_FICLONE,
  });
}

async function initialise(
  installation: Installation,
  folder: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const data = join(folder, 'data');
  const common = [...serverCommand(installation), `--datadir=${data}`];
  const { env } = installation;
  if (installation.initialise.by === 'initialize-insecure') {
    await runCommand([...common, '--initialize-insecure'], { env, signal });
    return;
  }
  await mkdir(join(data, 'mysql'));
  await mkdir(join(data, 'test'));
  const files = installation.initialise.files.map((file) => readFile(file, 'utf8'));
  // The second line is for MariaDB, whose root could otherwise log in only through the socket.
  const head = 'use mysql;\nSET @auth_root_socket=NULL;\n';
  const input = head + (await Promise.all(files)).join('\n');
  await runCommand([...common, '--bootstrap', `--tmpdir=${folder}`], { env, input, signal });
}

async function openToEverybody(connection: Connection): Promise<void> {
  // Anonymous accounts of an old bootstrap would win over a test's own 'user'@'%'.
  const [rows] = await connection.query<RowDataPacket[]>(
    "SELECT user AS user, host AS host FROM mysql.user WHERE user = '' AND host <> '' OR user = 'root' AND host <> 'localhost'",
  );
  for (const { user, host } of rows) await connection.query('DROP USER ?@?', [user, host]);
  for (const host of ['127.0.0.1', '%']) {
    await connection.query("CREATE USER root@? IDENTIFIED BY ''", [host]);
    await connection.query('GRANT ALL PRIVILEGES ON *.* TO root@? WITH GRANT OPTION', [host]);
  }
  await connection.query("DELETE FROM mysql.db WHERE user = ''");
  await connection.query('DROP DATABASE IF EXISTS test');
  await connection.query('FLUSH PRIVILEGES');
}
