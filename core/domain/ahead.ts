import { heardLater } from './heard-later.ts';

/** Passes items on in order, while so many behind the one passed on are made already. */
export async function* ahead<T>(source: AsyncGenerator<T>, depth: number): AsyncGenerator<T> {
  // A generator takes requests for its next items one behind the other.
  const waiting: Promise<IteratorResult<T>>[] = [];
  const ask = () => waiting.push(heardLater(source.next()));
  try {
    for (let count = 0; count < depth; count++) ask();
    for (;;) {
      const next = await (waiting.shift() as Promise<IteratorResult<T>>);
      if (next.done === true) return;
      ask();
      yield next.value;
    }
  } finally {
    await Promise.allSettled(waiting);
    await source.return(undefined);
  }
}
