/**
 * Files of removed tables on real servers: each is given back in steps, also where the proxy ended
 * in between; and never one that a table still has. It calls `FileSteps` for what lies between a
 * second name and the DROP.
 */
import { link, mkdir, readdir, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { systemClock } from '../../src/clock.js';
import { FileSteps } from '../../src/collector/file-steps.js';
import { silentLog } from '../../src/log.js';
import type { Collecting, CollectSettings } from '../collector/collecting.js';
import * as collector from '../collector/collecting.js';
import { freshLedger } from '../support/fresh-ledger.js';
import { onServersAtOnce } from '../support/on-servers.js';
import { freshSchema, query } from '../support/servers.js';

const STEP_BYTES = 64 * 1_024;
const NONE = { bytesMax: null, tablesMax: null, minHoldMs: 0, freeBytesMin: null };

onServersAtOnce('files on $name', (server, on) => {
  const { beforeEach, test } = on;
  const { dataDir } = server;
  if (dataDir === null) throw new Error('The test needs the data folder of its server.');
  const folder = join(dataDir, '_undrop');
  beforeEach(() => freshLedger(server));
  const own = { fileStepBytes: STEP_BYTES, limits: { ...NONE, dataFolder: dataDir } };
  const start = (settings: CollectSettings = {}) =>
    on.each.keep(collector.startCollecting(server, { ...settings, ...own }));
  const kept = async () => (await readdir(folder)).filter((file) => file.endsWith('.undrop'));
  const givenBack = ({ said }: Collecting) =>
    said.filter(({ message }) => message === 'freed the file of a removed table').length;

  const fileSteps = (log = silentLog) =>
    new FileSteps({
      settings: { ...collector.fastSettings, ...own },
      clock: systemClock,
      monotonicMs: () => performance.now(),
      log,
      signal: new AbortController().signal,
    });

  test('a DROP that failed is tried again: the second names are there', async () => {
    const definition =
      '(id INT PRIMARY KEY, note VARCHAR(40)) ENGINE=InnoDB PARTITION BY HASH (id) PARTITIONS 2';
    const held = await collector.holdTable(server, { definition, state: 'DROP', rows: 6_000 });
    const warnings: string[] = [];
    const warn = (_fields: object, message: string) => warnings.push(message);
    const steps = fileSteps({ ...silentLog, warn });
    await steps.keep([held]);
    const names = await kept();
    const [first = ''] = names;
    await rm(join(folder, first));
    await steps.keep([held]);
    expect(names.length).toBe(2);
    expect((await kept()).sort()).toEqual([...names].sort());
    expect(warnings).toEqual([]);
    for (const file of names) await rm(join(folder, file));
  });

  test.each([
    [1, 5_000, ''],
    [2, 6_000, 'PARTITION BY HASH (id) PARTITIONS 2'],
  ])('%i files go in steps, after their table', async (files, rows, partitions) => {
    const definition = `(id INT PRIMARY KEY, note VARCHAR(40)) ENGINE=InnoDB ${partitions}`;
    const held = await collector.holdTable(server, { definition, state: 'DROP', rows });
    const own = (await readdir(folder)).filter((file) => file.startsWith(held.name));
    const [first = ''] = own.filter((file) => file.endsWith('.ibd'));
    expect((await stat(join(folder, first))).size).toBeGreaterThan(2 * STEP_BYTES);
    const collecting = start();
    await collector.until('the files are gone', () => givenBack(collecting) === files);
    expect(await collector.whereIs(server, held.id)).toEqual([]);
    expect(await kept()).toEqual([]);
  });

  test('a file goes beside a purge, which may take hours', async () => {
    const held = await collector.holdTable(server, { state: 'PURGE', rows: 100_000 });
    const gone = `_vt_DROP_${'a'.repeat(32)}_20200101000000.ibd.undrop`;
    await writeFile(join(folder, gone), '');
    await truncate(join(folder, gone), 10 * STEP_BYTES);
    const collecting = start({ fastDrop: 'never', purgeChunkRows: 1, purgeChunkMs: 0 });
    await collector.until('the file is gone', () => givenBack(collecting) === 1);
    expect(await collector.countRows(server, held.quoted)).toBeGreaterThan(0);
  });

  test('a table in a schema of users has no second name, which DROP DATABASE would mind', async () => {
    const schema = await freshSchema(server);
    const name = `_vt_DROP_${'c'.repeat(32)}_20200101000000`;
    await query(server, `CREATE TABLE ${schema.name}.${name} (note LONGTEXT) ENGINE=InnoDB`);
    await query(server, `INSERT INTO ${schema.name}.${name} VALUES (REPEAT('x', 1000000))`);
    const own = join(dataDir, schema.name);
    expect((await stat(join(own, `${name}.ibd`))).size).toBeGreaterThan(STEP_BYTES);
    await fileSteps().keep([{ schema: schema.name, name }]);
    expect((await readdir(own)).filter((file) => file.endsWith('.undrop'))).toEqual([]);
    await query(server, `DROP DATABASE ${schema.name}`);
  });

  test('what an ended proxy left goes, and a table that is still there loses nothing', async () => {
    const held = await collector.holdTable(server, { dueInSeconds: 3_600, rows: 5_000 });
    const dropped = held.name.replace('HOLD', 'DROP');
    // As it is between the second name and the DROP.
    await link(join(folder, `${held.name}.ibd`), join(folder, `${dropped}.ibd.undrop`));
    const size = (await stat(join(folder, `${held.name}.ibd`))).size;
    const gone = `_vt_DROP_${'a'.repeat(32)}_20200101000000.ibd.undrop`;
    await writeFile(join(folder, gone), '');
    await truncate(join(folder, gone), 10 * STEP_BYTES);
    // Not ours, whatever it ends in.
    const others = ['orders.ibd.undrop', `_vt_HOLD_${'b'.repeat(32)}_20200101000000.ibd.undrop`];
    for (const other of others) await writeFile(join(folder, other), 'x'.repeat(10));
    await mkdir(join(dataDir, 'other_folder'));
    await writeFile(join(dataDir, 'other_folder', gone), 'x');
    try {
      const collecting = start();
      await collector.until('the file is gone', () => givenBack(collecting) === 1);
      await collector.until(
        'the second name is gone',
        async () => (await kept()).length === others.length,
      );
      expect((await stat(join(folder, `${held.name}.ibd`))).size).toBe(size);
      expect(await collector.countRows(server, held.quoted)).toBe(5_000);
      expect((await stat(join(dataDir, 'other_folder', gone))).size).toBe(1);
    } finally {
      for (const other of others) await rm(join(folder, other));
      await rm(join(dataDir, 'other_folder'), { recursive: true });
      await query(server, `DROP TABLE ${held.quoted}`);
    }
  });
});
