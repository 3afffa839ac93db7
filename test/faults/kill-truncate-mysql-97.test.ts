/** A file for each server, so that they run side by side; see killed-truncates.ts. */
import { killedTruncates } from './killed-truncates.js';

killedTruncates('mysql-9.7');
