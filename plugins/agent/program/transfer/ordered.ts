/** Work on several items at once, results in the order of the items: small files cost waiting, not work. */
export async function* mapOrdered<A, B>(
  source: AsyncIterable<A>,
  atOnce: number,
  work: (item: A) => Promise<B>,
): AsyncGenerator<B> {
  const running: Promise<B>[] = [];
  try {
    for await (const item of source) {
      const result = work(item);
      // Whoever reads the results hears of a failure in its turn; until then it is not unhandled.
      result.catch(() => undefined);
      running.push(result);
      if (running.length >= atOnce) yield await (running.shift() as Promise<B>);
    }
    while (running.length > 0) yield await (running.shift() as Promise<B>);
  } finally {
    await Promise.allSettled(running);
  }
}
