/** Steps that are announced long before they are carried out: whoever gives contents chooses better what to send together. */

/** So far ahead (docs/overlays.md). */
const AHEAD_STEPS = 16_384;
const AHEAD_BYTES = 1024 * 1024 * 1024;
/** And so many steps at a time; more at the beginning, when nothing is known yet of what would be sent together. */
const BLOCK_STEPS = 512;
const FIRST_BLOCK_STEPS = 2048;
const BLOCK_BYTES = AHEAD_BYTES / 4;

interface Block<T> {
  readonly steps: T[];
  bytes: number;
}

/** Steps in blocks, each announced when it is known and given out when enough behind it are, or no more come. */
export async function* keptBack<T>(
  steps: AsyncIterable<T>,
  bytesOf: (step: T) => number,
  announce: (steps: readonly T[]) => void,
): AsyncGenerator<readonly T[]> {
  const back: Block<T>[] = [];
  let [stepsBack, bytesBack] = [0, 0];
  for await (const block of blocksOf(steps, bytesOf)) {
    announce(block.steps);
    back.push(block);
    stepsBack += block.steps.length;
    bytesBack += block.bytes;
    while (stepsBack > AHEAD_STEPS || bytesBack > AHEAD_BYTES) {
      const first = back.shift() as Block<T>;
      stepsBack -= first.steps.length;
      bytesBack -= first.bytes;
      yield first.steps;
    }
  }
  for (const { steps } of back) yield steps;
}

async function* blocksOf<T>(steps: AsyncIterable<T>, bytesOf: (step: T) => number): AsyncGenerator<Block<T>> {
  let block: Block<T> = { steps: [], bytes: 0 };
  let most = FIRST_BLOCK_STEPS;
  for await (const step of steps) {
    block.steps.push(step);
    block.bytes += bytesOf(step);
    if (block.steps.length < most && block.bytes < BLOCK_BYTES) continue;
    yield block;
    block = { steps: [], bytes: 0 };
    most = BLOCK_STEPS;
  }
  if (block.steps.length > 0) yield block;
}
