/** fast-check with the seed of the run, another one for each file: a run can be repeated. */
import fc from 'fast-check';
import { seedFor } from './sample.js';

// It takes a signed number.
fc.configureGlobal({ seed: seedFor('properties') | 0 });

export default fc;
