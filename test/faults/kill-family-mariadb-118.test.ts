/** A file for each server, so that they run side by side; the test is in killed-drops.ts. */
import { FAMILY_IN_TURN } from './families.js';
import { killedDrops } from './killed-drops.js';

killedDrops('mariadb-11.8', FAMILY_IN_TURN);
