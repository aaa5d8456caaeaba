interface Item<T> {
  bytes: number;
  readonly value: Promise<T>;
}

/** Keeps what was used last, up to a number of bytes. Holds promises, so that two readers share one read. */
export class ByteCache<T> {
  #capacity: number;
  readonly #items = new Map<string, Item<T>>();
  readonly #dropped: (value: Promise<T>) => void;
  #bytes = 0;

  /** `dropped`: told of each value that is kept no longer. */
  constructor(capacity: number, dropped: (value: Promise<T>) => void = () => undefined) {
    this.#capacity = capacity;
    this.#dropped = dropped;
  }

  /** The kept value, or the one `make` gives; a failure is not kept. `bytes` is what the value will weigh. */
  get(key: string, bytes: number, make: () => Promise<T>): Promise<T> {
    const found = this.#items.get(key);
    if (found !== undefined) {
      this.#items.delete(key);
      this.#items.set(key, found);
      return found.value;
    }
    const item = { bytes, value: make() };
    this.#items.set(key, item);
    this.#bytes += bytes;
    item.value.catch(() => this.#drop(key, item));
    this.#evict();
    return item.value;
  }

  /** What a value weighs, where that is known only once it is made. */
  weigh(key: string, bytes: number): void {
    const item = this.#items.get(key);
    if (item === undefined) return;
    this.#bytes += bytes - item.bytes;
    item.bytes = bytes;
    this.#evict();
  }

  /** Another limit from now on; what is beyond it is let go of. */
  resize(capacity: number): void {
    this.#capacity = capacity;
    this.#evict();
  }

  /** Keeps nothing of what there is, also of what is still being made. */
  clear(): void {
    for (const [key, item] of this.#items) this.#drop(key, item);
  }

  #evict(): void {
    for (const [key, item] of this.#items) {
      if (this.#bytes <= this.#capacity) return;
      this.#drop(key, item);
    }
  }

  #drop(key: string, item: Item<T>): void {
    if (this.#items.get(key) !== item) return;
    this.#items.delete(key);
    this.#bytes -= item.bytes;
    this.#dropped(item.value);
  }
}
