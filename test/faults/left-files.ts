/**
 * What the documentation asks of whoever runs a MySQL before 8 that was killed amid a RENAME: where
 * InnoDB has a table under its new name and the .frm file has the old one, the file is renamed.
 */
import { readdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import type { Connection, RowDataPacket } from 'mysql2/promise';

/** Names are plain words here, so files are called like tables. True where there was one. */
export async function renameLeftFile(
  connection: Connection,
  dataFolder: string,
  schemas: readonly string[],
): Promise<boolean> {
  let odd = await findOdd(connection, dataFolder, schemas);
  // A proxy may move a table while its folders are read one after the other.
  for (let before = ''; JSON.stringify(odd) !== before; ) {
    before = JSON.stringify(odd);
    odd = await findOdd(connection, dataFolder, schemas);
  }
  const { to, from } = odd;
  const [newName] = to;
  const [oldName] = from;
  if (newName === undefined && oldName === undefined) return false;
  if (newName === undefined || oldName === undefined || to.length + from.length > 2) {
    throw new Error(`expected one table without a file, found ${to} and the files ${from}`);
  }
  await rename(join(dataFolder, `${oldName}.frm`), join(dataFolder, `${newName}.frm`));
  await connection.query('FLUSH TABLES');
  return true;
}

/** Tables of the engine without a file, and files without a table. */
async function findOdd(connection: Connection, dataFolder: string, schemas: readonly string[]) {
  const [rows] = await connection.query<RowDataPacket[]>(
    'SELECT NAME AS name FROM information_schema.INNODB_SYS_TABLES',
  );
  const inEngine = rows.map((row) => String(row['name']));
  const inFiles: string[] = [];
  for (const schema of schemas) {
    for (const file of await readdir(join(dataFolder, schema))) {
      const [table = '', kind] = file.split('.');
      if (kind === 'frm' && !(await isView(connection, schema, table))) {
        inFiles.push(`${schema}/${table}`);
      }
    }
  }
  // What an ALTER TABLE was about to make is nobody's.
  const isMeant = (name: string) =>
    schemas.includes(name.split('/')[0] ?? '') && !name.includes('/#sql');
  return {
    to: inEngine.filter((name) => isMeant(name) && !inFiles.includes(name)),
    from: inFiles.filter((name) => isMeant(name) && !inEngine.includes(name)),
  };
}

async function isView(connection: Connection, schema: string, table: string): Promise<boolean> {
  const [rows] = await connection.query<RowDataPacket[]>(
    'SELECT 1 FROM information_schema.VIEWS WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?',
    [schema, table],
  );
  return rows.length > 0;
}
