/** The suite every `PowerControl` driver must pass; also for your own: see plugins/power-exec. */

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { PowerControl, PowerState } from '../../contracts/power.ts';

/** A driver before a machine, real or emulated, whose truth can be looked up apart from the driver. */
export interface PowerUnderTest {
  readonly power: PowerControl;
  /** What the machine is; `unknown` where the test cannot tell (then only what was ordered is looked at). */
  truth(): Promise<PowerState>;
  /** Orders that reached the machine since the last call, where the test can tell, such as `on`, `cycle`, `netboot`. */
  orders(): Promise<readonly string[]>;
  /** A switch of the same kind that cannot be reached. */
  readonly unreachable: PowerControl | undefined;
  cleanUp(): Promise<void>;
}

const signal = (): AbortSignal => AbortSignal.timeout(20_000);

/** Registers the suite with vitest. `make` is called before each case, with a machine that is off if it can be. */
export function powerConformance(name: string, make: () => Promise<PowerUnderTest>): void {
  describe(`${name}: PowerControl conformance`, () => {
    let subject: PowerUnderTest;
    let power: PowerControl;
    beforeEach(async () => {
      subject = await make();
      power = subject.power;
    });
    afterEach(() => subject?.cleanUp());

    it('says where it goes, and has the methods that its features declare', () => {
      expect(power.where).toMatch(/^\S.{2,}/);
      for (const feature of ['off', 'cycle', 'state', 'netboot'] as const)
        expect([feature, power[feature] !== undefined]).toEqual([feature, power.features[feature]]);
      expect(power.facts !== undefined).toBe(power.features.facts ?? false);
    });

    it('switches on, also when it is on already', async () => {
      await power.on(signal());
      await power.on(signal());
      expect((await subject.orders()).length).toBeGreaterThan(0);
      await becomes('on');
    });

    it('switches off, also when it is off already', async () => {
      if (power.off === undefined) return expect(power.features.off).toBe(false);
      await power.on(signal());
      await becomes('on');
      await power.off(signal());
      await becomes('off');
      await power.off(signal());
      await becomes('off');
    });

    it('cycles a machine that is on, and it is on afterwards', async () => {
      if (power.cycle === undefined) return expect(power.features.cycle).toBe(false);
      await power.on(signal());
      await becomes('on');
      await subject.orders();
      await power.cycle(signal());
      expect((await subject.orders()).length).toBeGreaterThan(0);
      await becomes('on');
    });

    it('orders a one-time network boot without touching the power', async () => {
      if (power.netboot === undefined) return expect(power.features.netboot).toBe(false);
      const before = await subject.truth();
      await power.netboot(signal());
      expect(await subject.orders()).toContain('netboot');
      expect(await subject.truth()).toBe(before);
    });

    it('rejects, and soon, when its signal aborts or nobody is there', async () => {
      await expect(power.on(AbortSignal.abort(new Error('enough')))).rejects.toThrow();
      if (subject.unreachable !== undefined) {
        await expect(subject.unreachable.on(AbortSignal.timeout(3000))).rejects.toThrow();
      }
    });

    /** By the truth and by the driver's own word, within ten seconds. */
    async function becomes(wanted: PowerState): Promise<void> {
      const seen = async (): Promise<readonly PowerState[]> => [
        await subject.truth(),
        power.state === undefined ? wanted : await power.state(signal()),
      ];
      const right = (states: readonly PowerState[]): boolean =>
        (states[0] === wanted || states[0] === 'unknown') && states[1] === wanted;
      let states = await seen();
      for (let wait = 0; !right(states) && wait < 50; wait++) {
        await new Promise((resolve) => setTimeout(resolve, 200));
        states = await seen();
      }
      expect(right(states), `wanted ${wanted}, truth and driver say ${states}`).toBe(true);
    }
  });
}
