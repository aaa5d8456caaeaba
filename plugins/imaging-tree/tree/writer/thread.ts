/** What runs on the writer's thread. Loaded by any other, which a bundle does, it only says what it is called. */

import { parentPort, workerData } from 'node:worker_threads';
import { type Batch, Jobs } from './jobs.ts';

/** What a thread is told that is to be this one. */
export const WRITER = 'overdub: writes the small files of a tree';
/** There will be no more batches. */
export const STOP = 'stop';

if (workerData === WRITER) {
  const jobs = new Jobs();
  parentPort?.on('message', (told: Batch | typeof STOP) => {
    if (told === STOP) return parentPort?.close();
    const done = jobs.perform(told);
    parentPort?.postMessage(done, [done.bytes.buffer]);
  });
}
