/** A file for each server, so that they run side by side; see killed-schema-drops.ts. */
import { killedSchemaDrops, killedSchemaReplacements } from './killed-schema-drops.js';

killedSchemaDrops('mariadb-11.8');
killedSchemaReplacements('mariadb-11.8');
