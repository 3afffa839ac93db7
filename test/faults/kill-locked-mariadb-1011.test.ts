/** A file for each server, so that they run side by side; the test is in killed-drops.ts. */
import { killedDrops, underLocks } from './killed-drops.js';

killedDrops('mariadb-10.11', underLocks({ isAtomic: false }));
