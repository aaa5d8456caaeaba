/** A face whose owner is made later: plugins are handed it at `apply`, and may use it from `start` on. */

export interface LateBound<T extends object> {
  readonly face: T;
  bind(owner: T): void;
}

/** Using the face before `bind` throws an error that says so. */
export function lateBound<T extends object>(name: string): LateBound<T> {
  let owner: T | undefined;
  const face = new Proxy({} as T, {
    get(_target, property) {
      // So that a promise may resolve to the face, and a logger may print it.
      if (typeof property === 'symbol' || property === 'then' || property === 'toJSON') return undefined;
      if (owner === undefined) throw new Error(`${name} is used before the appliance was started`);
      const value: unknown = Reflect.get(owner, property);
      return typeof value === 'function' ? value.bind(owner) : value;
    },
  });
  return {
    face,
    bind(given) {
      owner = given;
    },
  };
}
