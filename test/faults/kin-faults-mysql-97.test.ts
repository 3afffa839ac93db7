/** A file for each server, so that they run side by side; see kin-faults.ts. */
import { kinFaults } from './kin-faults.js';

kinFaults('mysql-9.7');
