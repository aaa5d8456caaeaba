/**
 * A program for tests: the agent takes a snapshot of a directory and stops in the middle of it, for ever.
 * Argument: JSON of {@link AgentWork} and the `path` at whose contents it stops. Prints `stalled` when it has.
 */

import { type AgentWork, snapshotDirectory, stallingImager } from './agent.ts';

const { path, ...work } = JSON.parse(process.argv[2] ?? '{}') as AgentWork & { readonly path: string };
const stall = stallingImager(path);
void stall.reached.then(() => console.log('stalled'));
// A pending promise alone would let the process end.
setInterval(() => undefined, 1000);
await snapshotDirectory({ ...work, imager: stall.imager });
