/** The service renames in the user's stead; the test is in killed-drops.ts. */
import { IN_STEAD, killedDrops } from './killed-drops.js';

killedDrops('mariadb-10.11', IN_STEAD);
