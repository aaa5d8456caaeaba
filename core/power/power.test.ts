import { describe, expect, it } from 'vitest';
import type { PowerControl, PowerFeatures, PowerState } from '../contracts/power.ts';
import type { Machine } from '../domain/machine.ts';
import { createHooks } from '../hooks/attribution.ts';
import { ManualClock } from '../testing/fakes/manual-clock.ts';
import { recordingLog } from '../testing/fakes/recording-log.ts';
import { powerService } from './power.ts';

const MACHINE = { id: 'm1', name: 'rack3-07', macs: ['52:54:00:00:00:01'] } as unknown as Machine;
const ALL: PowerFeatures = { off: true, cycle: true, state: true, netboot: true };

class FakeSwitch implements PowerControl {
  readonly where = 'fake 1';
  readonly orders: string[] = [];
  present: PowerState = 'off';
  /** Answers of the coming calls; then it obeys. */
  readonly failures: Error[] = [];
  obeys = true;

  readonly features: PowerFeatures;

  constructor(features: PowerFeatures = ALL) {
    this.features = features;
  }

  #order(name: string, becomes?: PowerState): void {
    this.orders.push(name);
    const failure = this.failures.shift();
    if (failure !== undefined) throw failure;
    if (becomes !== undefined && this.obeys) this.present = becomes;
  }
  async on(): Promise<void> {
    this.#order('on', 'on');
  }
  async off(): Promise<void> {
    this.#order('off', 'off');
  }
  async cycle(): Promise<void> {
    this.#order('cycle', 'on');
  }
  async netboot(): Promise<void> {
    this.#order('netboot');
  }
  async state(): Promise<PowerState> {
    return this.present;
  }
}

function room(control?: PowerControl) {
  const clock = new ManualClock();
  const log = recordingLog();
  const hooks = createHooks(() => undefined);
  hooks.tapsFor('power-test').boot.power.tap(() => control);
  const power = powerService({ hooks, clock, log });
  /** Lets time pass until the work is done. */
  const done = async <T>(work: Promise<T>): Promise<T> => {
    let over = false;
    const settled = work.finally(() => {
      over = true;
    });
    settled.catch(() => undefined);
    for (let turn = 0; !over && turn < 500; turn++) {
      await new Promise((resolve) => setImmediate(resolve));
      await clock.advance(1000);
    }
    return settled;
  };
  const signal = new AbortController().signal;
  return {
    log,
    perform: (action: Parameters<typeof power.perform>[1]) => done(power.perform(MACHINE, action, signal)),
    bootFromNetwork: () => done(power.bootFromNetwork(MACHINE, signal)),
    power,
    signal,
  };
}

describe('an order', () => {
  it.each([
    ['on', 'off', ['on'], 'on'],
    ['off', 'on', ['off'], 'off'],
    ['cycle', 'on', ['cycle'], 'on'],
    ['cycle', 'off', ['on'], 'on'],
    ['netboot', 'off', ['netboot'], 'off'],
    ['status', 'on', [], 'on'],
  ] as const)('%s of a machine that is %s', async (action, before, orders, after) => {
    const control = new FakeSwitch();
    control.present = before;
    expect(await room(control).perform(action)).toEqual({ where: 'fake 1', state: after });
    expect(control.orders).toEqual(orders);
  });

  it('cycles by off and on where the switch has no cycle', async () => {
    const control = new FakeSwitch({ ...ALL, cycle: false });
    control.present = 'on';
    await room(control).perform('cycle');
    expect(control.orders).toEqual(['off', 'on']);
  });

  it('is given again when it fails, a cycle never', async () => {
    const control = new FakeSwitch();
    control.failures.push(new Error('timeout'), new Error('timeout'));
    await room(control).perform('on');
    expect(control.orders).toEqual(['on', 'on', 'on']);
    control.orders.length = 0;
    control.failures.push(new Error('no answer'));
    await expect(room(control).perform('cycle')).rejects.toMatchObject({
      code: 'PLUGIN_FAILED',
      message: expect.stringMatching(/rack3-07 \(fake 1\) failed at "cycle": no answer/),
      remedy: expect.stringMatching(/credentials/),
    });
    expect(control.orders).toEqual(['cycle']);
  });

  it('without effect is TIMED_OUT', async () => {
    const control = new FakeSwitch();
    control.obeys = false;
    await expect(room(control).perform('on')).rejects.toMatchObject({ code: 'TIMED_OUT' });
  });

  it('that the switch cannot carry out, or for which there is none, is DRIVER_MISSING', async () => {
    const wol = new FakeSwitch({ off: false, cycle: false, state: false, netboot: false });
    for (const action of ['off', 'netboot', 'status'] as const)
      await expect(room(wol).perform(action)).rejects.toMatchObject({ code: 'DRIVER_MISSING' });
    expect(wol.orders).toEqual([]);
    expect(await room(wol).perform('on')).toEqual({ where: 'fake 1', state: 'unknown' });
    await expect(room().perform('on')).rejects.toMatchObject({ code: 'DRIVER_MISSING' });
  });

  it('waits for the one before it: a machine hears one at a time', async () => {
    const control = new FakeSwitch();
    const { power, signal } = room(control);
    await Promise.all([power.perform(MACHINE, 'on', signal), power.perform(MACHINE, 'off', signal)]);
    expect(control.orders).toEqual(['on', 'off']);
  });

  it('ends with its signal, also when the driver forgets it', async () => {
    const stuck: PowerControl = {
      where: 'stuck',
      features: { ...ALL, state: false },
      on: () => new Promise(() => {}),
    };
    const { power } = room(stuck);
    await expect(power.perform(MACHINE, 'on', AbortSignal.timeout(20))).rejects.toThrow();
  });
});

describe('booting from the network', () => {
  it('orders a one-time network boot and a cycle', async () => {
    const control = new FakeSwitch();
    control.present = 'on';
    expect(await room(control).bootFromNetwork()).toBe(true);
    expect(control.orders).toEqual(['netboot', 'cycle']);
  });

  it('cycles also when the one-time boot is refused: machines try the network first anyway', async () => {
    const control = new FakeSwitch();
    control.present = 'on';
    control.failures.push(new Error('unsupported'), new Error('unsupported'), new Error('unsupported'));
    expect(await room(control).bootFromNetwork()).toBe(true);
    expect(control.orders.at(-1)).toBe('cycle');
  });

  it('is false, not an exception, without a switch or when it fails', async () => {
    expect(await room().bootFromNetwork()).toBe(false);
    const control = new FakeSwitch({ off: false, cycle: false, state: false, netboot: false });
    control.failures.push(new Error('a'), new Error('b'), new Error('c'));
    const { bootFromNetwork } = room(control);
    expect(await bootFromNetwork()).toBe(false);
  });
});
