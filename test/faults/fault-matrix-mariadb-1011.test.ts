/** A file for each server, so that they run side by side; the test is in fault-matrix.ts. */
import { faultMatrix } from './fault-matrix.js';

faultMatrix('mariadb-10.11');
