/**
 * Held tables that can't be renamed: one of which the engine has nothing left, as a killed server
 * may leave it, is dropped when it is due; what has rows, or may have, is left, and is in the log
 * once.
 */
import { copyFile, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import {
  beforeEachStep,
  type Collecting,
  type Held,
  holdTable,
  serverTime,
  startCollecting,
  whereIs,
} from '../lifecycle/collecting.js';
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { query } from '../support/servers.js';

onServers('tables that the server has lost, on $name', (server, on) => {
  const { beforeAll } = on;
  let folder = '';

  const _proxy = on.proxy();
  beforeAll(async () => {
    const [row] = await query<{ datadir: string }>(server, 'SELECT @@datadir AS datadir');
    folder = join(row?.datadir ?? '', '_undrop');
  });

  const linesOf = ({ said }: Collecting, { id }: Held) =>
    said.filter(
      ({ fields, message }) => fields['id'] === id && message.startsWith('left a held table'),
    );

  // MySQL 8.0 and later have one dictionary, in the engine.
  if (server.name !== 'mysql-9.7') {
    test('a table that its engine has lost is dropped when it is due', async () => {
      const like = await holdTable(server, { dueInSeconds: 3_600 });
      const id = like.id.replace(/.{4}$/, 'abcd');
      const due = (await serverTime(server, -5)).toISOString().replace(/\.\d+|\D/g, '');
      const name = `_vt_HOLD_${id}_${due}`;
      await query(server, 'FLUSH TABLES');
      await copyFile(join(folder, `${like.name}.frm`), join(folder, `${name}.frm`));
      expect(await whereIs(server, id)).toEqual([`_undrop.${name}`]);
      const collecting = startCollecting(server);
      await until(async () => (await whereIs(server, id)).length === 0, 'it is dropped');
      await until(
        () => collecting.said.some(({ fields }) => fields['event'] === 'removal'),
        'said',
      );
      await collecting.stop();
      expect(linesOf(collecting, { ...like, id })).toEqual([]);
      expect(await whereIs(server, like.id)).toHaveLength(1);
      await query(server, `DROP TABLE ${like.quoted}`);
    });
  }

  test('a table of which a file is missing is left, and is in the log once', async () => {
    const definition = '(id INT PRIMARY KEY, note VARCHAR(40)) ENGINE=MyISAM';
    const held = await holdTable(server, { definition, dueInSeconds: 3 });
    await query(server, 'FLUSH TABLES');
    await unlink(join(folder, `${held.name}.MYI`));
    let tries = 0;
    const collecting = startCollecting(server, { lifecycle: ['HOLD', 'DROP'] }, (pool) =>
      beforeEachStep(pool, async (quoted) => {
        if (quoted.includes(held.name)) tries++;
      }),
    );
    await until(() => tries > 3, 'it was tried again');
    await collecting.stop();
    expect(linesOf(collecting, held)).toHaveLength(1);
    expect(await whereIs(server, held.id)).toHaveLength(1);
    await query(server, `DROP TABLE IF EXISTS ${held.quoted}`);
  });
});
