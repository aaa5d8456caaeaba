/** The same promise. Whoever asks for it hears of a failure; until then it is not unhandled. */
export function heardLater<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}
