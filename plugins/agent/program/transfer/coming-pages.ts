/** Pages of an image as they come, ahead of who reads them: laid on the disk, so that neither the line waits nor memory fills. */

import { Condition, FRAME, type Frame, heardLater, UnnamedFile } from '@overdub/core/agent';
import { damagedAnswer } from './answers.ts';
import { Queue } from './queue.ts';

interface Place {
  readonly offset: number;
  readonly bytes: number;
}

export class ComingPages {
  readonly #frames: AsyncGenerator<Frame>;
  readonly #file: UnnamedFile;
  readonly #places = new Queue<Place>();
  readonly #coming: Promise<void>;
  #end: 'all' | { readonly failed: unknown } | undefined;
  #isClosed = false;
  readonly #more = new Condition();

  /** `dir`: where they lie meanwhile. */
  constructor(frames: AsyncGenerator<Frame>, dir: string) {
    this.#frames = frames;
    this.#file = new UnnamedFile(dir);
    const ended = (end: 'all' | { readonly failed: unknown }) => {
      this.#end = end;
      this.#more.notify();
    };
    this.#coming = heardLater(this.#take()).then(
      () => ended('all'),
      (failed: unknown) => ended({ failed }),
    );
  }

  /** The next one, not compared with anything. Rejects with what the line broke with; REPOSITORY_DAMAGED when there are no more. */
  async next(): Promise<Uint8Array> {
    await this.#more.until(() => this.#places.length > 0 || this.#end !== undefined);
    const place = this.#places.shift();
    if (place !== undefined) return await this.#file.read(Buffer.allocUnsafe(place.bytes), place.offset);
    if (this.#end !== undefined && this.#end !== 'all') throw this.#end.failed;
    throw damagedAnswer();
  }

  /** Waits for what is under way: who does not want that has the line broken before. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#coming;
    await this.#frames.return(undefined);
    await this.#file.close();
  }

  async #take(): Promise<void> {
    let offset = 0;
    for await (const { type, payload } of this.#frames) {
      if (this.#isClosed) return;
      if (type !== FRAME.page) throw damagedAnswer();
      await this.#file.put(payload, offset);
      this.#places.push({ offset, bytes: payload.length });
      offset += payload.length;
      this.#more.notify();
    }
  }
}
