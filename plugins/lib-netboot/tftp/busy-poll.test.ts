import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, test, vi } from 'vitest';
import { BusyPoll } from './busy-poll.ts';

test('it looks for a moment after each packet, lets others run, and ends by itself', async () => {
  const looks = vi.spyOn(globalThis, 'setImmediate');
  try {
    const poll = new BusyPoll();
    poll.goOn();
    poll.goOn();
    expect(looks).toHaveBeenCalledTimes(1);
    // Others' turns come in between; after some of them nothing is left to look for.
    for (let turn = 0, before = -1; looks.mock.calls.length !== before; turn++) {
      expect(turn).toBeLessThan(1000);
      before = looks.mock.calls.length;
      await nextTurn();
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    const before = looks.mock.calls.length;
    poll.goOn();
    expect(looks).toHaveBeenCalledTimes(before + 1);
    poll.close();
    await nextTurn();
    expect(looks).toHaveBeenCalledTimes(before + 1);
  } finally {
    looks.mockRestore();
  }
});
