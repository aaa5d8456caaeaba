/** Sets of owners by number, so that a chunk's owners fit into one: there are few different sets. */
export class OwnerSets {
  readonly #sets: (readonly number[])[] = [[]];
  readonly #byText = new Map<string, number>([['', 0]]);
  readonly #unions = new Map<number, number>();

  /** The set of nobody. */
  static readonly NOBODY = 0;

  /** The set of one. */
  of(owner: number): number {
    return this.#intern([owner]);
  }

  owners(set: number): readonly number[] {
    return this.#sets[set] ?? [];
  }

  union(a: number, b: number): number {
    if (a === b || b === OwnerSets.NOBODY) return a;
    if (a === OwnerSets.NOBODY) return b;
    const key = Math.min(a, b) * 2 ** 26 + Math.max(a, b);
    const known = this.#unions.get(key);
    if (known !== undefined) return known;
    const both = new Set([...this.owners(a), ...this.owners(b)]);
    const set = this.#intern([...both].sort((x, y) => x - y));
    this.#unions.set(key, set);
    return set;
  }

  #intern(owners: readonly number[]): number {
    const text = owners.join();
    const known = this.#byText.get(text);
    if (known !== undefined) return known;
    const set = this.#sets.push(owners) - 1;
    this.#byText.set(text, set);
    return set;
  }
}
