/** A condition variable: who changes what others wait for notifies them, and each looks again whether it is so now. */
export class Condition {
  #waiting: (() => void)[] = [];

  notify(): void {
    const woken = this.#waiting;
    this.#waiting = [];
    for (const wake of woken) wake();
  }

  /** Resolves once `isSo`; looked at at once, and after each {@link notify}. Rejects with what it throws. */
  async until(isSo: () => boolean): Promise<void> {
    while (!isSo()) {
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
      });
    }
  }
}
