/** First in, first out. Taking the first costs the same however many wait behind it. */
export class Queue<T> {
  #items: T[] = [];
  #at = 0;

  get length(): number {
    return this.#items.length - this.#at;
  }

  get first(): T | undefined {
    return this.#items[this.#at];
  }

  push(item: T): void {
    this.#items.push(item);
  }

  shift(): T | undefined {
    const item = this.#items[this.#at];
    if (item === undefined) return undefined;
    this.#at += 1;
    // Half of it is done with, at least: each item is moved once on the average.
    if (this.#at * 2 >= this.#items.length) {
      this.#items = this.#items.slice(this.#at);
      this.#at = 0;
    }
    return item;
  }

  clear(): void {
    this.#items = [];
    this.#at = 0;
  }

  *[Symbol.iterator](): Generator<T> {
    for (let at = this.#at; at < this.#items.length; at++) yield this.#items[at] as T;
  }
}
