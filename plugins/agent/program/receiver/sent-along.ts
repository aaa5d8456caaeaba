/** The body of a request that grows while it is answered. What was added is kept, so that it can be sent anew. */

/** Told of each piece, and with undefined of the end. */
export type Follower = (piece: Uint8Array | undefined) => void;

export class SentAlong {
  readonly #pieces: (Uint8Array | undefined)[] = [];
  #follower: Follower = () => undefined;

  add(piece: Uint8Array): void {
    this.#tell(piece);
  }

  end(): void {
    this.#tell(undefined);
  }

  /** From its beginning on; who followed before hears no more. */
  follow(follower: Follower): void {
    this.#follower = follower;
    for (const piece of this.#pieces) follower(piece);
  }

  #tell(piece: Uint8Array | undefined): void {
    this.#pieces.push(piece);
    this.#follower(piece);
  }
}
