/**
 * Where the servers of the tests have their data: in memory, where there is plenty, as thousands of
 * tables are made and dropped, and each is synced to the disk some ten times.
 */
import { statfs } from 'node:fs/promises';
import { freemem, tmpdir } from 'node:os';

const MEMORY = '/dev/shm';
/** Three sets of servers, and what the largest tests put into them, need less than half of it. */
const BYTES_MIN = 8 * 2 ** 30;

export async function memoryOrDisk(): Promise<string> {
  try {
    const { bavail, bsize } = await statfs(MEMORY);
    return Math.min(bavail * bsize, freemem()) >= BYTES_MIN ? MEMORY : tmpdir();
  } catch (error) {
    // No such folder: not Linux.
    if (!(error instanceof Error && 'code' in error)) throw error;
    return tmpdir();
  }
}
