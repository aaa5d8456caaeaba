/** What runs on the writer's thread. */

import { parentPort } from 'node:worker_threads';
import { type Batch, Jobs, READY, STOP } from './jobs.ts';

const jobs = new Jobs();
parentPort?.on('message', (told: Batch | typeof STOP) => {
  if (told === STOP) return parentPort?.close();
  const done = jobs.perform(told);
  parentPort?.postMessage(done, [done.bytes.buffer]);
});
parentPort?.postMessage(READY);
