/**
 * Work on several items at once, results in the order of the items: small files cost waiting, not work. What is done
 * at once passes without waiting.
 */
export async function* mapOrdered<A, B>(
  source: AsyncIterable<A>,
  atOnce: number,
  work: (item: A) => B | Promise<B>,
): AsyncGenerator<B> {
  const running: (B | Promise<B>)[] = [];
  try {
    for await (const item of source) {
      const result = work(item);
      // Whoever reads the results hears of a failure in its turn; until then it is not unhandled.
      if (result instanceof Promise) result.catch(() => undefined);
      else if (running.length === 0) {
        yield result;
        continue;
      }
      running.push(result);
      if (running.length >= atOnce) yield await (running.shift() as B);
    }
    while (running.length > 0) yield await (running.shift() as B);
  } finally {
    await Promise.allSettled(running);
  }
}
