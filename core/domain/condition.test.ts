import { expect, test } from 'vitest';
import { Condition } from './condition.ts';

test('what is so already is not waited for', async () => {
  await new Condition().until(() => true);
});

test('who waits looks again after each notice, and goes on when it is so', async () => {
  const condition = new Condition();
  const answers = [false, false, true, true];
  const waited = condition.until(() => answers.shift() === true);
  condition.notify();
  await Promise.resolve();
  condition.notify();
  await waited;
  expect(answers).toEqual([true]);
});

test('several wait, each for something of its own', async () => {
  const condition = new Condition();
  let value = 0;
  const passed: number[] = [];
  const waits = [2, 1].map((wanted) =>
    condition.until(() => value >= wanted).then(() => passed.push(wanted)),
  );
  value = 1;
  condition.notify();
  await waits[1];
  expect(passed).toEqual([1]);
  value = 2;
  condition.notify();
  await Promise.all(waits);
  expect(passed).toEqual([1, 2]);
});

test('what the question throws, whoever waits is told', async () => {
  const condition = new Condition();
  let isBroken = false;
  const waited = condition.until(() => {
    if (isBroken) throw new Error('broken');
    return false;
  });
  isBroken = true;
  condition.notify();
  await expect(waited).rejects.toThrow('broken');
});
