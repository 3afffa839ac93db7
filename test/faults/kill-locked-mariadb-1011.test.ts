/** A file for each server, so that they run side by side; the test is in killed-drops.ts. */
import { killedDrops } from './killed-drops.js';
import { underLocks } from './scenes.js';

killedDrops('mariadb-10.11', underLocks({ isAtomic: false }));
