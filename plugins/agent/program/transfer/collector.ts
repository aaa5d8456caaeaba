/** Lines picked out of a stream on its way, so that a record need not be read once more for the few that changed. */

import type { RecordLine } from './record.ts';

/** Lines held in memory, chunk references counted: beyond it the record is read after all. */
const MAX_HELD = 5_000;

export class Collector {
  readonly #picks: (line: RecordLine) => boolean;
  #picked: RecordLine[] = [];
  #held = 0;

  constructor(picks: (line: RecordLine) => boolean) {
    this.#picks = picks;
  }

  /** Passes every line on. */
  async *pass(lines: AsyncIterable<RecordLine>): AsyncGenerator<RecordLine> {
    for await (const line of lines) {
      if (this.#picks(line)) this.#keep(line);
      yield line;
    }
  }

  /** The picked lines in their order; from `record`, which holds what was passed, when they were too many. */
  async *lines(record: AsyncIterable<RecordLine>): AsyncGenerator<RecordLine> {
    if (this.#held <= MAX_HELD) {
      yield* this.#picked;
      return;
    }
    for await (const line of record) if (this.#picks(line)) yield line;
  }

  #keep(line: RecordLine): void {
    this.#held += 1 + (line.entry.content?.chunks.length ?? 0) + (line.before?.chunks.length ?? 0);
    if (this.#held <= MAX_HELD) this.#picked.push(line);
    else this.#picked = [];
  }
}
