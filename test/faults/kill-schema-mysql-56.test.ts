/** A file for each server, so that they run side by side; see killed-schema-drops.ts. */
import { killedSchemaDrops } from './killed-schema-drops.js';

killedSchemaDrops('mysql-5.6');
