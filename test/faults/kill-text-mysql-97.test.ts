/** A file for each server, so that they run side by side; the test is in killed-drops.ts. */
import { killedDrops } from './killed-drops.js';
import { TWO_STATEMENTS } from './scenes.js';

killedDrops('mysql-9.7', TWO_STATEMENTS);
